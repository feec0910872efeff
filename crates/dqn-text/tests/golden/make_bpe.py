"""Writes bpe.json and tokenizer.json: a byte pair encoding made by the Python library, which tests/bpe.rs must reach.

    pip install tokenizers==0.23.3
    python make_bpe.py
"""

import json
import pathlib
import platform
import random

import tokenizers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SEED = 20240607
MAX_TOKENS = 420
MIN_COUNT = 2
HERE = pathlib.Path(__file__).parent


def texts(rng):
    """Words of few syllables: many pairs are equally frequent, so the order of merges rests on the rule for ties."""
    syllables = ["ba", "ab", "ka", "ak", "lo", "ol", "ti", "it", "ru", "ur", "山", "水", "风月", "é", "e\u0301"]
    words = ["".join(rng.choices(syllables, k=rng.randint(1, 4))) for _ in range(120)]
    return ["".join(w + rng.choice([" ", " ", ", ", "，"]) for w in rng.choices(words, k=8)).strip() for _ in range(60)]


PROBES = ["ba ab kalo", "山水风月，你好", "  two  spaces\tand\na line", "don't 3.14 e\u0301é", "👩\u200d👩\u200d👧 🇨🇳", "\u0000\u00ad\ufeff", ""]


def main():
    rng = random.Random(SEED)
    corpus = texts(rng)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=MAX_TOKENS,
        min_frequency=MIN_COUNT,
        show_progress=False,
        special_tokens=["<pad>", "<unk>", "<bos>", "<eos>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(corpus, trainer)
    probes = [{"text": text, "ids": tokenizer.encode(text).ids} for text in PROBES + corpus[:20]]
    golden = {
        "tool": "tokenizers",
        "version": tokenizers.__version__,
        "python": platform.python_version(),
        "max_tokens": MAX_TOKENS,
        "min_count": MIN_COUNT,
        "texts": corpus,
        "probes": probes,
    }
    (HERE / "bpe.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (HERE / "tokenizer.json").write_text(tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
