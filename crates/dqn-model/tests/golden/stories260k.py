"""Writes stories260k.json: logits and greedy text of the stories260k model, which tests/pretrained.rs must reach where
DQN_STORIES260K names its folder. The model (Karpathy, MIT licence) is too large for this repository.

    pip install torch==2.15.0 transformers==5.24.0 blake3
    python stories260k.py FOLDER
"""

import json
import pathlib
import sys

import blake3
import torch
import transformers

PROMPTS = ["Once upon a time", "Lily and Ben saw a big dog.", ""]
N_GREEDY = 200
N_LOGITS = 6


def main(folder):
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(pathlib.Path(folder) / "tokenizer.json"))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    texts, written = [], []
    for prompt in PROMPTS:
        tokens = tokenizer(prompt, return_tensors="pt").input_ids
        short = tokens[:, :N_LOGITS]
        with torch.no_grad():
            logits = model(short).logits[0]
            greedy = model.generate(tokens, do_sample=False, max_new_tokens=N_GREEDY, eos_token_id=None, pad_token_id=0)
            follows = model.generate(short, do_sample=False, max_new_tokens=N_GREEDY, eos_token_id=None, pad_token_id=0)
        texts.append({
            "tokens": short[0].tolist(),
            "logits": [[float(f"{value:.6g}") for value in row] for row in logits.tolist()],
            "greedy": follows[0, short.shape[1]:].tolist(),
        })
        text = tokenizer.decode(greedy[0, tokens.shape[1]:], skip_special_tokens=True)
        written.append({"prompt": prompt, "blake3": blake3.blake3(text.strip().encode()).hexdigest(), "begins": text[:80]})
    weights = (pathlib.Path(folder) / "model.safetensors").read_bytes()
    head = {
        "made_by": "stories260k.py",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "model_blake3": blake3.blake3(weights).hexdigest(),
        "written": written,
    }
    lines = ",\n".join("   " + json.dumps(text) for text in texts)
    text = json.dumps(head)[:-1] + ',\n "models": {\n  "stories260k": [\n' + lines + "\n  ]\n }\n}\n"
    (pathlib.Path(__file__).parent / "stories260k.json").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
