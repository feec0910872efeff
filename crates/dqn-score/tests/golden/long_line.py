"""A line of 10,000 words made by a rule, which long_line.rs repeats, so that no file has to hold it."""

N_WORDS = 10_000
N_DIFFERENT = 500


def long_line(n_words=N_WORDS, n_different=N_DIFFERENT):
    """Words drawn by a linear congruential generator."""
    state = 1
    words = []
    for _ in range(n_words):
        state = (state * 1_103_515_245 + 12_345) % 2**31
        words.append(f"w{state // 2**16 % n_different}")
    return words


def edited(words, moved_every=6_000):
    """The words with one in 250 replaced, one in 400 left out, and three in `moved_every`, which is above 111, nine words later."""
    changed = []
    held = []
    for i, word in enumerate(words):
        if i % moved_every in (100, 101, 102):
            held.append(word)
        elif i % 250 == 7:
            changed.append("other")
        elif i % 400 != 13:
            changed.append(word)
        if i % moved_every == 111:
            changed += held
            held = []
    return changed + held
