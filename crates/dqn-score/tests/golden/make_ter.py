"""Writes ter.json: scores of generated corpora by sacreBLEU, which tests/ter.rs must reach.

The line of 10,000 words takes sacreBLEU a minute and about 3 GB of memory.

    pip install sacrebleu==2.6.0
    python make_ter.py
"""

import json
import pathlib
import platform
import random
import unicodedata

import sacrebleu
from long_line import edited, long_line
from make_bleu import CHINESE, ENGLISH, ODD, sentence, variation
from sacrebleu.metrics import TER

SEED = 20060808
N_CORPORA = 240
POSSESSIVE = ["Ann's", "dogs'", "Bob's.", "'s", "x's,", "it's\n-y", "a\n-b", "「山」、「水」。", "ひらがな", "カタカナ・", "ｱｲ｡", "㌀㍿㈱"]


def moved(rng, text):
    """The text with one to four runs of its pieces at other places, which is what shifts are for."""
    glue = " " if " " in text else ""
    pieces = text.split(" ") if glue else list(text)
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(pieces) + 1)
        end = min(len(pieces), start + rng.randint(1, 12))
        run = pieces[start:end]
        del pieces[start:end]
        target = rng.randrange(len(pieces) + 1)
        pieces[target:target] = run
    return glue.join(pieces)


def words(rng):
    """A sentence of words, some often repeated; a few are long enough to leave the beam."""
    n = 110 if rng.random() < 0.03 else rng.choice([3, 6, 10, 16, 24])
    pool = rng.sample(ENGLISH + POSSESSIVE + ODD + CHINESE, rng.choice([4, 12, 60, 90]))
    return " ".join(rng.choice(pool) for _ in range(n))


def score(settings, hypotheses, references):
    """What sacreBLEU says of a corpus whose lines each have their own references."""
    metric = TER(**settings)
    n_references = max(map(len, references))
    streams = [[refs[i] if i < len(refs) else None for refs in references] for i in range(n_references)]
    # What corpus_score and sentence_score do, without searching every segment for shifts again.
    segments = metric._extract_corpus_statistics(hypotheses, streams)
    found = metric._aggregate_and_compute(segments)
    counts = {len(refs) for refs in references}
    return {
        "score": found.score,
        "edits": found.num_edits,
        "reference_length": found.ref_length,
        "n_references": counts.pop() if len(counts) == 1 else None,
        "signature": str(metric.get_signature()),
        "sentences": [metric._compute_score_from_stats(segment).score for segment in segments],
    }


def corpus(rng, index):
    settings = {
        "normalized": index % 2 == 1,
        "no_punct": index // 2 % 2 == 1,
        "asian_support": index // 4 % 2 == 1,
        "case_sensitive": index // 8 % 2 == 1,
    }
    n_references = 1 + index // 16 % 4
    varies = n_references > 1 and rng.random() < 0.3
    hypotheses, references = [], []
    for _ in range(rng.choice([1, 1, 2, 3])):
        original = sentence(rng) if rng.random() < 0.5 else words(rng)
        changed = variation(rng, original)
        hypotheses.append(moved(rng, changed) if rng.random() < 0.7 else changed)
        n = rng.randint(1, n_references) if varies and references else n_references
        references.append([original] + [moved(rng, variation(rng, original)) for _ in range(n - 1)])
    if rng.random() < 0.05:
        hypotheses[0] = ""
    if rng.random() < 0.05:
        references[0][0] = ""
    texts = {"config": settings, "hypotheses": hypotheses, "references": references}
    return texts | score(settings, hypotheses, references)


def long_lines():
    """Edits of lines made by a rule: a long one, one that reaches the limit of shifts, and lengths far apart."""
    line, many = long_line(), long_line(n_words=1_200, n_different=40)
    pairs = {
        "long": (edited(line), line),
        "many_shifts": (edited(many, moved_every=150), many),
        "short_reference": (line, line[4_000:4_003]),
        "short_hypothesis": (line[4_000:4_003], line),
    }
    return {
        name: score({}, [" ".join(hypothesis)], [[" ".join(reference)]])["edits"]
        for name, (hypothesis, reference) in pairs.items()
    }


def main():
    rng = random.Random(SEED)
    golden = {
        "made_by": "python make_ter.py",
        "tool": "sacrebleu",
        "version": sacrebleu.__version__,
        "python": platform.python_version(),
        "unicode": unicodedata.unidata_version,
        "long_lines": long_lines(),
        "corpora": [corpus(rng, index) for index in range(N_CORPORA)],
    }
    path = pathlib.Path(__file__).with_name("ter.json")
    lines = ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in golden.pop("corpora"))
    head = json.dumps(golden, ensure_ascii=False)[:-1]
    path.write_text(f'{head}, "corpora": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
