"""The nearest neighbour that docs/speech.md sets beside networks: spoken digits compared by means of MFCC.

    python3 docs/nearest_digit.py data/cache/fsdd      (after cargo xtask data prepare fsdd; needs numpy)

Prints for several ways to compare the share of wrong digits in the official test (index 0 to 4) and of each speaker whom only the
others are compared with.
"""

import pathlib
import sys
import wave

import numpy as np

WINDOW, HOP, N_FFT, N_MELS, N_MFCC = 200, 80, 256, 26, 13
HAMMING = np.hamming(WINDOW)


def mel_filters(rate):
    """Triangles of equal width on the mel scale: [mels, frequencies]."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, N_MELS + 2) / 2595) - 1)
    frequencies = np.linspace(0, rate / 2, N_FFT // 2 + 1)
    rows = []
    for low, middle, high in zip(corners, corners[1:], corners[2:]):
        rows.append(np.clip(np.minimum((frequencies - low) / (middle - low), (high - frequencies) / (high - middle)), 0, None))
    return np.stack(rows)


def mfcc(path):
    """The coefficients of a recording: [frames, coefficients]."""
    with wave.open(str(path)) as file:
        rate, sound = file.getframerate(), file.readframes(file.getnframes())
    sound = np.frombuffer(sound, dtype=np.int16) / 32768.0
    sound = np.pad(sound, (0, max(0, WINDOW - len(sound))))
    frames = np.stack([sound[start : start + WINDOW] * HAMMING for start in range(0, len(sound) - WINDOW + 1, HOP)])
    power = np.abs(np.fft.rfft(frames, N_FFT)) ** 2
    log_mel = np.log(power @ mel_filters(rate).T + 1e-10)
    cosines = np.cos(np.pi * np.arange(N_MFCC)[:, None] * (2 * np.arange(N_MELS) + 1) / (2 * N_MELS))
    return log_mel @ cosines.T


def means(coefficients, n_parts):
    """The means over each of so many stretches, one after the other."""
    return np.concatenate([part.mean(0) for part in np.array_split(coefficients, n_parts)])


def errors(vectors, digits, asked):
    """Share of wrong digits of those asked about, by the nearest of the others."""
    known = np.flatnonzero(~asked)
    nearest = [known[((vectors[known] - vector) ** 2).sum(1).argmin()] for vector in vectors[asked]]
    return np.mean(digits[nearest] != digits[asked])


def main():
    files = sorted(pathlib.Path(sys.argv[1]).glob("?_*_*.wav"))
    names = [file.stem.split("_") for file in files]
    digits, speakers = np.array([int(name[0]) for name in names]), np.array([name[1] for name in names])
    official = np.array([int(name[2]) < 5 for name in names])
    recordings = [mfcc(file) for file in files]
    print("way", "official", *sorted(set(speakers)), "mean", sep="\t")
    for n_parts in (1, 3, 5, 10):
        for first in (0, 1):
            vectors = np.stack([means(coefficients[:, first:], n_parts) for coefficients in recordings])
            for standardised in (False, True):
                compared = (vectors - vectors.mean(0)) / vectors.std(0) if standardised else vectors
                left_out = [errors(compared, digits, speakers == speaker) for speaker in sorted(set(speakers))]
                way = f"{n_parts} parts, from {first}{', standardised' if standardised else ''}"
                shares = [errors(compared, digits, official), *left_out, np.mean(left_out)]
                print(way, *(f"{100 * share:.1f} %" for share in shares), sep="\t")


if __name__ == "__main__":
    main()
