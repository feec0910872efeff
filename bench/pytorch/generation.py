"""Pretrained language models written with by transformers and by this project, side by side.

    pip install torch==2.15.0 transformers==5.24.0
    cargo build --release --workspace
    python3 bench/pytorch/generation.py --program target/release/dqn-cli --stories FOLDER --threads 2

Greedy texts of 200 tokens from one prompt, alone and sixteen at a time, of the stories260k model in FOLDER (left out where none is
named) and of a Llama of 15 million random parameters, which is made in a temporary folder. Each program writes one short text before it
is measured, and each measurement is repeated in a process of its own; the median counts. Prints a JSON line for each case.
"""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

PROMPT = "Once upon a time"
N_TOKENS = 200
BATCHES = (1, 16)
REPEATS = 5


def random_llama(folder):
    """The sizes of the 15M model of llama2.c, with random parameters and a tokenizer of characters."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    torch.manual_seed(15)
    config = transformers.LlamaConfig(
        vocab_size=32_000,
        hidden_size=288,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=6,
        num_key_value_heads=6,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        eos_token_id=None,
        bos_token_id=None,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    words = {chr(code): index for index, code in enumerate(range(32, 127))}
    words |= {f"[{index}]": index for index in range(len(words), 32_000)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=" "))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(pathlib.Path(folder) / "tokenizer.json"))


def transformers_case(folder, batch, threads):
    """Runs in a process of its own: what transformers takes."""
    import torch
    import transformers

    torch.set_num_threads(threads)
    start = time.perf_counter()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(pathlib.Path(folder) / "tokenizer.json"))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    load = time.perf_counter() - start
    tokens = tokenizer([PROMPT] * batch, return_tensors="pt").input_ids
    attention = torch.ones_like(tokens)
    first = []

    class Clock(transformers.LogitsProcessor):
        def __call__(self, input_ids, scores):
            if not first:
                first.append(time.perf_counter())
            return scores

    def write(n_tokens, processors=None):
        with torch.inference_mode():
            return model.generate(
                tokens,
                attention_mask=attention,
                do_sample=False,
                max_new_tokens=n_tokens,
                min_new_tokens=n_tokens,
                pad_token_id=0,
                logits_processor=processors,
            )

    write(8)
    start = time.perf_counter()
    found = write(N_TOKENS, transformers.LogitsProcessorList([Clock()]))
    seconds = time.perf_counter() - start
    n_tokens = batch * (found.shape[1] - tokens.shape[1])
    print(json.dumps({
        "n_tokens": n_tokens,
        "load_seconds": load,
        "seconds": seconds,
        "tokens_per_second": n_tokens / seconds,
        "seconds_to_first_token": first[0] - start,
        "peak_memory_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }))


def own_case(program, folder, batch, threads):
    command = [program, "model", "generate", folder, "--prompt", PROMPT, "--n-tokens", str(N_TOKENS), "--json"]
    command += ["--n", str(batch), "--parallel", str(batch)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env={"RAYON_NUM_THREADS": str(threads)})
    return json.loads(found.stdout.splitlines()[-1])


def other_case(folder, batch, threads):
    command = [sys.executable, __file__, "--case", folder, str(batch), "--threads", str(threads)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(found.stdout.splitlines()[-1])


def median(runs):
    return {key: statistics.median(run[key] for run in runs) for key in runs[0] if runs[0][key] is not None}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program")
    parser.add_argument("--stories")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--case", nargs=2)
    args = parser.parse_args()
    if args.case:
        return transformers_case(args.case[0], int(args.case[1]), args.threads)
    with tempfile.TemporaryDirectory() as folder:
        random_llama(folder)
        models = [("llama-15m", folder)] + ([("stories260k", args.stories)] if args.stories else [])
        for name, model in models:
            for batch in BATCHES:
                own, other = [], []
                for _ in range(REPEATS):
                    # In turns, so that a busy minute of the machine meets both.
                    own.append(own_case(args.program, model, batch, args.threads))
                    other.append(other_case(model, batch, args.threads))
                own, other = median(own), median(other)
                ratio = own["tokens_per_second"] / other["tokens_per_second"]
                print(json.dumps({"model": name, "batch": batch, "own": own, "transformers": other, "ratio": ratio}))
    return None


if __name__ == "__main__":
    main()
