"""Somebody who draws three avatars in a studio and takes them away; for `scripts/soak.py`, which kills the studio."""

from __future__ import annotations

import http.client
import http.cookiejar
import json
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

SEEDS = (0, 1, 2)
SAMPLING = {"steps": 4, "upsampling_steps": 2}
#: What is said by a studio that is gone, or is going.
GONE = (OSError, http.client.HTTPException)


class Visitor(threading.Thread):
    """Draws the avatars that are not in the history yet, takes them all away, and ends the studio.

    A studio that is killed ends the visit; the next one knows who comes by the cookie in `work`.

    Args:
        process: the studio.
        log: what it says.
        work: gets the avatars, in shown/.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path, work: Path) -> None:
        super().__init__(daemon=True)
        self._process, self._log, self._work = process, log, work
        self._jar = http.cookiejar.LWPCookieJar(work / "studio" / "cookies.txt")
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self._jar)
        )

    def run(self) -> None:
        try:
            self._visit(self._address())
        except GONE:
            if (
                self._process.poll() is None and not self._ends()
            ):  # it is there, and refuses: the caller sees its exit code
                self._process.send_signal(signal.SIGABRT)
                raise
        else:
            self._process.send_signal(signal.SIGINT)

    def _ends(self) -> bool:
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _address(self) -> str:
        while self._process.poll() is None:
            if found := re.search(r"http://127\.0\.0\.1:\d+", self._log.read_text(errors="replace")):
                return found[0]
            time.sleep(0.05)
        raise ConnectionError("it ended before it said where it is")

    def _visit(self, address: str) -> None:
        if Path(self._jar.filename or "").exists():
            self._jar.load(ignore_discard=True)
        self._ask(f"{address}/model")
        self._jar.save(ignore_discard=True)
        there = {one["seed"]: one["id"] for one in json.loads(self._ask(f"{address}/avatars"))["avatars"]}
        for seed in SEEDS:
            if seed not in there:
                wanted = {"kind": "surprise", "seed": seed, "sampling": SAMPLING}
                job = json.loads(self._ask(f"{address}/avatars", wanted))["job"]
                told = self._ask(f"{address}/jobs/{job['id']}/events").decode().splitlines()
                end = json.loads([line for line in told if line.startswith("data: ")][-1].removeprefix("data: "))
                if end["state"] != "done":
                    raise ConnectionError(f"a drawing ended as {end['state']}: {end['error']}")
                there[seed] = end["avatars"][0]["id"]
        shown = self._work / "shown"
        shown.mkdir(exist_ok=True)
        for seed, name in there.items():
            (shown / f"{seed}.rodin.safetensors").write_bytes(self._ask(f"{address}/avatars/{name}.safetensors"))

    def _ask(self, address: str, body: Any = None) -> bytes:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(address, content, {"Content-Type": "application/json"} if content else {})
        with self._opener.open(request) as answer:
            return bytes(answer.read())
