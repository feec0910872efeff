"""Writes jiwer.json: error rates of generated corpora by jiwer, which tests/error_rate.rs must reach.

    pip install jiwer==4.0.0 rapidfuzz==3.14.6
    python make_jiwer.py

The longest texts are not written but made by a rule, which tests/error_rate.rs knows too.
"""

import importlib.metadata
import json
import pathlib
import random

import jiwer

SEED = 20240715
N_CORPORA = 260

ENGLISH = "the a river boat walked under MOON and but it's well-known old friend, said: \"yes\" 3.14 naïve cafe\u0301".split()
CHINESE = list("山水风月花鸟人心天地春秋雨雪白日黄河一二三你好世界，。！")
ODD = ["😀", "👨‍👩‍👧", "🇨🇳", "𠀀", "\u200b", "\u00a0", "\u3000", "\t", "\u001c", "\u0085", "  ", " \t", "\r", "한국"]


def line(rng):
    kind = rng.random()
    if kind < 0.08:
        return rng.choice(["", "", " ", " \t\u3000"])
    if kind < 0.16:
        return rng.choice(ENGLISH + CHINESE + ODD)
    style = rng.random()
    pool = ENGLISH if style < 0.3 else list("ab") if style < 0.5 else CHINESE if style < 0.7 else ENGLISH + CHINESE + ODD
    n = rng.randint(60, 90) if kind > 0.95 else rng.randint(2, 14)
    return ("" if pool is CHINESE else " ").join(rng.choice(pool) for _ in range(n))


def variation(rng, original):
    """The line with some of its pieces dropped, doubled, replaced or moved."""
    if rng.random() < 0.12:
        return line(rng)
    spaced = " " in original
    pieces = original.split(" ") if spaced else list(original)
    others = pieces if rng.random() < 0.5 else ENGLISH + CHINESE
    changed = []
    for piece in pieces:
        chance = rng.random()
        if chance < 0.12:
            continue
        changed.append(rng.choice(others) if chance < 0.24 else piece)
        if chance > 0.88:
            changed.append(rng.choice(others))
    if len(changed) > 2 and rng.random() < 0.3:
        cut = rng.randrange(len(changed))
        changed = changed[cut:] + changed[:cut]
    return (" " if spaced else "").join(changed)


def figures(output):
    return {
        "hits": output.hits,
        "substitutions": output.substitutions,
        "deletions": output.deletions,
        "insertions": output.insertions,
    }


def words(references, hypotheses):
    output = jiwer.process_words(references, hypotheses)
    return figures(output) | {"wer": output.wer, "mer": output.mer, "wil": output.wil, "wip": output.wip}


def characters(references, hypotheses):
    output = jiwer.process_characters(references, hypotheses)
    return figures(output) | {"cer": output.cer}


def corpus(rng, index):
    references = [line(rng) for _ in range(rng.choice([1, 1, 2, 3]))]
    if index % 20 == 0:
        references = ["" for _ in references]
    hypotheses = [variation(rng, reference) for reference in references]
    if index % 40 == 0:
        hypotheses = [rng.choice(ENGLISH) for _ in references]
    if index % 40 == 20 or index % 20 == 10:
        hypotheses = ["" for _ in references]
    return {
        "hypotheses": hypotheses,
        "references": references,
        "words": words(references, hypotheses),
        "characters": characters(references, hypotheses),
    }


def made(seed, n_words, n_different, n_changed):
    """A reference and a hypothesis by a linear congruential generator, as in tests/error_rate.rs."""
    state = seed

    def draw(n):
        nonlocal state
        state = (state * 1103515245 + 12345) % 2**31
        return state // 2**16 % n

    reference, hypothesis = [], []
    for _ in range(n_words):
        word = f"w{draw(n_different)}"
        reference.append(word)
        chance = draw(100)
        if chance >= n_changed:
            hypothesis.append(word)
        elif chance % 3 == 0:
            hypothesis.append(f"w{draw(n_different)}")
        elif chance % 3 == 1:
            hypothesis += [word, f"w{draw(n_different)}"]
    return " ".join(hypothesis), " ".join(reference)


def long_case(*rule):
    hypothesis, reference = made(*rule)
    return {"rule": rule, "words": words(reference, hypothesis)}


def main():
    rng = random.Random(SEED)
    golden = {
        "made_by": "python make_jiwer.py",
        "tool": "jiwer",
        "version": importlib.metadata.version("jiwer"),
        "rapidfuzz": importlib.metadata.version("rapidfuzz"),
        # Seed, words of the reference, different words, changed words in a hundred.
        "long_cases": [
            long_case(*rule)
            for rule in [
                (1, 10000, 50, 10),
                (2, 10000, 10000, 5),
                (3, 10000, 4, 60),
                (4, 2040, 3, 90),
                (5, 2060, 3, 90),
                (6, 2500, 5, 40),
                (7, 3000, 2, 100),
                (8, 5000, 30, 30),
                (9, 500, 3, 50),
                # Two whose counts would differ if they were not divided.
                (12, 2300, 7, 100),
                (15, 2600, 3, 97),
            ]
        ],
        "corpora": [corpus(rng, index) for index in range(N_CORPORA)],
    }
    path = pathlib.Path(__file__).with_name("jiwer.json")
    lines = ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in golden.pop("corpora"))
    head = json.dumps(golden, ensure_ascii=False, separators=(",", ":"))[:-1]
    path.write_text(f'{head},"corpora":[\n{lines}\n]}}\n', encoding="utf-8")


main()
