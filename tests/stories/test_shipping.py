"""Contract of what ships: a model is stored in half the bytes and draws the same avatars; its hash is of what is
loaded; a model card stays where it lies, anything else is never replaced. Without a model folder the model in the
source tree or inside an installed wheel is loaded, and where there is none that is said with its remedy."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import rodin
from rodin import checksums
from rodin.avatars.pipeline import RodinPipeline
from rodin.camera import orbit
from rodin.cli.main import main
from rodin.errors import UserError
from rodin.models.folder import load_model, ship_model
from rodin.models.index import INDEX_NAME, SCHEMA, shipped_folder

pytestmark = pytest.mark.usefixtures("mended_checksums")

WheelOf = Callable[[Path, Path], Path]
PACKAGE = Path(rodin.__file__).parent
LIMIT = 48.0  # MB
SAME_DB = 50.0  # of renders: far below what an eye can tell


@pytest.fixture(scope="module")
def shipped(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as it ships; shared, so leave it as it is."""
    out = tmp_path_factory.mktemp("shipped") / "weights"
    ship_model(trained / "model", out, LIMIT)
    return out


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.parent.name}.{name}": value
        for path in folder.glob("*/model.safetensors")
        for name, value in load_file(path).items()
    }


# ---- half precision


def test_all_weights_are_halves_of_the_trained(trained: Path, shipped: Path) -> None:
    before, after = weights(trained / "model"), weights(shipped)
    assert before.keys() == after.keys()
    assert {name.partition(".")[0] for name in after} == {
        *("encoder", "prior", "base", "upsampler", "refiner", "statistics", "decoder")
    }
    for name, value in before.items():
        assert torch.equal(after[name], value.half() if value.is_floating_point() else value), name
    assert {value.dtype for value in after.values() if value.is_floating_point()} == {torch.float16}


def test_the_rest_of_the_folder_is_the_same(trained: Path, shipped: Path) -> None:
    def texts(folder: Path) -> dict[str, str]:
        found = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.json")}
        return {name: text for name, text in found.items() if Path(name).name != checksums.NAME}  # of other bytes

    before, after = texts(trained / "model"), texts(shipped)
    indexes = [json.loads(found.pop(INDEX_NAME)) for found in (before, after)]
    assert before == after
    hashes = [index.pop("model_hash") for index in indexes]
    assert indexes[0] == indexes[1]
    assert hashes[0] != hashes[1]
    for path in shipped.glob("*/model.safetensors"):
        with safe_open(path, "pt") as new, safe_open(trained / "model" / path.relative_to(shipped), "pt") as old:
            assert new.metadata() == old.metadata()


def test_loaded_it_is_single_precision_and_of_its_hash(shipped: Path) -> None:
    pipe = RodinPipeline.from_pretrained(shipped)
    parts = (pipe.prior, pipe.base, pipe.upsampler, pipe.refiner, pipe.statistics, pipe.decoder, pipe.encoder)
    values = [value for part in parts for value in part.state_dict().values()]
    assert {value.dtype for value in values if value.is_floating_point()} == {torch.float32}
    assert json.loads((shipped / INDEX_NAME).read_text())["model_hash"] == pipe.model_hash


def test_saving_what_was_loaded_keeps_the_hash(shipped: Path, tmp_path: Path) -> None:
    pipe = RodinPipeline.from_pretrained(shipped)
    pipe.save_pretrained(tmp_path / "again")
    assert RodinPipeline.from_pretrained(tmp_path / "again").model_hash == pipe.model_hash
    assert ship_model(tmp_path / "again", tmp_path / "twice", LIMIT) < 48
    assert {name: value.tolist() for name, value in weights(tmp_path / "twice").items()} == {
        name: value.tolist() for name, value in weights(shipped).items()
    }


def test_it_draws_the_same_avatars(trained: Path, shipped: Path) -> None:
    camera = orbit([0.0, 60.0, 180.0], [4.0] * 3, size=32)
    pictures = []
    for folder in (trained / "model", shipped):
        pipe = RodinPipeline.from_pretrained(folder)
        avatars = pipe("a ball of radius 0.5", count=2, seed=3) + pipe(count=2, seed=7)
        views = torch.stack([avatar.render(camera, refine=refine) for avatar in avatars for refine in (False, True)])
        pictures.append(views[..., :3] * views[..., 3:] + 1 - views[..., 3:])
    psnr = -10 * torch.log10((pictures[0] - pictures[1]).square().mean(dim=(1, 2, 3, 4)))
    assert psnr.min() >= SAME_DB
    assert not torch.equal(*pictures)


def test_what_has_no_half_is_refused(trained: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(trained / "model", tmp_path / "model"))
    path = model / "prior" / "model.safetensors"
    values = load_file(path)
    name = min(values)
    values[name] = values[name].clone()
    values[name].view(-1)[0] = 1e6
    save_file(values, path)
    with pytest.raises(UserError, match=rf"prior/model\.safetensors: {name} has no float16 \(largest: 1e\+06\); train"):
        ship_model(model, tmp_path / "out", LIMIT)
    assert not (tmp_path / "out").exists()


# ---- the command


