"""Writes the folders of pretrained/ and pretrained.json: tiny language models with random parameters as transformers saves them,
and the logits and greedy texts it computes with them, which tests/pretrained.rs must reach.

    pip install torch==2.15.0 transformers==5.24.0
    python pretrained.py
"""

import json
import pathlib
import platform
import shutil

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SEED = 20240607
N_TOKENS = 56
LENGTHS = [1, 5, 12]
N_GREEDY = 12
HERE = pathlib.Path(__file__).parent
TEXTS = [
    "the cat saw the dog, and the dog saw the cat.",
    "a small red bird sang to the moon all night long.",
    "then the cat and the bird went home to eat and sleep.",
]

SIZES = {"vocab_size": N_TOKENS, "hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"max_position_embeddings": 32, "bos_token_id": 1, "eos_token_id": 2}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 1000.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8,
}


def llama():
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES, num_key_value_heads=2, rms_norm_eps=1e-5))


def llama_tied():
    """Everything that is optional: biases, heads wider than their share, long-context rotation, tied output."""
    config = transformers.LlamaConfig(
        **SIZES,
        num_key_value_heads=1,
        head_dim=6,
        attention_bias=True,
        mlp_bias=True,
        tie_word_embeddings=True,
        rope_parameters=LLAMA3,
    )
    return transformers.LlamaForCausalLM(config)


def mistral():
    rope = {"rope_type": "linear", "rope_theta": 500.0, "factor": 2.0}
    config = transformers.MistralConfig(**SIZES, num_key_value_heads=4, sliding_window=None, rope_parameters=rope)
    return transformers.MistralForCausalLM(config)


def qwen2():
    return transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**SIZES, num_key_value_heads=2))


def gpt2(head=transformers.GPT2LMHeadModel):
    config = transformers.GPT2Config(
        vocab_size=N_TOKENS, n_embd=16, n_head=4, n_layer=2, n_positions=32, n_inner=24, bos_token_id=0, eos_token_id=0
    )
    return head(config)


# Name, what makes it, how numbers are stored, the largest file, and the kind of its tokenizer.
MODELS = [
    ("llama", llama, torch.float32, "1GB", "sentencepiece"),
    ("llama-tied-bf16", llama_tied, torch.bfloat16, "1GB", "sentencepiece"),
    ("mistral", mistral, torch.float32, "1GB", "sentencepiece"),
    ("qwen2-sharded", qwen2, torch.float32, "6KB", "sentencepiece"),
    ("gpt2", gpt2, torch.float32, "1GB", "bytes"),
    ("gpt2-bare-f16", gpt2, torch.float16, "1GB", "bytes"),
]


def randomised(model):
    """Parameters large enough that every part of the model counts."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            is_scale = "norm" in name or ".ln_" in name
            noise = torch.randn_like(parameter)
            parameter.copy_(1 + 0.2 * noise if is_scale and name.endswith("weight") else 0.35 * noise)
    return model


def sentencepiece():
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    specials = ["<unk>", "<s>", "</s>"]
    tokenizer.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=N_TOKENS, special_tokens=specials, show_progress=False)
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(content=" ", left=1, right=0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return tokenizer, {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def bytes_():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=N_TOKENS, special_tokens=["<|endoftext|>"], show_progress=False)
    )
    return tokenizer, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}


def save(name, model, dtype, largest, kind):
    folder = HERE / "pretrained" / name
    shutil.rmtree(folder, ignore_errors=True)
    stored = model.to(dtype)
    if "bare" in name:
        # As the first GPT-2 files were: names without "transformer.", and no output.
        stored.transformer.save_pretrained(folder, max_shard_size=largest)
        config = json.loads((folder / "config.json").read_text())
        config["architectures"] = ["GPT2LMHeadModel"]
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    else:
        stored.save_pretrained(folder, max_shard_size=largest)
    tokenizer, specials = {"sentencepiece": sentencepiece, "bytes": bytes_}[kind]()
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=True) + "\n")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **specials}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    for file in folder.iterdir():
        file.chmod(0o644)
        if file.suffix == ".json":
            file.write_text(file.read_text().rstrip("\n") + "\n")
    # Read again, so that only what the files hold counts: in 16 bits the speeds of rotation are rounded, too.
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def answers(model):
    """Logits of all places of random texts, and what the model writes on greedily."""
    generator = torch.Generator().manual_seed(SEED)
    texts = []
    for length in LENGTHS:
        tokens = torch.randint(3, N_TOKENS, (1, length), generator=generator)
        with torch.no_grad():
            logits = model(tokens).logits[0]
        written = tokens
        for _ in range(N_GREEDY):
            with torch.no_grad():
                best = model(written).logits[0, -1].argmax()
            written = torch.cat([written, best.reshape(1, 1)], 1)
        texts.append({
            "tokens": tokens[0].tolist(),
            "logits": [[float(f"{value:.7g}") for value in row] for row in logits.tolist()],
            "greedy": written[0, length:].tolist(),
        })
    return texts


def main():
    transformers.logging.set_verbosity_error()
    golden = {
        "made_by": "pretrained.py",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "seed": SEED,
        "models": {},
    }
    for index, (name, make, dtype, largest, kind) in enumerate(MODELS):
        torch.manual_seed(SEED + index)
        model = save(name, randomised(make().eval()), dtype, largest, kind)
        golden["models"][name] = answers(model.eval())
    (HERE / "pretrained.json").write_text(compact(golden) + "\n")


def compact(golden):
    """One line a text, so that a difference can be read."""
    head = {key: value for key, value in golden.items() if key != "models"}
    models = ",\n".join(
        f'  {json.dumps(name)}: [\n' + ",\n".join("   " + json.dumps(text) for text in texts) + "\n  ]"
        for name, texts in golden["models"].items()
    )
    return json.dumps(head)[:-1] + ',\n "models": {\n' + models + "\n }\n}"


if __name__ == "__main__":
    main()
