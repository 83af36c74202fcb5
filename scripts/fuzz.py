#!/usr/bin/env python3
"""Change what Rodin reads at random, read it under a limit of memory, and count what comes of it.

    python scripts/fuzz.py [--count 10000] [--seed 0] [--memory 3] [--seconds 60]

Each input is a good one with bytes flipped, cut, doubled or filled, or, where it is JSON, YAML or a safetensors header,
with values replaced by ones that are too large, too deep, no numbers, or of another kind. A clear error is a UserError
of one line; what else is raised, takes more memory, or more time, is a fault, and is kept to be looked at.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
import yaml
from PIL import Image

from rodin.avatars.avatar import SUFFIX, Avatar
from rodin.avatars.drawing import Drawing
from rodin.avatars.prompt_meaning import check_prompt
from rodin.camera import orbit
from rodin.cli.prompt_file import read_prompt_file
from rodin.data.captures import load_subject
from rodin.data.describe import describe, read_attributes
from rodin.data.shards import FittedSubject, read_shards, read_subject, write_shards, write_subject
from rodin.errors import UserError
from rodin.images import decode_image, open_image
from rodin.materials import MATERIALS
from rodin.models.folder import load_model
from rodin.models.index import shipped_folder
from rodin.models.refiner import Refiner, RefinerConfig
from rodin.parts import load_component, save_component
from rodin.prompts import completion
from rodin.prompts.grammar import understand
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.train.presets import load_preset, preset_yaml, smoke

STRANGE: tuple[Any, ...] = (
    None, True, "", "x" * 5000, "\0", "../../x.png", "/etc/passwd", -1, 0, 1, 2**31, 2**63, 10**30, 10**400, 1e-300,
    1e300, float("nan"), float("inf"), -float("inf"), [], {}, [[]], [None] * 100, {"a": {"b": {}}}, "1e3", "\ud800",
    [1e9] * 16,
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """One kind of input: how a good one is made, which of its files are changed, and how it is read."""

    make: Callable[[Path], None]
    read: Callable[[Path], object]
    files: str = "*"


def subject(folder: Path) -> None:
    """Three views of 16 x 16 with material maps and all that a capture may say."""
    camera = orbit([0.0, 120.0, 240.0], [0.0, 10.0, -10.0], size=16, fov_deg=30.0)
    alpha = np.zeros((16, 16), np.uint8)
    alpha[4:12, 4:12] = 255
    frames = []
    for view in range(3):
        Image.fromarray(np.dstack([alpha // 2, alpha // 3, alpha // 4, alpha])).save(folder / f"{view}.png")
        Image.fromarray(np.concatenate([alpha, 0 * alpha])).save(folder / f"{view}.materials.png")
        Image.fromarray(alpha).save(folder / f"{view}.mask.png")
        frames.append(
            {
                "file_path": f"{view}.png",
                "materials_path": f"{view}.materials.png",
                "mask_path": f"{view}.mask.png",
                "transform_matrix": camera.cam_to_world[view].tolist(),
            }
        )
    document = {
        "fl_x": camera.focal[0, 0].item(),
        "w": 16,
        "h": 16,
        "cx": 8,
        "cy": 8,
        "k1": 0,
        "aabb": [[-1, -1, -1], [1, 1, 1]],
        "up": "y",
        "frontal": 0,
        "materials": ["skin", "hair"],
        "caption": "a ball",
        "captions": ["a ball", "a round one"],
        "attributes": {"hair": "red", "age": 30, "beard": True},
        "frames": frames,
    }
    (folder / "transforms.json").write_text(json.dumps(document))


def read_picture(folder: Path) -> object:
    for path in sorted(folder.iterdir()):
        with open_image(path) as image:
            decode_image(image, path)
    return None


def pictures(folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 20, 4), dtype=np.uint8)
    image = Image.fromarray(pixels)
    for name in ("a.png", "a.webp", "a.tif", "a.gif"):
        image.save(folder / name)
    image.convert("RGB").save(folder / "a.jpg")


def avatar(folder: Path) -> None:
    decoder = Decoder(DecoderConfig(channels=4, hidden=16, materials=len(MATERIALS)))
    refiner = Refiner(RefinerConfig(channels=4, width=8, blocks=1, scale=2))
    palette, noise = torch.rand(len(MATERIALS), 3), torch.zeros(3, 4, 4, 4)
    one = Avatar(torch.randn(3, 4, 8, 8), decoder, refiner, torch.randn(512), noise, Drawing(seed=0), "h", palette)
    one.save(folder / f"one{SUFFIX}")


def fitted() -> FittedSubject:
    return FittedSubject("one", torch.randn(3, 4, 8, 8), "a ball", torch.rand(8, 8, 4), 30.0, 0.9)


def preset(folder: Path) -> None:
    (folder / "one.yaml").write_text(preset_yaml(smoke()))


def prompts(folder: Path) -> None:
    (folder / "one.txt").write_text(
        "a bald man\nan old woman with glasses but no hat\n# no prompt\n(a man) 70 years old\n"
    )


def read_prompts(folder: Path) -> None:
    for _, prompt in read_prompt_file(folder / "one.txt"):
        check_prompt(prompt)
        completion.complete(understand(prompt), 0)


def model(folder: Path) -> None:
    shutil.copytree(shipped_folder(), folder, dirs_exist_ok=True)
    (folder / "checksums.json").unlink(missing_ok=True)  # what a stranger writes has the right ones


def without_seal(make: Callable[[Path], None]) -> Callable[[Path], None]:
    """The same without checksums, as a stranger would mend them."""

    def made(folder: Path) -> None:
        make(folder)
        for path in sorted(folder.rglob("*.safetensors")):
            change_header(path, _unsealed)
        for path in sorted(folder.rglob("checksums.json")):
            path.unlink()

    return made


def _unsealed(header: Any) -> None:
    for name in ("sealed", "crc32"):
        header.get("__metadata__", {}).pop(name, None)


def shards(folder: Path) -> None:
    write_shards(folder, [fitted()], decoder_hash="hash", per_shard=1)


KINDS = {
    "transforms.json": Kind(subject, lambda folder: load_subject(folder, maps=True), "transforms.json"),
    "attributes": Kind(subject, lambda folder: describe(read_attributes(folder)), "transforms.json"),
    "views, maps, masks": Kind(subject, lambda folder: load_subject(folder, 8, maps=True), "*.png"),
    "pictures": Kind(pictures, read_picture),
    "avatars": Kind(avatar, lambda folder: Avatar.load(folder / f"one{SUFFIX}")),
    "avatars, unsealed": Kind(without_seal(avatar), lambda folder: Avatar.load(folder / f"one{SUFFIX}")),
    "fits": Kind(
        without_seal(lambda folder: write_subject(folder / "one.safetensors", fitted())),
        lambda folder: read_subject(folder / "one.safetensors"),
    ),
    "shards": Kind(shards, lambda folder: list(read_shards(folder))),
    "shards, no checksums": Kind(without_seal(shards), lambda folder: list(read_shards(folder))),
    "parts": Kind(
        without_seal(lambda folder: save_component(Decoder(DecoderConfig(channels=4, hidden=16)), folder / "part")),
        lambda folder: load_component(Decoder, DecoderConfig, folder / "part"),
    ),
    "models": Kind(model, lambda folder: load_model(folder), "*.json"),
    "encoders": Kind(model, lambda folder: load_model(folder).encoder().encode_texts(["a man"]), "encoder/*.json"),
    "presets": Kind(preset, lambda folder: load_preset(str(folder / "one.yaml"))),
    "prompts": Kind(prompts, read_prompts),
}


# ---- changes


def changed_bytes(data: bytes, rng: random.Random) -> bytes:
    """Some bytes of a file flipped, cut off, doubled, filled, or swapped."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        if not found:
            return bytes(found)
        first = rng.randrange(len(found)) if rng.random() < 0.5 else rng.randrange(min(len(found), 512))
        length = rng.choice((1, 2, 8, 64, 1024))
        match rng.randrange(6):
            case 0:
                found[first] ^= 1 << rng.randrange(8)
            case 1:
                del found[first : first + length]
            case 2:
                found[first:first] = found[first : first + length] * rng.choice((1, 2, 50))
            case 3:
                found[first : first + length] = bytes([rng.choice((0, 255, 32, 127))]) * length
            case 4:
                del found[first:]
            case 5:
                found[first : first + length] = rng.randbytes(length)
    return bytes(found)


