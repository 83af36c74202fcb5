"""Contract of `rodin generate` in a folder that has avatars: none is lost, each has a JSON that says how it was drawn,
and a file of prompts is drawn once, whatever stopped it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import rodin
from rodin.avatars.avatar import SUFFIX, Avatar
from rodin.avatars.pipeline import RodinPipeline
from rodin.cli import gallery
from rodin.cli.main import main

Fails = Callable[..., str]


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PICTURE_SIZE", 32), ("TURNTABLE_SIZE", 24), ("TURNTABLE_FRAMES", 2)):
        monkeypatch.setattr(gallery, name, value)


def stamps(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.iterdir()}


def test_numbers_go_on(trained: Path, tmp_path: Path) -> None:
    words = f"generate --model {trained / 'model'} --out {tmp_path} --steps 2".split()
    main([*words, "--seed", "5", "--text", "a ball"])
    first = stamps(tmp_path)
    main([*words, "--seed", "7"])
    assert first.items() <= stamps(tmp_path).items(), "nothing was overwritten"
    assert {f"avatar-001{SUFFIX}", "avatar-001.json", "overview-001.png"} <= set(stamps(tmp_path))
    said = json.loads((tmp_path / "avatar-000.json").read_text())
    avatar = Avatar.load(tmp_path / f"avatar-000{SUFFIX}")
    assert (said["prompt"], said["seed"], said["sampling"]["steps"]) == ("a ball", 5, 2)
    assert (said["model"], said["rodin"]) == (avatar.model_hash, rodin.__version__)
    assert "understood" in said
    main([*words, "--seed", "9", "--overwrite"])
    assert json.loads((tmp_path / "avatar-000.json").read_text())["seed"] == 9
    assert json.loads((tmp_path / "avatar-001.json").read_text())["seed"] == 7


def test_a_random_seed_is_said(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(f"generate --model {trained / 'model'} --out {tmp_path} --steps 2 --seed random".split())
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("seed: "))
    assert Avatar.load(tmp_path / f"avatar-000{SUFFIX}").drawing.seed == int(line.removeprefix("seed: "))


def test_a_file_of_prompts_goes_on_where_it_was(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed before the second avatar was whole; then a line is added."""
    prompts, out = tmp_path / "prompts.txt", tmp_path / "out"
    prompts.write_text("\ufeff# balls\na ball of radius 0.5\n\n  a ball  \n", encoding="utf-8")
    words = f"generate --model {trained / 'model'} --out {out} --steps 2 --seed 3 --prompts {prompts}".split()
    write = gallery.write_mesh

    def killed(path: Path, mesh: object) -> None:
        if "001" in path.name:
            raise KeyboardInterrupt
        write(path, mesh)

    monkeypatch.setattr(gallery, "write_mesh", killed)
    with pytest.raises(SystemExit):
        main(words)
    monkeypatch.setattr(gallery, "write_mesh", write)
    assert not (out / "avatar-001.json").exists(), "or it was not interrupted"
    first = {name: stamp for name, stamp in stamps(out).items() if name.startswith("avatar-000")}
    main(words)
    assert first.items() <= stamps(out).items()
    found = [json.loads((out / f"avatar-00{k}.json").read_text()) for k in range(2)]
    assert [(one["prompt"], one["seed"]) for one in found] == [("a ball of radius 0.5", 3), ("a ball", 4)]
    whole = stamps(out)
    capsys.readouterr()
    main(words)
    assert stamps(out) == whole
    assert "0 avatars drawn, 2 were there" in capsys.readouterr().out
    prompts.write_text(prompts.read_text(encoding="utf-8") + "seed 2\n", encoding="utf-8")
    main(words)
    assert json.loads((out / "avatar-002.json").read_text())["seed"] == 5
    alone = tmp_path / "alone"
    main([*f"generate --model {trained / 'model'} --out {alone} --steps 2 --seed 4 --text".split(), "a ball"])
    name = f"avatar-000{SUFFIX}"
    one, other = Avatar.load(alone / name), Avatar.load(out / name.replace("000", "001"))
    assert abs(one.planes - other.planes).max() < 2e-3, "a line is drawn as by itself"
    shutil.rmtree(alone)


@pytest.mark.parametrize(
    ("content", "flags", "message"),
    [
        (b"# nothing\n\n", "", "holds no prompts; write one a line"),
        ("Bär".encode("cp1252"), "", "is no UTF-8 text; save it as UTF-8"),
        (b"a ball\nxyzzy\n", "", "line 2: 'xyzzy' has no word that the model knows"),
        (b"a ball\n", "--text ball", "leave out --text and --image"),
        (None, "", "cannot be read"),
    ],
)
def test_files_of_prompts_that_are_none(
    trained: Path,
    tmp_path: Path,
    fails: Fails,
    content: bytes | None,
    flags: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prompts = tmp_path / "prompts.txt"
    if content is not None:
        prompts.write_bytes(content)
    out = tmp_path / "out"
    model = trained / "model"
    monkeypatch.setattr(RodinPipeline, "knows", lambda self, prompt: prompt != "xyzzy")  # this model's tower reads all
    assert message in fails(*f"generate --model {model} --out {out} --prompts {prompts} {flags}".split())
    assert not out.exists()
