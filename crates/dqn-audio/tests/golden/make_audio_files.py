"""Writes audio_files.json: small WAV and FLAC files by libsndfile and what it reads from them, for tests/files.rs.

    pip install soundfile==0.14.0 numpy==2.4.6
    python make_audio_files.py

Each case holds the bytes of a file in hexadecimal and the mean of its channels, sample by sample. In files of floats
libsndfile writes the time at which they were made, so that they differ from run to run in those bytes.
"""

import io
import json
import pathlib

import numpy as np
import soundfile
from make_log_mel import chirp, noise

ENCODINGS = {
    "WAV": ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"],
    # With the extended header, which names a sub-format.
    "WAVEX": ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"],
    "FLAC": ["PCM_S8", "PCM_16", "PCM_24"],
}
UNSUPPORTED = [
    ("WAV", "ULAW"),
    ("WAV", "ALAW"),
    ("WAV", "IMA_ADPCM"),
    ("AIFF", "PCM_16"),
    ("OGG", "VORBIS"),
    ("AU", "PCM_16"),
]
SAMPLE_RATE_HZ = 8000


def file(samples, container, encoding):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE_HZ, format=container, subtype=encoding)
    return buffer.getvalue()


def case(name, samples, container, encoding):
    content = file(samples, container, encoding)
    read, rate = soundfile.read(io.BytesIO(content), dtype="float64", always_2d=True)
    return {
        "name": f"{name}, {container} {encoding}",
        "sample_rate_hz": rate,
        "file": content.hex(),
        "samples": [round(value, 9) for value in read.mean(axis=1).tolist()],
    }


def main():
    stereo = np.stack([noise(24), -(noise(48)[24:] // 2)], axis=1) / 32768
    six = noise(60).reshape(10, 6) / 32768
    cases = [
        case(name, samples, container, encoding)
        for container, encodings in ENCODINGS.items()
        for encoding in encodings
        for name, samples in [("mono", stereo[:, 0]), ("stereo", stereo), ("six channels", six)]
    ]
    # Frames of every kind that FLAC has: predicted, verbatim and constant ones, and more than one block.
    cases.append(case("chirp", chirp(8000, 50, 900, 4500) / 32768, "FLAC", "PCM_16"))
    cases.append(case("silence", np.zeros(9000), "FLAC", "PCM_16"))
    both = np.stack([chirp(8000, 50, 90, 300), chirp(8000, 50, 90, 300) // 2], axis=1) / 32768
    cases.append(case("both sides alike", both, "FLAC", "PCM_16"))
    golden = {
        "tool": "soundfile",
        "version": soundfile.__version__,
        "library": soundfile.__libsndfile_version__,
        "cases": cases,
        "unsupported": [
            {"name": f"{container} {encoding}", "file": file(stereo[:, 0], container, encoding).hex()}
            for container, encoding in UNSUPPORTED
        ],
    }
    path = pathlib.Path(__file__).with_name("audio_files.json")
    path.write_text(json.dumps(golden, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
