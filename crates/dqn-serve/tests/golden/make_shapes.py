"""Writes shapes.json: answers as the types of OpenAI's client have them, which tests/http/answers.rs must equal.

    pip install openai==3.57.0
    python make_shapes.py

Every answer is made from the client's own types, which are made from OpenAI's documented API; a field that they do not
know, or that is missing, is refused here.
"""

import json
import pathlib

import openai
from openai.types import Completion, Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk

HEAD = {"id": "ID", "created": 0, "model": "fake"}
# Of "hi~" with the token that begins a text, and of "user: hi~\nassistant: ".
USAGE = {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
CHAT_USAGE = {"prompt_tokens": 21, "completion_tokens": 3, "total_tokens": 24}


def known(model):
    """Refuses fields that a type of the client does not have, at any depth."""
    extra = model.model_extra
    assert not extra, f"{type(model).__name__} does not know {extra}"
    for name in type(model).model_fields:
        part = getattr(model, name)
        for item in part if isinstance(part, list) else [part]:
            if hasattr(item, "model_extra"):
                known(item)


def shape(kind, value):
    model = kind.model_validate(value)
    known(model)
    return model.model_dump(mode="json", exclude_unset=True)


def entry(token, logprob):
    return {"token": token, "logprob": logprob, "bytes": list(token.encode())}


def main():
    # The engine writes "hi" and the end: log-probabilities are -0.25 (1 + token mod 4).
    h, i, end = entry("h", -0.25), entry("i", -0.5), entry("", -0.5)
    after_h, after_i = entry("i", -0.5), entry("j", -0.75)
    # After the end the fake's byte is that of its mark, 126, and the next one 127, which is written as it is.
    after_end = entry("\x7f", -1.0)
    columns = {
        "tokens": ["h", "i", ""],
        "token_logprobs": [-0.25, -0.5, -0.5],
        "top_logprobs": [{"h": -0.25, "i": -0.5}, {"i": -0.5, "j": -0.75}, {"": -0.5, "\x7f": -1.0}],
        "text_offset": [0, 1, 2],
    }
    rows = [
        h | {"top_logprobs": [h, after_h]},
        i | {"top_logprobs": [i, after_i]},
        end | {"top_logprobs": [end, after_end]},
    ]
    plain = {"index": 0, "text": "hi", "logprobs": None, "finish_reason": "stop"}
    message = {"role": "assistant", "content": "hi", "refusal": None}
    said = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}

    def part(delta, reason=None):
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return HEAD | {"object": "chat.completion.chunk", "choices": [choice], "usage": None}

    first = {"role": "assistant", "content": "", "refusal": None}
    last = HEAD | {"object": "chat.completion.chunk", "choices": [], "usage": CHAT_USAGE}
    completion = HEAD | {"object": "text_completion", "usage": USAGE}
    chat = HEAD | {"object": "chat.completion", "usage": CHAT_USAGE}
    logged = {"content": rows, "refusal": None}
    shapes = {
        "made_by": f"openai {openai.__version__}, make_shapes.py",
        "completion": shape(Completion, completion | {"choices": [plain]}),
        "completion_logprobs": shape(Completion, completion | {"choices": [plain | {"logprobs": columns}]}),
        "chat": shape(ChatCompletion, chat | {"choices": [said]}),
        "chat_logprobs": shape(ChatCompletion, chat | {"choices": [said | {"logprobs": logged}]}),
        "chat_stream": [
            shape(ChatCompletionChunk, value)
            for value in [part(first), part({"content": "h"}), part({"content": "i"}), part({}, "stop"), last]
        ],
        "model": shape(Model, {"id": "fake", "object": "model", "created": 1_700_000_000, "owned_by": "dqn"}),
    }
    path = pathlib.Path(__file__).with_name("shapes.json")
    path.write_text(json.dumps(shapes, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
