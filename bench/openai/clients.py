"""The official OpenAI client against `dqn-cli serve`: what it says, and how many tokens a second many clients get.

    pip install -r bench/openai/requirements.txt
    cargo build --release --workspace
    python3 bench/openai/clients.py --program target/release/dqn-cli --model FOLDER

FOLDER is that of a language model. Starts a server on a free port; holds a completion and a stream of the same seed against each other
and against `model generate`; lets one client ask again and again, then 32 of them at once, half of them streaming, every twentieth request
given up in the middle; and prints one JSON line with tokens a second, their ratio, and the requests that failed.
"""

import argparse
import asyncio
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import openai

PROMPT = "Once upon a time"


def served(program, model, log):
    """A server, which tells what it does in the file `log`, and its address."""
    # A pipe that nobody reads would stop the server when it is full.
    with open(log, "w") as output:
        server = subprocess.Popen([program, "serve", model, "--bind", "127.0.0.1:0", "--slots", "32"], stderr=output)
    while True:
        lines = pathlib.Path(log).read_text().splitlines()
        addresses = [line.split(" ")[0] for line in lines if line.startswith("http://")]
        if addresses:
            return server, addresses[0]
        if server.poll() is not None:
            sys.exit("\n".join(lines))
        time.sleep(0.05)


def written(program, model, seed, n_tokens):
    """What the command line writes."""
    command = [program, "model", "generate", model, "--prompt", PROMPT, "--n-tokens", str(n_tokens)]
    found = subprocess.run(
        [*command, "--strategy", "boltzmann", "--seed", str(seed), "--json"], capture_output=True, text=True, check=True
    )
    return json.loads(found.stdout.splitlines()[0])["text"]


def agree(address, program, model):
    """Fails where completion, stream and command line differ."""
    client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", timeout=60)
    [name] = [model.id for model in client.models.list()]
    for seed in range(3):
        asked = {"model": name, "prompt": PROMPT, "max_tokens": 60, "temperature": 1.0, "seed": seed}
        whole = client.completions.create(**asked).choices[0].text
        pieces = "".join(part.choices[0].text for part in client.completions.create(**asked, stream=True) if part.choices)
        if not whole == pieces == written(program, model, seed, 60):
            sys.exit(f"seed {seed}: {whole!r} completed, {pieces!r} streamed, {written(program, model, seed, 60)!r} written")
    try:
        client.completions.create(model="another", prompt=PROMPT)
        sys.exit("a model that is not there was accepted")
    except openai.NotFoundError:
        return name


async def ask(client, name, number, n_tokens):
    """One request; its tokens, and whether it failed."""
    asked = {"model": name, "prompt": PROMPT, "max_tokens": n_tokens, "temperature": 1.0, "seed": number}
    try:
        if number % 2 == 0:
            answer = await client.completions.create(**asked)
            return answer.usage.completion_tokens, False
        n_read = 0
        stream = await client.completions.create(**asked, stream=True)
        async for part in stream:
            n_read += bool(part.choices and part.choices[0].text)
            if number % 20 == 19 and n_read == n_tokens // 2:
                await stream.close()
                break
        return n_read, False
    except openai.OpenAIError as error:
        print(f"request {number}: {error}", file=sys.stderr)
        return 0, True


async def busy(address, name, n_clients, seconds, n_tokens):
    """Tokens a second and failures of so many clients, each with one request at a time."""
    client = openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", timeout=60, max_retries=0)
    end, numbers = time.perf_counter() + seconds, iter(range(1_000_000))
    totals = {"tokens": 0, "requests": 0, "failures": 0}

    async def one():
        while time.perf_counter() < end:
            n_read, failed = await ask(client, name, next(numbers), n_tokens)
            totals["tokens"] += n_read
            totals["requests"] += 1
            totals["failures"] += failed

    begin = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(n_clients)))
    await client.close()
    return totals | {"tokens_per_second": totals["tokens"] / (time.perf_counter() - begin)}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--program", required=True)
    arguments.add_argument("--model", required=True)
    arguments.add_argument("--clients", type=int, default=32)
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--n-tokens", type=int, default=64)
    options = arguments.parse_args()
    folder = tempfile.TemporaryDirectory()
    server, address = served(options.program, options.model, f"{folder.name}/log")
    try:
        name = agree(address, options.program, options.model)
        one = asyncio.run(busy(address, name, 1, options.seconds / 3, options.n_tokens))
        many = asyncio.run(busy(address, name, options.clients, options.seconds, options.n_tokens))
    finally:
        server.terminate()
        server.wait()
        folder.cleanup()
    ratio = many["tokens_per_second"] / one["tokens_per_second"]
    print(json.dumps({"client": openai.__version__, "clients": options.clients, "one": one, "many": many, "ratio": ratio}))


if __name__ == "__main__":
    main()
