"""Writes kenlm.json: what KenLM makes of model.arpa, which tests/arpa.rs must reach.

    cargo run -p dqn-score --example write_arpa > model.arpa
    pip install kenlm==0.3.0
    python make_kenlm.py
"""

import importlib.metadata
import json
import pathlib
import random

import kenlm

SEED = 20240607
N_SENTENCES = 120
HERE = pathlib.Path(__file__).parent


def escaped(word):
    """The word as the ARPA file writes it."""
    if word in ("<s>", "</s>", "<UNK>"):
        return "\\u{3c}" + word[1:]
    return "".join("\\\\" if c == "\\" else f"\\u{{{ord(c):x}}}" if c.isspace() else c for c in word)


def sections():
    """The n-grams of the file, by order, as lists of escaped words."""
    ngrams = {}
    for line in (HERE / "model.arpa").read_text(encoding="utf-8").splitlines():
        if line.endswith("-grams:"):
            order = int(line[1])
        elif "\t" in line:
            ngrams.setdefault(order, []).append(line.split("\t")[1].split(" "))
    return ngrams


def sentences(rng):
    """Chains of n-grams that the model lists, chance words, and words it does not know."""
    ngrams = sections()
    plain = {escaped(w): w for w in ["\u3000", "\\", "<s>", "</s>", "<UNK>"]}
    words = [plain.get(w, w) for [w] in ngrams[1] if w not in ("<s>", "</s>", "<unk>")]
    chains = [[plain.get(w, w) for w in g if w not in ("<s>", "</s>")] for g in ngrams[4]]
    # The file's <unk> is written as a word outside the vocabulary.
    chains = [["lantern" if w == "<unk>" else w for w in chain] for chain in chains]
    yield []
    for _ in range(N_SENTENCES - 1):
        sentence = []
        for _ in range(rng.randint(1, 4)):
            chance = rng.random()
            if chance < 0.6:
                sentence += rng.choice(chains)
            elif chance < 0.9:
                sentence += rng.choices(words, k=rng.randint(1, 3))
            else:
                sentence.append(rng.choice(["lantern", "harbour", "雪"]))
        yield sentence


def main():
    model = kenlm.Model(str(HERE / "model.arpa"))
    rows = []
    for words in sentences(random.Random(SEED)):
        scores = model.full_scores(" ".join(map(escaped, words)), bos=True, eos=True)
        rows.append({"words": words, "log10": [round(log10, 6) for log10, _, _ in scores]})
    golden = {
        "made_by": "python make_kenlm.py",
        "tool": "kenlm",
        "version": importlib.metadata.version("kenlm"),
        "order": model.order,
    }
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    head = json.dumps(golden)[:-1]
    (HERE / "kenlm.json").write_text(f'{head}, "sentences": [\n{lines}\n]}}\n', encoding="utf-8")


main()
