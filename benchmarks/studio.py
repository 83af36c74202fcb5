"""How long people wait in the studio, with the model that ships.

    python benchmarks/studio.py [--rounds N]

The real command in a process of its own, warm; a client on the same machine asks for avatars one after another and
follows each. Beside the seconds on the clock are those that the studio's processor worked for an avatar.
"""

from __future__ import annotations

import argparse
import http.cookiejar
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from claims import Claim, claims_table, table
from timing import progress, spread

PROMPTS = ("an old man with a white beard and glasses", "a woman with long wavy red hair", "a boy in a yellow hoodie")
FIRST_SECONDS, WHOLE_SECONDS, TYPED_SECONDS = 4.0, 8.0, 0.05  # the goals, on two cores
TICKS = 100  # a second, of the kernel's account of processor time


class Client:
    """Somebody in a studio."""

    def __init__(self, address: str) -> None:
        self.address = address
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)

    def ask(self, path: str, body: Any = None) -> Any:
        """An answer to be read."""
        content = None if body is None else json.dumps(body).encode()
        return self.opener.open(
            urllib.request.Request(self.address + path, content, {"Content-Type": "application/json"})
        )

    def draw(self, prompt: str, seed: int) -> tuple[float, float]:
        """Seconds until there is something to see, and until all is there."""
        began = time.perf_counter()
        job = json.load(self.ask("/avatars", {"kind": "prompt", "prompt": prompt, "seed": seed}))["job"]
        first = None
        for line in self.ask(f"/jobs/{job['id']}/events"):
            if line.startswith(b"data: "):
                job = json.loads(line.removeprefix(b"data: "))
                if first is None and job["preview"]:
                    self.ask(job["preview"]).read()
                    first = time.perf_counter() - began
        if job["state"] != "done" or first is None:
            raise SystemExit(f"studio.py: a job ended as {job['state']}: {job['error']}")
        self.ask(job["avatars"][0]["links"]["picture"] + "?size=256").read()
        return first, time.perf_counter() - began

    def understand(self, prompt: str) -> float:
        """Seconds until a prompt is understood."""
        began = time.perf_counter()
        self.ask("/understanding", {"prompt": prompt}).read()
        return time.perf_counter() - began


def worked(process: subprocess.Popen[str]) -> float:
    """Seconds that a process has kept processors busy."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def most_memory(process: subprocess.Popen[str]) -> float:
    """The most that a process has had in memory, in MB."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="avatars for each prompt")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "rodin", "studio", "--no-browser", "--port", "0", "--folder", folder]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+[0-9]", process.stdout.readline())
            assert found is not None
            measure(Client(found[0]), process, arguments.rounds)
        finally:
            process.terminate()
            process.wait()


def measure(client: Client, process: subprocess.Popen[str], rounds: int) -> None:
    """Print the claims and what stands behind them."""
    client.draw(PROMPTS[0], 0)  # warms up
    first, whole, cpu, typed = [], [], [], []
    for turn in range(rounds):
        for prompt in PROMPTS:
            progress(f"studio: turn {turn + 1} of {rounds}")
            before = worked(process)
            seconds = client.draw(prompt, turn)
            first.append(seconds[0])
            whole.append(seconds[1])
            cpu.append(worked(process) - before)
            typed += [client.understand(prompt[:end]) for end in range(4, len(prompt), 4)]
    print("## The studio\n")
    print(
        f"`rodin studio` with the model that ships, one thread, warm; {len(first)} avatars for words, one after "
        f"another, and {len(typed)} half-typed prompts, from a client on the same machine. Seconds are medians "
        f"(quartiles). The studio's process has had at most {most_memory(process):.0f} MB in memory.\n"
    )
    rows = [
        ["words sent to first picture", spread(first, 2), ""],
        ["words sent to whole avatar and its picture", spread(whole, 2), spread(cpu, 2)],
        ["a prompt understood while it is typed", spread(typed, 3), ""],
    ]
    print(table(["", "wall, s", "processor, s"], rows) + "\n")
    goals = (("first picture", first, FIRST_SECONDS), ("whole avatar", whole, WHOLE_SECONDS))
    goals += (("a prompt understood", typed, TYPED_SECONDS),)
    claims = []
    for name, seconds, goal in goals:
        found = statistics.median(seconds)
        claims.append(Claim(f"studio: {name}", "-", f"< {goal:g} s", f"{found:.3f} s", found < goal))
    print(claims_table(claims))


if __name__ == "__main__":
    main()
