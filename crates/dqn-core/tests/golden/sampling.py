"""Writes sampling.json: what the logits processors of transformers make of random logits, which src/sampling.rs must reach.

    pip install torch==2.15.0 transformers==5.24.0
    python sampling.py
"""

import itertools
import json
import pathlib

import torch
import transformers
from transformers import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

SEED = 20190410
N_TOKENS = 24


def main():
    generator = torch.Generator().manual_seed(SEED)
    cases = []
    settings = itertools.product([1.0, 0.7, 1.6], [None, 1, 5], [None, 0.3, 0.9, 0.99], [1.0, 1.3])
    for temperature, top_k, top_p, penalty in settings:
        logits = 2 * torch.randn(1, N_TOKENS, generator=generator)
        text = torch.randint(0, N_TOKENS, (1, 6), generator=generator)
        found = logits.clone()
        if penalty != 1.0:
            found = RepetitionPenaltyLogitsProcessor(penalty)(text, found)
        if temperature != 1.0:
            found = TemperatureLogitsWarper(temperature)(text, found)
        if top_k:
            found = TopKLogitsWarper(top_k)(text, found)
        if top_p:
            found = TopPLogitsWarper(top_p)(text, found)
        cases.append({
            "logits": [float(f"{value:.9g}") for value in logits[0].tolist()],
            "seen": sorted(set(text[0].tolist())),
            "settings": {"temperature": temperature, "top_k": top_k, "top_p": top_p, "repetition_penalty": penalty},
            "probabilities": [float(f"{value:.7g}") for value in found.softmax(-1)[0].tolist()],
        })
    head = {"made_by": "sampling.py", "torch": torch.__version__, "transformers": transformers.__version__, "seed": SEED}
    lines = ",\n".join("  " + json.dumps(case) for case in cases)
    text = json.dumps(head)[:-1] + ',\n "cases": [\n' + lines + "\n ]\n}\n"
    (pathlib.Path(__file__).parent / "sampling.json").write_text(text)


if __name__ == "__main__":
    main()
