"""Writes self_bleu.json: the self-BLEU of generated texts by NLTK's sentence_bleu, which tests/self_bleu.rs must reach.

    pip install nltk==3.10.4
    python make_self_bleu.py
"""

import importlib.metadata
import json
import pathlib
import random

from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

SEED = 20240716
N_CASES = 80


def self_bleu(texts, max_order):
    """As Texygen's program: every text against all others, equal weights, smoothing method 1."""
    smoothing = SmoothingFunction().method1
    weights = (1 / max_order,) * max_order
    scores = [
        sentence_bleu(texts[:index] + texts[index + 1 :], text, weights, smoothing_function=smoothing)
        for index, text in enumerate(texts)
    ]
    return sum(scores) / len(scores)


def case(rng):
    letters = rng.choice(["ab", "abcde", "abcdefghijklmnop", "山水风月花鸟😀"])
    texts = ["".join(rng.choice(letters) for _ in range(rng.randint(0, 14))) for _ in range(rng.randint(2, 8))]
    if rng.random() < 0.3:
        texts.append(rng.choice(texts))
    max_order = rng.choice([1, 2, 3, 4, 5])
    return {"texts": texts, "max_order": max_order, "score": self_bleu([list(text) for text in texts], max_order)}


def main():
    rng = random.Random(SEED)
    golden = {
        "made_by": "python make_self_bleu.py",
        "tool": "nltk",
        "version": importlib.metadata.version("nltk"),
        "cases": [case(rng) for _ in range(N_CASES)],
    }
    path = pathlib.Path(__file__).with_name("self_bleu.json")
    path.write_text(json.dumps(golden, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


main()
