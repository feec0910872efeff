"""A reward of one's own, for the term `external`: the share of different words in a response."""

import json
import sys


def score(text):
    words = text["response"].split()
    return len(set(words)) / len(words) if words else 0.0


for line in sys.stdin.buffer:
    request = json.loads(line)
    scores = [score(text) for text in request["texts"]]
    print(json.dumps({"id": request["id"], "scores": scores}, allow_nan=False), flush=True)
