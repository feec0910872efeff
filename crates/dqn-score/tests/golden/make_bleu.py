"""Writes bleu.json: scores of generated corpora by sacreBLEU, which tests/bleu.rs must reach.

    pip install sacrebleu==2.6.0
    python make_bleu.py
"""

import json
import pathlib
import platform
import random
import unicodedata

import sacrebleu
from sacrebleu.metrics import BLEU

SEED = 20240607
N_CORPORA = 256
TOKENIZERS = ["13a", "zh", "char", "none"]
SMOOTHINGS = [("none", None), ("floor", None), ("add-k", None), ("exp", None), ("floor", 0.01), ("add-k", 0.5)]
# Names of the smoothing methods in the configuration of this crate.
KINDS = {"none": "none", "floor": "floor", "add-k": "add_k", "exp": "exp"}

ENGLISH = """the a river Boat walked under MOON and but quietly it's don't well-known old friend of mine, said: "yes"
'no' (perhaps) e.g. U.S. Mr. wait... what?! end. 50% $3.99 1,000 3.14 -5 10-12 2024-06-07 7. ,8 a.b x=y http://a.b/c?d=e&f
&amp; &lt;tag&gt; &quot;so&quot; &amp;lt; <skipped> [1] {x} ~ ` ^ _ | \\ / # * + = @home ÉCOLE Straße İstanbul ΣΑΣ naïve
cafe\u0301 … – — “quoted” ‘single’ « » • ™ № ½""".split()
CHINESE = list("山水风月花鸟人心天地春秋雨雪白日黄河一二三十百千你好世界，。！？；：“”《》、…（）１２ＡＢ々〇〡㐀龥龻豈﹏⺀⼀㈠㍿☀✂")
ODD = ["😀", "👨‍👩‍👧", "🇨🇳", "𠀀", "𪛖", "\u2001x", "\u200b", "\u00a0", "\u3000", "\u001c", "\u0085", "\t", "-\n", "\r", "ﬀ", "ｶ", "한국", "か"]


def sentence(rng):
    kind = rng.random()
    if kind < 0.06:
        return ""
    if kind < 0.14:
        return rng.choice(ENGLISH + CHINESE + ODD)
    n = rng.randint(40, 70) if kind > 0.97 else rng.randint(2, 14)
    style = rng.random()
    pool = ENGLISH if style < 0.4 else CHINESE if style < 0.75 else ENGLISH + CHINESE + ODD
    glue = "" if pool is CHINESE else " "
    return glue.join(rng.choice(pool) for _ in range(n))


def variation(rng, text):
    """The text with some of its pieces dropped, doubled, replaced or moved."""
    if rng.random() < 0.1:
        return sentence(rng)
    pieces = text.split(" ") if " " in text else list(text)
    changed = []
    for piece in pieces:
        chance = rng.random()
        if chance < 0.08:
            continue
        changed.append(rng.choice(ENGLISH + CHINESE) if chance < 0.16 else piece)
        if chance > 0.95:
            changed.append(piece)
    if len(changed) > 2 and rng.random() < 0.4:
        cut = rng.randrange(len(changed))
        changed = changed[cut:] + changed[:cut]
    joined = (" " if " " in text else "").join(changed)
    return joined.upper() if rng.random() < 0.05 else joined


def corpus(rng, index):
    tokenize = TOKENIZERS[index % 4]
    method, value = SMOOTHINGS[index // 4 % len(SMOOTHINGS)]
    settings = {
        "tokenize": tokenize,
        "lowercase": rng.random() < 0.25,
        "effective_order": rng.random() < 0.3,
        "max_order": rng.choice([4, 4, 4, 4, 2, 6]),
    }
    n_references = 1 + index // 16 % 4
    varies = n_references > 1 and rng.random() < 0.3
    hypotheses, references = [], []
    for line in range(rng.choice([1, 1, 2, 3, 4])):
        original = sentence(rng)
        hypotheses.append(variation(rng, original))
        n = rng.randint(1, n_references) if varies and line else n_references
        references.append([original] + [variation(rng, original) for _ in range(n - 1)])

    def bleu(smooth_method, smooth_value, effective_order):
        return BLEU(
            tokenize=tokenize,
            lowercase=settings["lowercase"],
            max_ngram_order=settings["max_order"],
            smooth_method=smooth_method,
            smooth_value=smooth_value,
            effective_order=effective_order,
        )

    streams = [[refs[i] if i < len(refs) else None for refs in references] for i in range(n_references)]
    metric = bleu(method, value, settings["effective_order"])
    score = metric.corpus_score(hypotheses, streams)
    # The counts of other methods may have been smoothed in place.
    plain = bleu("none", None, False).corpus_score(hypotheses, streams)
    by_sentence = bleu(method, value, True)
    smoothing = {"kind": KINDS[method]} | ({"value": value} if value is not None else {})
    counts = {len(refs) for refs in references}
    return {
        "config": settings | {"smoothing": smoothing},
        "hypotheses": hypotheses,
        "references": references,
        "score": score.score,
        "counts": plain.counts,
        "totals": plain.totals,
        "precisions": score.precisions,
        "brevity_penalty": score.bp,
        "hypothesis_length": score.sys_len,
        "reference_length": score.ref_len,
        "n_references": counts.pop() if len(counts) == 1 else None,
        "signature": str(metric.get_signature()),
        "sentences": [by_sentence.sentence_score(h, r).score for h, r in zip(hypotheses, references)],
    }


def main():
    rng = random.Random(SEED)
    golden = {
        "made_by": "python make_bleu.py",
        "tool": "sacrebleu",
        "version": sacrebleu.__version__,
        "python": platform.python_version(),
        "unicode": unicodedata.unidata_version,
        "corpora": [corpus(rng, index) for index in range(N_CORPORA)],
    }
    path = pathlib.Path(__file__).with_name("bleu.json")
    lines = ",\n".join(json.dumps(c, ensure_ascii=False, separators=(",", ":")) for c in golden.pop("corpora"))
    head = json.dumps(golden, ensure_ascii=False)[:-1]
    path.write_text(f'{head}, "corpora": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
