"""Contract of SECURITY.md, across all packages: no file makes Rodin run code, whichever reader it comes to; no archive
writes anywhere; and no command asks the network for anything."""

from __future__ import annotations

import io
import os
import pickle
import re
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from rodin import checksums
from rodin.cli.verification import verify
from rodin.data.shards import FittedSubject, read_shards, write_shards
from rodin.errors import UserError
from rodin.models.perceptual import Vgg16Features
from rodin.synth.body.morph_head import load_morph_model
from rodin.train.loop import LoopConfig, Pupil
from rodin.train.preset_file import read_preset_file


class Call:
    """What a pickle may call where nothing stops it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., int], tuple[str]]:
        return os.system, (f"touch {self.trace}",)


def torch_file(path: Path, harm: Call) -> None:
    torch.save({"model": torch.zeros(2), "harm": harm}, path)


def old_torch_file(path: Path, harm: Call) -> None:
    torch.save({"model": torch.zeros(2), "harm": harm}, path, _use_new_zipfile_serialization=False)


def bare_pickle(path: Path, harm: Call) -> None:
    path.write_bytes(pickle.dumps(harm))


def array_file(path: Path, harm: Call) -> None:
    np.savez(path, V=np.array([harm], dtype=object))


def yaml_file(path: Path, harm: Call) -> None:
    path.write_text(f"encoder: !!python/object/apply:os.system ['touch {harm.trace}']\n")


def resume(path: Path) -> object:
    config = LoopConfig(steps=1, batch_size=1, learning_rate=1e-3, warmup_steps=0)
    return Pupil(torch.nn.Linear(2, 2), config, Accelerator(cpu=True)).resume(path)


@pytest.mark.parametrize(
    ("name", "write", "read"),
    [
        ("checkpoint.pt", torch_file, resume),
        ("checkpoint.pt", old_torch_file, resume),
        ("checkpoint.pt", bare_pickle, resume),
        ("vgg.pth", torch_file, Vgg16Features.from_file),
        ("vgg.pth", old_torch_file, Vgg16Features.from_file),
        ("vgg.pth", bare_pickle, Vgg16Features.from_file),
        ("head.npz", array_file, load_morph_model),
        ("head.npz", bare_pickle, load_morph_model),
        ("preset.yaml", yaml_file, read_preset_file),
    ],
)
def test_nothing_is_run(
    tmp_path: Path, name: str, write: Callable[[Path, Call], None], read: Callable[[Path], object]
) -> None:
    trace, path = tmp_path / "trace", tmp_path / "folder" / name
    path.parent.mkdir()
    write(path, Call(trace))
    with pytest.raises(UserError, match=re.escape(str(path))):
        read(path)
    assert not trace.exists()


def test_verify_runs_nothing(tmp_path: Path) -> None:
    """It looks at a checkpoint's checksums alone."""
    (tmp_path / "run").mkdir()
    torch_file(tmp_path / "run" / "checkpoint.pt", Call(tmp_path / "trace"))
    verify(tmp_path / "run")
    assert not (tmp_path / "trace").exists()


def test_the_harm_is_real(tmp_path: Path) -> None:
    """Where nothing stops it, such a file does what it says."""
    torch_file(tmp_path / "file.pt", Call(tmp_path / "trace"))
    torch.load(tmp_path / "file.pt", weights_only=False)
    assert (tmp_path / "trace").exists()


def member(name: str, **kind: object) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    for key, value in kind.items():
        setattr(made, key, value)
    return made


@pytest.mark.parametrize(
    "harm",
    [
        member("../escaped.json", size=2),
        member("{outside}/escaped.json", size=2),
        member("link", type=tarfile.SYMTYPE, linkname="../.."),
        member("link/escaped.json", size=2),
        member("device", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
        member("escaped", type=tarfile.DIRTYPE),
    ],
    ids=["parent", "absolute", "link", "within a link", "device", "folder"],
)
def test_no_archive_writes(tmp_path: Path, harm: tarfile.TarInfo) -> None:
    """A shard that a stranger made, with the checksums that a stranger can make too."""
    planes, frontal = torch.zeros(3, 2, 4, 4), torch.zeros(4, 4, 4)
    subject = FittedSubject("one", planes, "a person", frontal, psnr=25.0, ssim=0.9)
    folder = tmp_path / "planes"
    write_shards(folder, [subject], decoder_hash="d", per_shard=1)
    (shard,) = folder.glob("*.tar")
    harm.name = harm.name.replace("{outside}", str(tmp_path))
    with tarfile.open(shard, "a", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(harm, io.BytesIO(b"{}") if harm.size else None)
    checksums.note(folder)
    before = sorted(tmp_path.rglob("*"))
    with suppress(UserError):
        assert [found.name for found in read_shards(folder)] == ["one"]
    assert sorted(tmp_path.rglob("*")) == before


ASKED = """
    import os, sys
    asked = []
    def note(event, arguments):
        address = arguments[1] if event in ("socket.connect", "socket.sendto") else None
        if event in ("socket.getaddrinfo", "socket.gethostbyname") or isinstance(address, tuple):
            asked.append((event, str(arguments)))
            raise OSError("there is no network")
    sys.addaudithook(note)

    from rodin.cli.main import main
    model, avatar = sys.argv[1], "drawn/avatar-000.rodin.safetensors"
    steps = ["--steps", "2"]
    for words in (
        ["doctor"],
        ["preset", "smoke"],
        ["generate", "--model", model, "--text", "a ball of radius 0.5", *steps, "--out", "drawn"],
        ["generate", "--model", model, "--image", "drawn/avatar-000.png", *steps, "--out", "portrait"],
        ["edit", avatar, "--model", model, "--text", "a small ball", "--out", "edited"],
        ["vary", avatar, "--model", model, "--count", "1", "--out", "kin"],
        ["interpolate", avatar, "kin/avatar-000.rodin.safetensors", "--model", model, "--steps", "2", "--out", "way"],
        ["render", avatar, "--size", "16", "--out", "picture.png"],
        ["export", avatar, "--format", "html", "--out", "page.html"],
        ["demo", "--model", model, "--out", "demo"],
        ["ship", model, "--out", "shipped"],
        ["describe", sys.argv[2]],
        ["verify", "drawn"],
        ["generate", "--model", "openai/clip-vit-base-patch32", "--out", "none"],
    ):
        try:
            main(words)
        except SystemExit as ended:
            print(words[0], "ended with", ended.code, file=sys.stderr)
    assert not asked, asked
    try:
        __import__("urllib.request").request.urlopen("http://127.0.0.1:9/")
    except OSError:
        print("noted", len(asked))
"""


def test_no_command_asks_the_network(trained: Path, balls: Path, tmp_path: Path) -> None:
    """Whatever a library would ask for is noted, and a request that is really made is noted too."""
    command = [sys.executable, "-c", textwrap.dedent(ASKED), str(trained / "model"), str(balls)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "noted 1"
    ended = [line for line in done.stderr.splitlines() if " ended with " in line]
    # Balls have no attributes, and the last model is of the hub alone.
    assert ended == ["describe ended with 2", "generate ended with 2"], done.stderr
