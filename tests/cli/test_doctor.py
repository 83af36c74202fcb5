"""Contract of `rodin doctor`: a line a fact, all that this installation can use; problems are marked, never errors."""

from __future__ import annotations

import json
import platform
import tomllib
from pathlib import Path

import pytest
import torch

from rodin.cli import doctor
from rodin.cli.main import main
from rodin.kernels import loader
from rodin.models.index import SCHEMA


def report(capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, str]]:
    """Name -> mark and what was found."""
    main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    width = max(len(line[2:].split("  ")[0]) for line in lines)
    return {line[2 : 2 + width].strip(): (line[0], line[4 + width :]) for line in lines}


def test_it_tells_what_there_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RODIN_KERNELS", raising=False)
    found = report(capsys)
    assert found["Python"] == (" ", platform.python_version())
    assert found["torch"] == (" ", torch.__version__)
    assert found["threads"][1].startswith(f"{torch.get_num_threads()} a process")
    if loader.levels():
        assert found["native kernels"] == (" ", "built")
        assert found["instructions"][1].startswith(loader.levels()[-1])
    else:
        assert found["native kernels"][0] == "!"
    assert {"rodin", "CPU", "GPU"} <= set(found)


def test_it_knows_every_extra(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that the package declares, but for the developers' own."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = set(project["optional-dependencies"]) - {"dev"}
    assert len(extras) >= 7
    assert extras <= set(report(capsys))


def test_it_tells_which_model_comes_with_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = tmp_path / "weights"
    (model / "base").mkdir(parents=True)
    (model / "model_index.json").write_text(json.dumps({"schema": SCHEMA, "parts": ["base"]}))
    (model / "base" / "model.safetensors").write_bytes(bytes(3_000_000))
    monkeypatch.setattr(doctor, "shipped_folder", lambda: model)
    assert report(capsys)["model"] == (" ", f"3 MB in {model}")
    (model / "base" / "model.safetensors").unlink()
    (model / "base").rmdir()
    mark, found = report(capsys)["model"]
    assert (mark, f"{model / 'base'}: no such part" in found) == ("!", True)


@pytest.mark.parametrize(("setting", "said"), [("off", "switched off by RODIN_"), ("sse9", "'sse9'; choose one of")])
def test_a_problem_is_marked(
    setting: str, said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RODIN_KERNELS", setting)
    mark, found = report(capsys)["native kernels"]
    assert mark == "!"
    assert said in found
