"""The page of `dqn-cli serve` in a headless Chromium, driven as a person would: a prompt, beta, Write, and a look at a token.

    pip install -r bench/openai/requirements.txt
    python3 bench/openai/page.py --program target/release/dqn-cli --run RUN [--chromium chromium] [--screenshot page.png]

RUN has values on a pretrained model. Fails where the page differs from what the API says for the same seed, colours no token, or reports an
error.
"""

import argparse
import base64
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

import websocket

from clients import served

PROMPT, SEED, BETA = "Once upon a time", 5, 8


class Browser:
    """A tab of Chromium."""

    def __init__(self, program, folder):
        command = [program, "--headless=new", "--no-sandbox", "--remote-debugging-port=0", f"--user-data-dir={folder}"]
        command += ["--remote-allow-origins=*", "--window-size=1000,900"]
        self.process = subprocess.Popen([*command, "about:blank"], stderr=subprocess.DEVNULL)
        port_file = pathlib.Path(folder) / "DevToolsActivePort"
        while not port_file.exists():
            time.sleep(0.05)
        port = port_file.read_text().splitlines()[0]
        tabs = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json"))
        [tab] = [tab for tab in tabs if tab["type"] == "page"]
        self.socket = websocket.create_connection(tab["webSocketDebuggerUrl"], timeout=30)
        self.number, self.errors = 0, []
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("method") == "Runtime.exceptionThrown":
                self.errors.append(message["params"]["exceptionDetails"]["text"])
            if message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
                self.errors.append(message["params"]["entry"]["text"])
            if message.get("id") == self.number:
                return message["result"]

    def ask(self, expression):
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return found["result"].get("value")

    def wait_for(self, expression, seconds=30):
        end = time.time() + seconds
        while not self.ask(expression):
            if time.time() > end:
                sys.exit(f"never true: {expression}")
            time.sleep(0.05)


def by_api(address):
    """What the API writes with these settings."""
    asked = {"prompt": PROMPT, "max_tokens": 60, "temperature": 1, "seed": SEED, "beta": BETA}
    request = urllib.request.Request(
        f"{address}/v1/completions", json.dumps(asked).encode(), {"Content-Type": "application/json"}
    )
    return json.load(urllib.request.urlopen(request))["choices"][0]["text"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--program", required=True)
    arguments.add_argument("--run", required=True)
    arguments.add_argument("--chromium", default="chromium")
    arguments.add_argument("--screenshot")
    options = arguments.parse_args()
    folder = tempfile.mkdtemp()
    server, address = served(options.program, options.run, f"{folder}/log")
    browser = Browser(options.chromium, folder)
    try:
        browser.call("Page.navigate", url=f"{address}/")
        browser.wait_for("document.getElementById('facts')?.textContent.includes('tokens')")
        for field, value in {"prompt": PROMPT, "beta": BETA, "temperature": 1, "tokens": 60, "seed": SEED}.items():
            browser.ask(
                f"(() => {{ const field = document.getElementById('{field}'); field.value = {json.dumps(str(value))};"
                " field.dispatchEvent(new Event('input', {bubbles: true})); })()"
            )
        browser.ask("document.getElementById('write').click()")
        browser.wait_for("document.querySelectorAll('#text u').length > 0")
        browser.wait_for("!document.getElementById('write').disabled")
        shown = browser.ask("document.getElementById('text').textContent")
        levels = browser.ask("[...new Set([...document.querySelectorAll('#text u')].map(token => token.className))].join(' ')")
        browser.ask("document.querySelector('#text').focus()")
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight", windowsVirtualKeyCode=39)
        tip = browser.ask("document.getElementById('tip').textContent")
        error = browser.ask("document.getElementById('error').textContent")
        if options.screenshot:
            image = browser.call("Page.captureScreenshot", format="png")["data"]
            pathlib.Path(options.screenshot).write_bytes(base64.b64decode(image))
        expected = by_api(address)
        faults = [
            (shown != PROMPT + expected, f"the page shows {shown!r}, the API says {expected!r}"),
            (len(levels.split()) < 3, f"tokens have the colours {levels!r}"),
            ("dvantage" not in tip, f"a token tells {tip!r}"),
            (bool(error), f"the page reports {error!r}"),
            (bool(browser.errors), f"the console reports {browser.errors}"),
        ]
        faults = [fault for is_fault, fault in faults if is_fault]
        print("\n".join(faults) if faults else f"the page writes {len(shown)} letters as the API does; a token tells: {tip}")
    finally:
        browser.process.terminate()
        browser.process.wait()
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
