"""Writes chrf.json: scores of generated corpora by sacreBLEU, which tests/chrf.rs must reach.

    pip install sacrebleu==2.6.0
    python make_chrf.py
"""

import json
import pathlib
import platform
import random
import unicodedata

import sacrebleu
from long_line import edited, long_line
from make_bleu import sentence, variation
from sacrebleu.metrics import CHRF

SEED = 20150917
N_CORPORA = 240


def score(settings, hypotheses, references):
    """What sacreBLEU says of a corpus whose lines each have their own references."""
    metric = CHRF(**settings)
    n_references = max(map(len, references))
    streams = [[refs[i] if i < len(refs) else None for refs in references] for i in range(n_references)]
    found = metric.corpus_score(hypotheses, streams)
    segments = metric._extract_corpus_statistics(hypotheses, streams)
    totals = [sum(column) for column in zip(*segments)]
    counts = {len(refs) for refs in references}
    return {
        "name": found.name,
        "score": found.score,
        # For each order the n-grams of the hypotheses, of the references, and those that match.
        "statistics": [totals[i : i + 3] for i in range(0, len(totals), 3)],
        "n_references": counts.pop() if len(counts) == 1 else None,
        "signature": str(metric.get_signature()),
        "sentences": [metric.sentence_score(h, r).score for h, r in zip(hypotheses, references)],
    }


def corpus(rng, index):
    settings = {
        "char_order": rng.choice([6, 6, 6, 6, 1, 3, 8]),
        "word_order": [0, 2, 0, 2, 1][index % 5],
        "beta": rng.choice([2, 2, 2, 1, 3]),
        "lowercase": rng.random() < 0.25,
        "whitespace": rng.random() < 0.25,
        "eps_smoothing": rng.random() < 0.3,
    }
    n_references = 1 + index // 5 % 4
    varies = n_references > 1 and rng.random() < 0.3
    hypotheses, references = [], []
    for line in range(rng.choice([1, 1, 2, 3, 4])):
        original = sentence(rng)
        hypotheses.append(variation(rng, original))
        n = rng.randint(1, n_references) if varies and line else n_references
        references.append([original] + [variation(rng, original) for _ in range(n - 1)])
    texts = {"config": settings, "hypotheses": hypotheses, "references": references}
    return texts | score(settings, hypotheses, references)


def main():
    rng = random.Random(SEED)
    reference = long_line()
    hypothesis = edited(reference)
    plus_plus = {"char_order": 6, "word_order": 2, "beta": 2, "lowercase": False, "whitespace": False, "eps_smoothing": False}
    golden = {
        "made_by": "python make_chrf.py",
        "tool": "sacrebleu",
        "version": sacrebleu.__version__,
        "python": platform.python_version(),
        "unicode": unicodedata.unidata_version,
        "long_line": score(plus_plus, [" ".join(hypothesis)], [[" ".join(reference)]]),
        "corpora": [corpus(rng, index) for index in range(N_CORPORA)],
    }
    path = pathlib.Path(__file__).with_name("chrf.json")
    lines = ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in golden.pop("corpora"))
    head = json.dumps(golden, ensure_ascii=False)[:-1]
    path.write_text(f'{head}, "corpora": [\n{lines}\n]}}\n', encoding="utf-8")


main()
