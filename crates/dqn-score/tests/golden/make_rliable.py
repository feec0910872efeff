"""Writes rliable.json: statistics over seeds by rliable, which tests/statistics.rs must reach.

    pip install rliable==1.2.0 "arch<8" "pandas<3"
    python make_rliable.py

Random draws differ between libraries: the places that the bootstrap draws are written down with its intervals.
"""

import importlib.metadata
import json
import pathlib

import numpy as np
from rliable import library, metrics

SEED = 20240717
N_CASES = 60
N_BOOTSTRAPS = 8
N_RESAMPLES = 100
THRESHOLDS = [-1.0, 0.0, 0.25, 0.5, 1.0, 1.5]


def scores(rng, n_runs, n_tasks):
    found = rng.normal(0.6, 0.5, (n_runs, n_tasks))
    # Rounded scores have equals among them, also with the thresholds.
    return np.round(found, int(rng.integers(0, 3))) if rng.random() < 0.6 else found


def by_task(found):
    return found.T.tolist()


def case(rng):
    n_tasks = int(rng.integers(1, 6))
    one = scores(rng, int(rng.integers(1, 11)), n_tasks)
    other = scores(rng, int(rng.integers(1, 11)), n_tasks) if rng.random() < 0.8 else one
    gamma = float(rng.choice([1.0, 0.5]))
    pooled = one.flatten()
    return {
        "scores": by_task(one),
        "others": by_task(other),
        "gamma": gamma,
        "mean": metrics.aggregate_mean(one),
        "median": metrics.aggregate_median(one),
        "interquartile_mean": metrics.aggregate_iqm(one),
        "optimality_gap": metrics.aggregate_optimality_gap(one, gamma),
        "probability_of_improvement": metrics.probability_of_improvement(one, other),
        "performance_profile": library.score_distributions(one, THRESHOLDS).tolist(),
        # NumPy's, over all runs of all tasks.
        "standard_deviation": np.std(pooled, ddof=1) if len(pooled) > 1 else 0.0,
        "interquartile_range": np.subtract(*np.percentile(pooled, [75, 25])),
    }


class Draws:
    """Writes down what rliable draws, run by run within a task, task by task."""

    def __init__(self):
        self.places = []
        self._choice = np.random.choice

    def __enter__(self):
        np.random.choice = self.choice
        return self

    def __exit__(self, *_):
        np.random.choice = self._choice

    def choice(self, n_runs, shape, replace):
        drawn = self._choice(n_runs, shape, replace=replace)
        self.places += drawn.T.flatten().tolist()
        return drawn


def bootstrap(rng, index):
    n_tasks = int(rng.integers(1, 4))
    one = scores(rng, int(rng.integers(3, 6)), n_tasks)
    other = scores(rng, int(rng.integers(3, 6)), n_tasks)
    compared = index % 2 == 1

    def aggregates(found):
        return np.array(
            [
                metrics.aggregate_mean(found),
                metrics.aggregate_median(found),
                metrics.aggregate_iqm(found),
                metrics.aggregate_optimality_gap(found),
                *library.score_distributions(found, THRESHOLDS),
            ]
        )

    def improvement(found, others):
        return np.array([metrics.probability_of_improvement(found, others)])

    with Draws() as draws:
        _, intervals = library.get_interval_estimates(
            {"one": [one, other] if compared else one},
            improvement if compared else aggregates,
            reps=N_RESAMPLES,
            confidence_interval_size=[0.95, 0.8][index // 2 % 2],
        )
    return {
        "scores": by_task(one),
        "others": by_task(other) if compared else None,
        "confidence": [0.95, 0.8][index // 2 % 2],
        "draws": draws.places,
        "intervals": intervals["one"].T.tolist(),
    }


def main():
    rng = np.random.default_rng(SEED)
    np.random.seed(SEED)
    golden = {
        "made_by": "python make_rliable.py",
        "tool": "rliable",
        "version": importlib.metadata.version("rliable"),
        "numpy": np.__version__,
        "thresholds": THRESHOLDS,
        "n_resamples": N_RESAMPLES,
        "bootstraps": [bootstrap(rng, index) for index in range(N_BOOTSTRAPS)],
        "cases": [case(rng) for _ in range(N_CASES)],
    }
    path = pathlib.Path(__file__).with_name("rliable.json")
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in golden.pop("cases"))
    head = json.dumps(golden, separators=(",", ":"))[:-1]
    path.write_text(f'{head},"cases":[\n{lines}\n]}}\n', encoding="utf-8")


main()
