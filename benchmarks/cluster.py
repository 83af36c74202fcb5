"""What fan-out costs and what shards give: a Ray node against the pool, and reading against training.

    python benchmarks/cluster.py [--rounds 3]

Both engines do the same work with two processes on this machine, in turns, and start their processes anew each time:
100 tasks sleep for half a second each, which no other work on the machine makes longer, and 100 subjects (copies of
those in examples/avatars) are fitted as smoke does, by a decoder that is there already. Then shards of mini's size are
read, and as many training steps of mini's base model are taken as tell how many samples a second it consumes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from claims import Claim, claims_table, table
from timing import Contender, progress, ratios, spread, take_turns

from rodin.data.shards import FittedSubject, read_shards, write_shards
from rodin.fan_out import Engine, Pool, Ray
from rodin.fit.subjects import fit_dataset
from rodin.plan.measure import training_gflops
from rodin.plan.work import TRAINED, unet_operations
from rodin.storage import Url, put_folder
from rodin.train.presets import mini, smoke

SUBJECTS, PROCESSES = 100, 2
EXAMPLES = Path(__file__).parents[1] / "examples" / "avatars"
FITTING = smoke().fitting
ASLEEP_S = 0.5
READ = 64  # subjects
OVERHEAD, TIMES = 1.10, 20  # goals


@contextmanager
def ray_node() -> Iterator[None]:
    """A Ray node on this machine, which --ray auto finds, for as long as this runs."""
    root = tempfile.mkdtemp(prefix="ray-")
    os.environ.update(RAY_TMPDIR=root, RAY_USAGE_STATS_ENABLED="0")
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--include-dashboard=false"]
    command += ["--num-cpus", str(PROCESSES), "--object-store-memory", str(2**27), "--port", "0"]
    node = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not list(Path(root).rglob("ray_current_cluster")):
            if node.poll() is not None:
                sys.exit("cluster.py: ray start failed")
            time.sleep(0.1)
        yield
    finally:
        node.terminate()
        node.wait()
        shutil.rmtree(root, ignore_errors=True)


def fit_all(data: Path, run: Path, engine: Engine) -> None:
    """All subjects anew, with the decoder that is there."""
    for folder in (*run.glob("fits-*"), run / "planes"):
        shutil.rmtree(folder, ignore_errors=True)
    fit_dataset(data, run, FITTING, engine, seed=0)


def compare(rounds: int) -> list[Claim]:
    """Print how long both engines take."""
    engines: dict[str, Engine] = {"pool": Pool(workers=PROCESSES), "Ray": Ray(address="auto")}
    with tempfile.TemporaryDirectory() as scratch, ray_node():
        data, run = Path(scratch) / "data", Path(scratch) / "run"
        examples = sorted(folder for folder in EXAMPLES.iterdir() if folder.is_dir())
        for number in range(SUBJECTS):
            shutil.copytree(examples[number % len(examples)], data / f"{number:05d}")
        first = Path(scratch) / "first"
        shutil.copytree(data / "00000", first / "00000")
        learned = replace(FITTING, shared=replace(FITTING.shared, subjects=1))
        fit_dataset(first, run, learned, Pool(workers=1), seed=0)
        works: dict[str, Callable[[Engine], object]] = {
            f"{SUBJECTS} tasks asleep": lambda engine: engine.results(time.sleep, SUBJECTS * [ASLEEP_S], id),
            f"{SUBJECTS} fits": lambda engine: fit_all(data, run, engine),
        }
        rows, claims = [], []
        for name, work in works.items():
            contenders = {key: Contender(lambda one=one, do=work: do(one)) for key, one in engines.items()}
            made = take_turns(contenders, rounds, name)
            times = ratios(made["Ray"].wall, made["pool"].wall)
            rows.append([name, *(spread(made[key].wall, 1) for key in engines), spread(times, 3)])
            ratio = statistics.median(times)
            goal = f"< {OVERHEAD - 1:.0%} overhead"
            claims.append(Claim(f"Ray, {name}", "local pool", goal, f"{ratio - 1:+.1%}", ratio < OVERHEAD))
    print(f"## Ray against the pool\n\nSeconds, on {PROCESSES} processes.\n")
    print(table(["", *engines, "Ray / pool"], rows))
    print()
    return claims


def subjects() -> Iterator[FittedSubject]:
    """Fits of mini's size, of noise."""
    preset = mini().fitting
    side, generator = preset.planes.plane_size, torch.Generator().manual_seed(0)
    for number in range(READ):
        planes = torch.randn(3, preset.decoder.channels, side, side, generator=generator)
        frontal = torch.rand(preset.planes.image_size, preset.planes.image_size, 4, generator=generator)
        yield FittedSubject(f"{number:05d}", planes, "somebody", frontal, psnr=30.0, ssim=0.9)


def read_and_train(rounds: int) -> Claim:
    """Print how many subjects a second are read, and how many samples training takes."""
    base = mini().base
    with tempfile.TemporaryDirectory() as scratch:
        folder, url = Path(scratch), Url("memory://bench")
        write_shards(folder, subjects(), decoder_hash="0" * 64, per_shard=mini().fitting.per_shard)
        put_folder(folder, url, last="index.json")
        read = take_turns(
            {
                "folder": Contender(lambda: sum(1 for _ in read_shards(folder))),
                "URL (memory://)": Contender(lambda: sum(1 for _ in read_shards(url))),
            },
            rounds,
            "reading",
        )
        progress("training")
        trained = training_gflops() * 1e9 / (TRAINED * unet_operations(base.network)[0])
    rows = [[name, spread([READ / one for one in taken.cpu], 0)] for name, taken in read.items()]
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "one CPU core"
    side = mini().fitting.planes.plane_size
    print("## Reading shards\n")
    print(f"Subjects of mini ({side}-texel planes), CPU time of one core; its base model trains on {where}.\n")
    print(table(["", "subjects a second"], [*rows, ["consumed by training", f"{trained:.1f}"]]))
    print()
    times = min(sorted(READ / one / trained for one in taken.cpu)[rounds // 2] for taken in read.values())
    return Claim(
        "reading shards", f"base training of mini on {where}", f">= {TIMES} x", f"{times:.0f} x", times >= TIMES
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(claims_table([read_and_train(rounds), *compare(rounds)]))


if __name__ == "__main__":
    main()