def changed_value(document: Any, rng: random.Random) -> Any:
    """A document with one or some of its values replaced, taken away, doubled, or nested deep."""
    for _ in range(rng.choice((1, 1, 1, 3))):
        holder, key = _place(document, rng)
        if holder is None:
            return rng.choice(STRANGE)
        match rng.randrange(6):
            case 0 | 1 | 2:
                holder[key] = rng.choice(STRANGE)
            case 3:
                if isinstance(holder, dict):
                    del holder[key]
                else:
                    holder.append(holder[key])
            case 4:
                deep: Any = holder[key]
                for _ in range(rng.choice((2, 50, 3000))):
                    deep = [deep]
                holder[key] = deep
            case 5:
                value = holder[key]
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    holder[key] = (
                        value * rng.choice((-1, 0, 1e-3, 1e3, 1e6)) if rng.random() < 0.5 else 10 ** rng.randrange(20)
                    )
                else:
                    holder[key] = [value, value] * rng.choice((1, 500))
    return document


def _place(document: Any, rng: random.Random) -> tuple[Any, Any]:
    """A random place in a document: what holds it, and its key there."""
    holder, key, value = None, None, document
    while isinstance(value, (dict, list)) and value and (holder is None or rng.random() < 0.7):
        holder = value
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        value = holder[key]
    return holder, key


