"""Writes rouge.json: scores of generated texts by rouge-score, which tests/rouge.rs must reach.

    pip install rouge-score==0.1.2 nltk==3.10.4
    python make_rouge.py

The longest texts are not written but made by a rule, which tests/rouge.rs knows too; they take a minute and 1 GB.
"""

import importlib.metadata
import json
import pathlib
import random

from nltk.stem.porter import PorterStemmer
from rouge_score import rouge_scorer

SEED = 20240714
N_CASES = 260
KINDS = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
TOKENIZERS = ["words", "stems", "characters"]

ENGLISH = """the a river Boats walked under MOON and but quietly it's don't well-known older friends of mine, said: "yes" running
ran runs flies flying dying lying news skies relational conditional hopefulness 1990s 3.14 U.S. e.g. naïve École
\u212aelvin İstanbul under_score national rationalize operator generously happiness cats' controlled hopping enjoyed
enjoyment geology analogy agreed feed troubled sized failing filing electricity adjustable replacement adoption""".split()
CHINESE = list("山水风月花鸟人心天地春秋雨雪白日黄河一二三十百千你好世界，。！？、１２ＡＢ々〇")
ODD = ["😀", "👨‍👩‍👧", "🇨🇳", "𠀀", "\u200b", "\u00a0", "\u3000", "\t", "\r", "한국", "か", "½", "--", "..."]

STEMS = """a e i o u y b by ab abl tr tree trouble oat ivy privat orrer cares pon t cat f feed agre plaster bl motor s conflat
siz hop tann fall hiss fizz fil happ sk enjo relat condit ration val hesit digit conform radic differ vil analog vietnam
predic oper feud decis hope call form sensit geo theo archaeo philo triplic electr good reviv allow infer airlin gyroscop
adjust defens irrit replac depend homolog commun activ angular effect bowdler prob rat ceas control roll yy yyy aye say
spy x1 19 qu wax snow tray di li ti cri inn out cann how proc exc succ gene beauti care w""".split()
SUFFIXES = """ s es ies ss sses ed eed ied ing ings y ly ational tional enci ency anci ancy izer bli ably ally alli entli ently eli
ely ousli ously ization ation ator alism iveness fulness ousness aliti ality iviti ivity biliti bility logi logy ogy fulli
fully icate ative alize iciti icity ical ful ness al ance ence er ic able ible ant ement ment ent sion tion ion ou ism ate
iti ous ive ize e ll lle ted ting tted lling bled izing""".split() + [""]


class Characters:
    """Every letter or number by itself, in lower case."""

    def tokenize(self, text):
        return [character for character in text.lower() if character.isalnum()]


def scorer(tokenizer):
    if tokenizer == "characters":
        return rouge_scorer.RougeScorer(KINDS, tokenizer=Characters())
    return rouge_scorer.RougeScorer(KINDS, use_stemmer=tokenizer == "stems")


def line(rng):
    kind = rng.random()
    if kind < 0.06:
        return ""
    if kind < 0.14:
        return rng.choice(ENGLISH + CHINESE + ODD)
    style = rng.random()
    pool = ENGLISH if style < 0.5 else CHINESE if style < 0.75 else ENGLISH + CHINESE + ODD
    return ("" if pool is CHINESE else " ").join(rng.choice(pool) for _ in range(rng.randint(2, 12)))


def text(rng):
    """One line, or several."""
    return "\n".join(line(rng) for _ in range(rng.choice([1, 1, 1, 2, 3])))


def variation(rng, original):
    """The text with some of its pieces dropped, doubled, replaced or moved."""
    if rng.random() < 0.1:
        return text(rng)
    pieces = original.split(" ") if " " in original else list(original)
    changed = []
    for piece in pieces:
        chance = rng.random()
        if chance < 0.1:
            continue
        changed.append(rng.choice(ENGLISH + CHINESE) if chance < 0.2 else piece)
        if chance > 0.93:
            changed.append(rng.choice(["\n", piece]))
    if len(changed) > 2 and rng.random() < 0.4:
        cut = rng.randrange(len(changed))
        changed = changed[cut:] + changed[:cut]
    return (" " if " " in original else "").join(changed)


def case(rng, index):
    original = text(rng)
    hypothesis = variation(rng, original)
    references = [original] + [variation(rng, original) for _ in range(rng.choice([0, 0, 1, 2]))]
    tokenizer = TOKENIZERS[index % 3]
    scores = scorer(tokenizer).score_multi(references, hypothesis)
    return {
        "tokenizer": tokenizer,
        "hypothesis": hypothesis,
        "references": references,
        "scores": [list(scores[kind]) for kind in KINDS],
    }


def made(seed, n_words, n_different, n_line):
    """A reference and a hypothesis by a linear congruential generator, as in tests/rouge.rs."""
    state = seed

    def draw(n):
        nonlocal state
        state = (state * 1103515245 + 12345) % 2**31
        return state // 2**16 % n

    reference, hypothesis = [], []
    for _ in range(n_words):
        word = f"w{draw(n_different)}"
        reference.append(word)
        chance = draw(10)
        if chance > 1:
            hypothesis.append(word)
        elif chance == 1:
            hypothesis += [f"w{draw(n_different)}", f"w{draw(n_different)}"]

    def lines(words):
        return "\n".join(" ".join(words[i : i + n_line]) for i in range(0, len(words), n_line))

    return lines(hypothesis), lines(reference)


def long_case(*rule):
    hypothesis, reference = made(*rule)
    scores = scorer("words").score(reference, hypothesis)
    return {"rule": rule, "scores": [list(scores[kind]) for kind in KINDS]}


def main():
    rng = random.Random(SEED)
    stemmer = PorterStemmer()
    words = sorted({stem + suffix for stem in STEMS for suffix in rng.sample(SUFFIXES, 24)})
    golden = {
        "made_by": "python make_rouge.py",
        "tool": "rouge-score",
        "version": importlib.metadata.version("rouge-score"),
        "nltk": importlib.metadata.version("nltk"),
        "stems": [[word, stemmer.stem(word)] for word in words if len(word) > 3],
        # Seed, words of the reference, different words, words in a line.
        "long_cases": [long_case(1, 10000, 50, 10000), long_case(2, 10000, 500, 40), long_case(3, 1000, 3, 1000)],
        "cases": [case(rng, index) for index in range(N_CASES)],
    }
    path = pathlib.Path(__file__).with_name("rouge.json")
    cases = ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in golden.pop("cases"))
    head = json.dumps(golden, ensure_ascii=False, separators=(",", ":"))[:-1]
    path.write_text(f'{head},"cases":[\n{cases}\n]}}\n', encoding="utf-8")


main()
