#!/usr/bin/env python3
"""Kill every command again and again, let it go on, and compare what comes out with a run that nobody disturbed.

    python scripts/soak.py [--kills 44] [--seed 0] [--out out/soak] [--only NAME ...]

One run makes a synthetic set, fits planes, trains every stage, draws avatars, exports a mesh and opens a studio, in
which somebody draws. A second one does the same, and each command of it is ended at random moments of the time that it
takes: by SIGKILL, SIGTERM and Ctrl-C in turn, the studio by the first two, since Ctrl-C is how one leaves it. It has to
go on, say no traceback, exit with 143 or 130 where it may still speak, leave no half-written file, and end with the
same bytes. So it goes on with a third run and more, until there were as many kills as wished.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import yaml
from soak_studio import Visitor

ROOT = Path(__file__).resolve().parents[1]
SUBJECTS = 6  # of the examples
STEPS = 100  # of each training
KILLS_IN_A_ROW = 2  # of a command, before it may end: after more, little of it is left
SIGNALS = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143, signal.SIGINT: 130}
PROMPTS = "a bald man\nan old woman with glasses\na man with a beard\n"
DRAWN_BY_TIME = ("checkpoint", "events", "samples", ".logs", "studio")  # and so in no two runs alike


@dataclass(frozen=True)
class Command:
    """One that is killed: its name, and its words, with {work} for the folder of the run."""

    name: str
    words: str


COMMANDS = (
    Command("synth", "synth --out {work}/set --count 3 --views 3 --size 32 --samples 1"),
    Command("encoder", "train encoder {data} --run {work}/run --preset {preset}"),
    Command("fit", "fit {data} --run {work}/run --preset {preset} --workers 2"),
    Command("palette", "train palette --run {work}/run --preset {preset}"),
    Command("base", "train base --run {work}/run --preset {preset}"),
    Command("prior", "train prior --run {work}/run --preset {preset}"),
    Command("upsampler", "train upsampler --run {work}/run --preset {preset}"),
    Command("refiner", "train refiner {data} --run {work}/run --preset {preset}"),
    Command("all", "train all {data} --run {work}/run --preset {preset}"),
    Command("generate", "generate --model {work}/run/model --prompts {prompts} --out {work}/drawn --steps 4"),
    Command("export", "export {work}/drawn/avatar-000.rodin.safetensors --out {work}/mesh.glb --threshold 5"),
    Command("studio", "studio --model {work}/run/model --folder {work}/studio --no-browser --port 0"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=44)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "soak")
    parser.add_argument("--data", type=Path, help="subjects instead of those of the examples")
    parser.add_argument("--preset", type=Path, help="a preset instead of a short one")
    parser.add_argument("--only", nargs="+", choices=[one.name for one in COMMANDS], help="those that are killed")
    arguments = parser.parse_args()
    work = arguments.out.resolve()
    shutil.rmtree(work, ignore_errors=True)
    names = prepare(work, arguments.data, arguments.preset)
    commands = [one for one in COMMANDS if one.name != "palette" or has_palette(Path(names["preset"]))]
    chosen = [one for one in commands if arguments.only is None or one.name in arguments.only]
    needed = commands[: commands.index(chosen[-1]) + 1]
    needed = needed if "synth" in [one.name for one in chosen] else needed[1:]
    seconds = {one: undisturbed(one, {**names, "work": str(work / "whole")}) for one in needed}
    rng, kills = random.Random(arguments.seed), Counter[str]()
    cut = {**names, "work": str(work / "cut")}
    while kills.total() < arguments.kills:
        shutil.rmtree(work / "cut")
        (work / "cut").mkdir()
        for command in needed:
            for _ in range(KILLS_IN_A_ROW if command in chosen else 0):
                signals = [one for one in SIGNALS if command.name != "studio" or one != signal.SIGINT]
                number = signals[kills.total() % len(signals)]
                began, moment = time.monotonic(), rng.uniform(0.05, 0.95) * seconds[command]
                if not killed(command, cut, number, moment):
                    seconds[command] = time.monotonic() - began  # it is done: the machine has become faster
                    break
                kills[command.name] += 1
            undisturbed(command, cut)
        compare(work / "whole", work / "cut")
    each = ", ".join(f"{name} {count}" for name, count in kills.items())
    print(f"{kills.total()} kills ({each}): the same as undisturbed")


def prepare(work: Path, data: Path | None, preset: Path | None) -> dict[str, str]:
    """Subjects, a short preset and prompts, and where they lie."""
    for run in ("whole", "cut"):
        (work / run).mkdir(parents=True)
    if data is None:
        data = work / "subjects"
        for folder in sorted((ROOT / "examples" / "avatars").iterdir())[:SUBJECTS]:
            shutil.copytree(folder, data / folder.name)
    if preset is None:
        preset = work / "short.yaml"
        text = subprocess.run([*RODIN, "preset", "smoke"], capture_output=True, text=True, check=True, cwd=ROOT).stdout
        document = yaml.safe_load(text)
        for stage in ("encoder", "base", "prior", "upsampler", "refiner", "palette"):
            document[stage]["loop"].update(steps=STEPS, warmup_steps=5, batch_size=4, checkpoint_every=40)
        document["fitting"]["shared"].update(subjects=4, common_steps=30, steps=60)
        preset.write_text(yaml.safe_dump(document))
    prompts = work / "prompts.txt"
    prompts.write_text(PROMPTS)
    return {"data": str(data.resolve()), "preset": str(preset.resolve()), "prompts": str(prompts)}


def has_palette(preset: Path) -> bool:
    """Whether a preset's decoder has materials."""
    return yaml.safe_load(preset.read_text())["palette"] is not None