def change_header(path: Path, change: Callable[[Any], object]) -> None:
    """Change the header of a safetensors file, in place."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    change(header)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])


def change(path: Path, rng: random.Random) -> None:
    """Change one file: its bytes, or what it says."""
    if rng.random() < 0.4:
        path.write_bytes(changed_bytes(path.read_bytes(), rng))
        return
    try:
        if path.suffix == ".json":
            path.write_text(json.dumps(changed_value(json.loads(path.read_text()), rng)), errors="surrogatepass")
        elif path.suffix == ".yaml":
            text = yaml.safe_dump(changed_value(yaml.safe_load(path.read_text()), rng))
            path.write_text(text, errors="surrogatepass")
        elif path.suffix == ".safetensors":
            change_header(path, lambda header: _change_facts(header, rng))
        else:
            path.write_bytes(changed_bytes(path.read_bytes(), rng))
    except (ValueError, RecursionError, yaml.YAMLError, OverflowError):  # a value that the format cannot say
        path.write_bytes(changed_bytes(path.read_bytes(), rng))


def _change_facts(header: Any, rng: random.Random) -> None:
    facts = header.get("__metadata__", {})
    name = rng.choice(list(facts)) if facts else None
    if name is None or rng.random() < 0.2:
        changed_value(header, rng)
        return
    try:
        facts[name] = json.dumps(changed_value(json.loads(facts[name]), rng))
    except (ValueError, RecursionError):
        facts[name] = rng.choice(("", "x", "[]", "{}", "nan", "[" * 5000))


# ---- reading


def outcome(kind: Kind, folder: Path) -> str:
    """What comes of reading an input."""
    try:
        kind.read(folder)
    except UserError as error:
        said = str(error)
        return "clear error" if "\n" not in said and len(said) < 2000 else "an error of many lines"
    except TimeoutError:
        return "too slow"
    except BaseException as error:
        return f"{type(error).__name__}: {traceback.format_exc()}"
    return "accepted"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--memory", type=float, default=3.0, help="GB that reading may take beyond what the libraries do"
    )
    parser.add_argument("--seconds", type=int, default=60, help="that reading may take")
    parser.add_argument("--only", nargs="+", choices=list(KINDS))
    parser.add_argument("--keep", type=Path, default=Path("out/fuzz"), help="folder for inputs that are faults")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    load_model(shipped_folder()).encoder()  # what is imported once is no input's memory
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = used + int(arguments.memory * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    signal.signal(signal.SIGALRM, _too_slow)
    chosen = {name: kind for name, kind in KINDS.items() if arguments.only is None or name in arguments.only}
    counts: dict[str, Counter[str]] = {name: Counter() for name in chosen}
    faults, began = 0, time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        for name, kind in chosen.items():
            good = Path(scratch, "good", name.replace(" ", "-"))
            good.mkdir(parents=True)
            kind.make(good)
            assert outcome(kind, good) == "accepted", name
        for number in range(arguments.count):
            name = list(chosen)[number % len(chosen)]
            kind, rng = chosen[name], random.Random(f"{arguments.seed} {number}")
            folder = Path(scratch, "changed")
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(Path(scratch, "good", name.replace(" ", "-")), folder)
            files = sorted(path for path in folder.rglob("*") if path.is_file() and _matches(path, folder, kind.files))
            changed = rng.choice(files)
            change(changed, rng)
            signal.alarm(arguments.seconds)
            found = outcome(kind, folder)
            signal.alarm(0)
            counts[name][found.partition(":")[0]] += 1
            if found not in ("clear error", "accepted"):
                faults += 1
                print(f"{name}, input {number}, {changed.relative_to(folder)}: {found}", flush=True)
                shutil.copytree(folder, arguments.keep / f"{number}", dirs_exist_ok=True)
    print(f"| input | changed | clear errors | accepted | faults |\n|{' --- |' * 5}")
    for name, found in counts.items():
        rest = found.total() - found["clear error"] - found["accepted"]
        print(f"| {name} | {found.total()} | {found['clear error']} | {found['accepted']} | {rest} |")
    print(f"{arguments.count} inputs in {time.monotonic() - began:.0f} s, {faults} faults")
    sys.exit(1 if faults else 0)


def _matches(path: Path, folder: Path, pattern: str) -> bool:
    return path.relative_to(folder).match(pattern)


def _too_slow(*_: object) -> None:
    raise TimeoutError


if __name__ == "__main__":
    main()
