"""Writes log_mel.json: log-mel features of made-up waveforms by librosa, which tests/log_mel.rs must reach.

    pip install librosa==0.11.0 numpy==2.4.6
    python make_log_mel.py

The samples are written as integers, to be divided by 32768.
"""

import json
import pathlib
import warnings

import librosa
import numpy as np

CONFIGS = {
    "default": {},
    "wide": {"sample_rate_hz": 16000, "n_mels": 64, "low_hz": 0.0, "high_hz": 7600.0, "window_milliseconds": 32.0},
    # Windows and hops of an odd number of samples, 353 and 83.
    "odd": {
        "sample_rate_hz": 11025,
        "window_milliseconds": 32.0,
        "hop_milliseconds": 7.5,
        "n_mels": 26,
        "low_hz": 133.3,
        "high_hz": 5000.0,
    },
}
DEFAULTS = {
    "sample_rate_hz": 8000,
    "window_milliseconds": 25.0,
    "hop_milliseconds": 10.0,
    "n_mels": 40,
    "low_hz": 20.0,
    "high_hz": None,
}


def noise(n):
    """A linear congruential generator, of which the upper 16 bits are taken."""
    state, samples = 1, []
    for _ in range(n):
        state = (state * 1_664_525 + 1_013_904_223) % 2**32
        samples.append((state >> 16) - 2**15)
    return np.array(samples)


def sine(rate, hz, n, amplitude=0.5):
    return np.round(amplitude * 32767 * np.sin(2 * np.pi * hz * np.arange(n) / rate))


def chirp(rate, low, high, n):
    time = np.arange(n) / rate
    return np.round(0.8 * 32767 * np.sin(2 * np.pi * (low * time + (high - low) / (2 * n / rate) * time**2)))


def impulse(n, at):
    samples = np.zeros(n)
    samples[at] = 32767
    return samples


def waveforms(rate):
    return {
        "sine": sine(rate, 440, 1000),
        "two sines": sine(rate, 250, 900, 0.3) + sine(rate, 3333, 900, 0.1),
        "chirp": chirp(rate, 50, rate / 2 - 50, 1500),
        "noise": noise(1200),
        "quiet noise": noise(600) // 8192,
        "silence": np.zeros(500),
        "impulse": impulse(700, 333),
        "impulse at the end": impulse(480, 479),
        "shorter than a window": chirp(rate, 300, 900, 61),
        "one sample": np.array([12345]),
        "full scale": np.full(400, -32768),
    }


def features(samples, config):
    rate = config["sample_rate_hz"]
    n_window = round(config["window_milliseconds"] * rate / 1000)
    with warnings.catch_warnings():
        # It says that the transform is longer than some of the waveforms.
        warnings.simplefilter("ignore")
        power = librosa.feature.melspectrogram(
            y=samples / 32768,
            sr=rate,
            n_fft=2 ** (n_window - 1).bit_length(),
            win_length=n_window,
            hop_length=round(config["hop_milliseconds"] * rate / 1000),
            window="hann",
            center=True,
            pad_mode="constant",
            power=2.0,
            n_mels=config["n_mels"],
            fmin=config["low_hz"],
            fmax=config["high_hz"] or rate / 2,
            htk=False,
            norm="slaney",
            dtype=np.float64,
        )
    return np.log(np.maximum(power, 1e-10)).T


def main():
    cases = []
    for config_name, changes in CONFIGS.items():
        config = DEFAULTS | changes
        for name, samples in waveforms(config["sample_rate_hz"]).items():
            found = features(samples, config)
            cases.append(
                {
                    "name": f"{name}, {config_name}",
                    "config": config,
                    "samples": samples.astype(int).tolist(),
                    "n_frames": len(found),
                    "values": [round(value, 5) for value in found.flatten().tolist()],
                }
            )
    golden = {"tool": "librosa", "version": librosa.__version__, "cases": cases}
    path = pathlib.Path(__file__).with_name("log_mel.json")
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