RODIN = [sys.executable, "-m", "rodin"]


def start(command: Command, names: dict[str, str], log: Path, to_its_end: bool) -> subprocess.Popen[bytes]:
    words = [word.format(**names) for word in command.words.split()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*RODIN, *words], stdout=sink, stderr=sink, cwd=ROOT, env=environment, start_new_session=True
        )
    if command.name == "studio":
        Visitor(process, log, Path(names["work"]), leaves=to_its_end).start()
    return process


def undisturbed(command: Command, names: dict[str, str]) -> float:
    """Run a command to its end; the seconds that it took."""
    log, began = Path(names["work"]).parent / "log.txt", time.monotonic()
    process = start(command, names, log, to_its_end=True)
    if process.wait() != 0:
        sys.exit(f"{command.name}: exit code {process.returncode}\n{log.read_text(errors='replace')[-2000:]}")
    return time.monotonic() - began


def killed(command: Command, names: dict[str, str], number: signal.Signals, moment: float) -> bool:
    """Start a command and end it after a while; whether it was still there to be ended."""
    log = Path(names["work"]).parent / "log.txt"
    process = start(command, names, log, to_its_end=False)
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal's Ctrl-C does: to the workers too
        else:
            process.send_signal(number)
    found, text = process.wait(), log.read_text(errors="replace")
    wait_for_session(process.pid)
    print(f"{command.name}: {number.name} after {moment:.1f} s, exit code {found}", flush=True)
    if found == 0:
        return False
    early = moment < STARTING and found == -number  # Python itself was not there yet
    # A Ctrl-C that passes through code of `exec`, as dataclasses are made of, makes CPython die of it in the end, which
    # shells call 130 too.
    died = found == -signal.SIGINT and "rodin: interrupted" in text
    if found != SIGNALS[number] and not early and not died:
        sys.exit(f"{command.name}: exit code {found} after {number.name}\n{text[-2000:]}")
    if "Traceback" in text and not (early or number == signal.SIGKILL):
        sys.exit(f"{command.name}: a traceback after {number.name}\n{text[-4000:]}")
    return True


STARTING = 1.0  # seconds


def wait_for_session(session: int) -> None:
    """Until no process of a session is left: workers see that their parent is gone."""
    while True:
        alive = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, _, found = stat.read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            alive += int(found) == session and state != "Z"
        if not alive:
            return
        time.sleep(0.05)


def compare(whole: Path, cut: Path) -> None:
    """Exit with a message unless two runs have the same files, and nothing half-written."""
    left = [path for path in cut.rglob(".*") if path.name != ".logs"]
    if left:
        sys.exit(f"left over: {', '.join(map(str, left))}")
    first, second = digests(whole), digests(cut)
    unlike = [name for name in sorted(first.keys() | second.keys()) if first.get(name) != second.get(name)]
    if unlike:
        sys.exit(f"other than undisturbed: {', '.join(unlike)}")
    print(f"{len(first)} files alike")


def digests(run: Path) -> dict[str, str]:
    """What a run holds, but for what goes by the clock."""
    found = {}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run)
        if path.is_file() and not set(name.parts) & set(DRAWN_BY_TIME):
            data = path.read_bytes().replace(str(run).encode(), b"RUN")
            found[str(name)] = hashlib.sha256(data).hexdigest()
    return found


if __name__ == "__main__":
    main()
