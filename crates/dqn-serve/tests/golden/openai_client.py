"""Asks a running example server through OpenAI's own client, streamed and not, and counts errors under load.

    cargo run -p dqn-serve --example fake -- 127.0.0.1:8080 1
    pip install openai==3.57.0
    python openai_client.py http://127.0.0.1:8080 20

The second argument is for how many seconds 32 clients ask at once.
"""

import asyncio
import sys
import time

import openai
from openai import AsyncOpenAI, OpenAI

N_CLIENTS = 32
PROMPT = "Once upon a time 你好~"
TEXT = PROMPT[:-1]
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}]


def completions(client):
    answer = client.completions.create(model="fake", prompt=PROMPT, max_tokens=50, logprobs=2)
    choice = answer.choices[0]
    assert (choice.text, choice.finish_reason) == (TEXT, "stop"), answer
    assert "".join(choice.logprobs.tokens) == TEXT and len(choice.logprobs.advantages) == answer.usage.completion_tokens
    several = client.completions.create(
        model="fake", prompt=["abcdef~", "ghi~"], n=2, temperature=1, seed=7, extra_body={"beta": 0.5, "top_k": 3}
    )
    assert [choice.index for choice in several.choices] == [0, 1, 2, 3]
    stream = client.completions.create(
        model="fake", prompt="count to END and on", stop=["END"], max_tokens=50, stream=True,
        stream_options={"include_usage": True},
    )
    parts = list(stream)
    assert "".join(part.choices[0].text for part in parts[:-1]) == "count to ", parts
    assert parts[-1].choices == [] and parts[-1].usage.completion_tokens == 12, parts[-1]
    steered = client.completions.create(model="fake", prompt="abc~", extra_body={"beta": 4})
    assert steered.choices[0].text == "ABC"


def chats(client):
    answer = client.chat.completions.create(model="fake", messages=MESSAGES, logprobs=True, top_logprobs=1)
    choice = answer.choices[0]
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", TEXT, "stop"), answer
    rows = choice.logprobs.content
    assert bytes(byte for row in rows for byte in row.bytes).decode() == TEXT and rows[0].advantage is not None
    stream = client.chat.completions.create(model="fake", messages=MESSAGES, stream=True, max_completion_tokens=40)
    deltas = [part.choices[0] for part in stream]
    assert deltas[0].delta.role == "assistant" and deltas[-1].finish_reason == "stop"
    assert "".join(choice.delta.content or "" for choice in deltas) == TEXT
    with client.chat.completions.stream(model="fake", messages=MESSAGES) as events:
        assert events.get_final_completion().choices[0].message.content == TEXT


def rest(client):
    assert [model.id for model in client.models.list()] == ["fake"]
    assert client.models.retrieve("fake").created == 1_700_000_000
    for kind, ask in [
        (openai.NotFoundError, lambda: client.models.retrieve("other")),
        (openai.NotFoundError, lambda: client.completions.create(model="other", prompt="x")),
        (openai.BadRequestError, lambda: client.completions.create(model="fake", prompt="x", temperature=9)),
        (openai.BadRequestError, lambda: client.completions.create(model="fake", prompt="x", suffix="y")),
        (openai.InternalServerError, lambda: client.with_options(max_retries=0).completions.create(model="fake", prompt="!fail")),
    ]:
        try:
            ask()
        except kind as error:
            assert isinstance(error.body["message"], str) and error.request_id, error
        else:
            raise AssertionError(f"{kind.__name__} was expected")
    # A stream that is left early frees its slot; the others below would else find none.
    for _ in range(40):
        stream = client.completions.create(model="fake", prompt="for ever ", max_tokens=4000, stream=True)
        next(iter(stream))
        stream.close()


async def load(address, seconds):
    client = AsyncOpenAI(base_url=address + "/v1", api_key="none", max_retries=0)
    end = time.monotonic() + seconds
    counts = {"completions": 0, "streams": 0, "chats": 0, "tokens": 0}

    async def one(number):
        while time.monotonic() < end:
            text = f"client {number} of many 你好 {counts['tokens']}"
            if number % 3 == 0:
                answer = await client.completions.create(model="fake", prompt=text + "~", max_tokens=200)
                found, kind = answer.choices[0].text, "completions"
            elif number % 3 == 1:
                stream = await client.completions.create(model="fake", prompt=text + "~", max_tokens=200, stream=True)
                found, kind = "".join([part.choices[0].text async for part in stream]), "streams"
            else:
                messages = [{"role": "user", "content": text + "~"}]
                answer = await client.chat.completions.create(model="fake", messages=messages)
                found, kind = answer.choices[0].message.content, "chats"
            assert found == text, (found, text)
            counts[kind] += 1
            counts["tokens"] += len(text.encode()) + 1

    await asyncio.gather(*(one(number) for number in range(N_CLIENTS)))
    print(f"{N_CLIENTS} clients for {seconds} s, no error:", counts)


def main():
    address, seconds = sys.argv[1], float(sys.argv[2])
    client = OpenAI(base_url=address + "/v1", api_key="none")
    completions(client)
    chats(client)
    rest(client)
    print(f"openai {openai.__version__}: completions, chats, streams, models and errors are as it expects")
    asyncio.run(load(address, seconds))


if __name__ == "__main__":
    main()