def test_the_command_keeps_the_card(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "weights"
    out.mkdir()
    (out / "README.md").write_text("the card")
    for _ in range(2):  # into a folder that holds the card, and over a model
        main(["ship", str(trained / "model"), "--out", str(out)])
        assert (out / "README.md").read_text() == "the card"
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
        assert capsys.readouterr().out == f"{out}: {size:.1f} MB\n"
    load_model(out)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("foreign", r"weights: holds other files than a model \(letters\.txt\); choose another folder"),
        ("file", "weights: is a file; choose a folder"),
        ("itself", "model: is the model itself or lies in it; choose another folder"),
        ("inside", "model/base/weights: is the model itself or lies in it; choose another folder"),
        ("large", r"model: 1\.\d MB as float16 \(base 0\.\d, .*\), the limit is 0\.01; train smaller networks"),
        ("none", "none: no such model folder"),
    ],
)
def test_what_cannot_be_shipped(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], spoil: str, message: str
) -> None:
    model, out = trained / "model", tmp_path / "weights"
    if spoil == "foreign":
        out.mkdir()
        (out / "letters.txt").write_text("dear reader")
    elif spoil == "file":
        out.write_text("dear reader")
    elif spoil in ("itself", "inside"):
        out = model if spoil == "itself" else model / "base" / "weights"
    elif spoil == "none":
        model = tmp_path / "none"
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        main(["ship", str(model), "--out", str(out), *(("--limit", "0.01") if spoil == "large" else ())])
    assert ended.value.code == 2
    assert re.search(message, capsys.readouterr().err)
    assert sorted(tmp_path.rglob("*")) == before


# ---- the model that comes with the package


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Python code with the package that lies in `folder`, from a place that holds nothing."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, cwd=folder.parent, capture_output=True, text=True)


DRAW = """
import rodin
pipe = rodin.RodinPipeline.from_pretrained()
print(rodin.__file__, pipe.model_hash)
"""
GENERATE = "from rodin.cli.main import main; main(['generate', '--out', 'out', '--steps', '1'])"


@pytest.fixture
def tree(source_tree: Callable[[Path], Path], tmp_path: Path) -> Path:
    """A copy of the source tree, without a model."""
    return source_tree(tmp_path / "tree")


def test_a_source_tree_has_it_beside_the_package(tree: Path, shipped: Path) -> None:
    shutil.copytree(shipped, tree / "weights")
    done = run(DRAW, tree)
    assert done.stdout.split() == [str(tree / "rodin" / "__init__.py"), load_model(shipped).hash()], done.stderr


TWICE = f"""
from pathlib import Path
try:
    {GENERATE}
except SystemExit as ended:
    assert ended.code == 2
card = Path("tree/weights/README.md")
card.parent.mkdir()
card.write_text("the card")
{GENERATE}
"""


def test_none_is_said_with_its_remedy(tree: Path) -> None:
    """Where there is nothing, and where there is a model card, which alone is no model."""
    done = run(TWICE, tree)
    assert (tree / "weights" / "README.md").exists(), done.stderr
    assert done.returncode == 2
    assert done.stderr.count("rodin: no model comes with this installation (looked in ") == 2
    assert done.stderr.count("name a model folder, or train one with: rodin train all DATA --run RUN") == 2


def installed(wheel: Path, folder: Path) -> Path:
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder)
    return folder


def test_a_wheel_has_it_inside(tree: Path, shipped: Path, wheel_of: WheelOf, tmp_path: Path) -> None:
    shutil.copytree(shipped, tree / "weights")
    (tree / "weights" / "README.md").write_text("the card")
    folder = installed(wheel_of(tree, tmp_path / "wheels"), tmp_path / "installed")
    inside = {str(path.relative_to(folder / "rodin")) for path in (folder / "rodin").glob("weights/**/*.*")}
    assert inside == {str(path.relative_to(tree)) for path in tree.glob("weights/**/*.*")}
    shutil.rmtree(tree)
    done = run(DRAW, folder)
    assert done.stdout.split() == [str(folder / "rodin" / "__init__.py"), load_model(shipped).hash()], done.stderr


def test_a_wheel_of_a_tree_without_one_has_none(bare_wheel: Path) -> None:
    with zipfile.ZipFile(bare_wheel) as file:
        assert "rodin/models/folder.py" in file.namelist()
        assert not [name for name in file.namelist() if "weights" in name and not name.endswith(".py")]


def test_the_model_of_this_tree_is_whole_if_it_is_there() -> None:
    """Whichever state the tree is in: the size, the precision, the card and the hash of the model in it."""
    if not (PACKAGE.parent / "weights" / INDEX_NAME).exists():
        with pytest.raises(UserError, match="no model comes with this installation"):
            shipped_folder()
        return
    folder = shipped_folder()
    assert folder == PACKAGE.parent / "weights"
    index = json.loads((folder / INDEX_NAME).read_text())
    assert index["schema"] == SCHEMA
    assert index["model_hash"] == load_model(folder).hash()
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= LIMIT * 1e6
    assert {value.dtype for value in weights(folder).values() if value.is_floating_point()} == {torch.float16}
    assert "TODO" not in (folder / "README.md").read_text()
