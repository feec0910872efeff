"""Writes significance.json: tests of generated systems by sacreBLEU, which tests/significance.rs must reach.

Each case holds the draws of numpy that sacreBLEU used, one digit of base 36 for a segment and 0 or 1 for a swap.
sacreBLEU resamples in single precision; the figures that must be reached exactly come from its own functions over the
same draws in double precision, and its own figures stand beside them.

    pip install sacrebleu==2.6.0
    python make_significance.py
"""

import json
import os
import pathlib
import platform
import random

import numpy as np
import sacrebleu
from make_bleu import sentence, variation
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest, _compute_p_value, estimate_ci

SEED = 20040725
N_CASES = 210
N_MANY = 6
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
METRICS = {
    "bleu": lambda: BLEU(),
    "chrf": lambda: CHRF(),
    "chrf++": lambda: CHRF(word_order=2),
    "ter": lambda: TER(),
}


def systems(rng, n_segments):
    """References, a baseline, and a system that answers some segments as the baseline does."""
    references, baseline, system = [], [], []
    same = rng.choice([0.0, 0.3, 0.8, 1.0])
    while len(references) < n_segments:
        original = sentence(rng)
        if len(original) > 90:
            continue
        references.append(original)
        baseline.append(variation(rng, original))
        system.append(baseline[-1] if rng.random() < same else variation(rng, original))
    return references, baseline, system


def by_sacrebleu(metric, texts, test_type, n_samples, seed):
    """The results of sacreBLEU's own paired test."""
    references, baseline, system = texts
    os.environ["SACREBLEU_SEED"] = str(seed)
    named = [("baseline", baseline), ("system", system)]
    test = PairedTest(named, {"metric": metric}, [references], test_type=test_type, n_samples=n_samples)
    _, scores = test()
    (name,) = [key for key in scores if key != "System"]
    return scores[name]


def exact(metric, texts, n_resamples, n_trials, seed):
    """The results of both tests in double precision, with the draws."""
    references, baseline, system = texts
    n = len(references)
    segments = [metric._extract_corpus_statistics(lines, [references]) for lines in (baseline, system)]
    # Numbers of Python, not of numpy: metrics change sums of numpy in place.
    arrays = [np.array(rows, dtype="float64") for rows in segments]

    def score(rows):
        return metric._compute_score_from_stats(rows.sum(0).tolist()).score

    scores = [score(rows) for rows in arrays]
    difference = abs(scores[0] - scores[1])
    resamples = np.random.default_rng(seed).choice(n, size=(n_resamples, n), replace=True)
    resampled = [np.array([score(rows[indices]) for indices in resamples]) for rows in arrays]
    intervals = [estimate_ci(values) for values in resampled]
    differences = np.abs(resampled[1] - resampled[0])
    swaps = np.random.default_rng(seed).integers(2, size=(n_trials, n), dtype=bool)
    pairs = [
        (score(np.where(swap[:, None], *arrays)), score(np.where(swap[:, None], *arrays[::-1]))) for swap in swaps
    ]
    shuffled = np.array([abs(a - b) for a, b in pairs])
    return {
        "resamples": ["".join(DIGITS[i] for i in indices) for indices in resamples],
        "swaps": ["".join("01"[int(i)] for i in swap) for swap in swaps],
        "scores": scores,
        "means": [float(mean) for mean, _ in intervals],
        "half_widths": [float(half_width) for _, half_width in intervals],
        "bootstrap_p": _compute_p_value(differences - differences.mean(), difference),
        "randomization_p": _compute_p_value(shuffled, difference),
    }


def case(rng, index):
    name = list(METRICS)[index % len(METRICS)]
    texts = systems(rng, rng.choice([1, 2, 5, 8, 12]))
    n_resamples, n_trials, seed = rng.choice([1, 39, 40, 45]), rng.choice([1, 20, 30]), rng.randrange(10**6)
    results = exact(METRICS[name](), texts, n_resamples, n_trials, seed)
    bootstrap = by_sacrebleu(METRICS[name](), texts, "bs", n_resamples, seed)
    randomization = by_sacrebleu(METRICS[name](), texts, "ar", n_trials, seed)
    results["single_precision"] = {
        "means": [float(result.mean) for result in bootstrap],
        "half_widths": [float(result.ci) for result in bootstrap],
        "bootstrap_p": bootstrap[1].p_value,
        "randomization_p": randomization[1].p_value,
    }
    return {"metric": name, "references": texts[0], "baseline": texts[1], "system": texts[2]} | results


def many(rng, index):
    """A test with the usual number of draws, which are too many to store."""
    name = ["bleu", "chrf", "ter"][index % 3]
    texts = systems(rng, 36)
    bootstrap = by_sacrebleu(METRICS[name](), texts, "bs", 1000, 12345)
    randomization = by_sacrebleu(METRICS[name](), texts, "ar", 10000, 12345)
    return {
        "metric": name,
        "references": texts[0],
        "baseline": texts[1],
        "system": texts[2],
        "means": [float(result.mean) for result in bootstrap],
        "half_widths": [float(result.ci) for result in bootstrap],
        "bootstrap_p": bootstrap[1].p_value,
        "randomization_p": randomization[1].p_value,
    }


def main():
    rng = random.Random(SEED)
    golden = {
        "made_by": "python make_significance.py",
        "tool": "sacrebleu",
        "version": sacrebleu.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    sections = {
        "cases": [case(rng, index) for index in range(N_CASES)],
        "many": [many(rng, index) for index in range(N_MANY)],
    }
    path = pathlib.Path(__file__).with_name("significance.json")
    dumped = [
        f'"{name}": [\n' + ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in rows) + "\n]"
        for name, rows in sections.items()
    ]
    head = json.dumps(golden, ensure_ascii=False)[:-1]
    path.write_text(f"{head}, " + ", ".join(dumped) + "}\n", encoding="utf-8")


main()
