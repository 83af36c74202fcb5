"""Contract: `generate` writes whole subjects in the documented format, resumes, repeats itself to the byte, and names
what is wrong in one line. These tests render with Blender and are skipped where it is not installed.
"""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rodin.synth.worker
from rodin.data.captures import load_subject
from rodin.errors import UserError
from rodin.fan_out import Pool
from rodin.materials import MATERIALS
from rodin.storage import Place, Url, at_hand
from rodin.synth.body.build import build_avatar, detail_for
from rodin.synth.body.geometry import to_world
from rodin.synth.generate import SynthConfig, generate
from rodin.synth.recipe import VERSION, make_recipe
from rodin.synth.subject import save_frame
from rodin.synth.words.paraphrase import paraphrases
from rodin.synth.worker import Job, Worker

SIZE, VIEWS, SEED = 32, 3, 21
ONE = Pool(workers=1)
needs_blender = pytest.mark.skipif(importlib.util.find_spec("bpy") is None, reason="bpy is not installed")


def config(out: Place, **changes: object) -> SynthConfig:
    """The tests' small set in `out`."""
    values: dict[str, object] = {"out": out, "count": 1, "views": VIEWS, "size": SIZE, "seed": SEED}
    return SynthConfig(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth") / "set"
    generate(config(out), ONE)
    return out


def frames(out: Path) -> list[np.ndarray]:
    """The subject's images [H, W, 4] as uint8."""
    return [np.asarray(Image.open(out / "00000" / f"{view:03d}.webp").convert("RGBA")) for view in range(VIEWS)]


def record(out: Path) -> dict:
    """The subject's transforms.json."""
    return json.loads((out / "00000" / "transforms.json").read_text())


@needs_blender
def test_format(rendered: Path) -> None:
    data = record(rendered)
    assert (data["w"], data["h"], data["cx"], data["cy"]) == (SIZE, SIZE, SIZE / 2, SIZE / 2)
    assert data["fl_x"] == pytest.approx(0.5 * SIZE / math.tan(data["camera_angle_x"] / 2))
    assert data["frontal"] == 0
    assert data["aabb"] == [[-1, -1, -1], [1, 1, 1]]
    assert data["seed"] == SEED
    assert data["generator"].startswith("rodin-synth")
    assert data["caption"].startswith(("a ", "an "))
    assert data["captions"] == paraphrases(make_recipe(SEED, 0))
    assert data["attributes"]["hair"] == make_recipe(SEED, 0).hair
    assert [frame["file_path"] for frame in data["frames"]] == ["000.webp", "001.webp", "002.webp"]
    assert (rendered / "overview.png").is_file()
    assert not list(rendered.rglob(".writing-*"))


@needs_blender
def test_the_logs_keep_nothing_of_subjects_that_went_well(rendered: Path) -> None:
    assert not (rendered / ".logs").exists()


def shares(out: Path, view: int) -> np.ndarray:
    """A view's material map, [H, W, K] as uint8."""
    bands = np.asarray(Image.open(out / "00000" / f"{view:03d}.materials.webp").convert("L"))
    return bands.reshape(len(MATERIALS), SIZE, SIZE).transpose(1, 2, 0)


@needs_blender
def test_every_pixel_is_made_of_named_materials(rendered: Path) -> None:
    data = record(rendered)
    assert data["materials"] == list(MATERIALS)
    assert [frame["materials_path"] for frame in data["frames"]] == [f"{view:03d}.materials.webp" for view in range(3)]
    for view, image in enumerate(frames(rendered)):
        np.testing.assert_array_equal(shares(rendered, view).sum(axis=-1), image[..., 3])
    subject = load_subject(rendered / "00000", maps=True)
    assert subject.shares is not None
    np.testing.assert_allclose(subject.shares.sum(dim=-1), subject.images[..., 3], atol=1e-5)


@needs_blender
def test_maps_show_what_the_avatar_wears(rendered: Path) -> None:
    recipe = make_recipe(SEED, 0)
    total = sum(shares(rendered, view).sum(axis=(0, 1), dtype=int) for view in range(VIEWS))
    seen = {name for name, pixels in zip(MATERIALS, total, strict=True) if pixels}
    worn = {"hat": recipe.hat, "frame": recipe.glasses, "jewellery": "hoops" if recipe.earrings else "none"}
    assert {name for name in worn if worn[name] != "none"} == seen & set(worn)
    assert {"skin", "lips", "hair", "top"} <= seen  # of the bald, the brows
    rows = np.arange(SIZE)[:, None]
    frontal = shares(rendered, 0).astype(float)
    middle = {name: (frontal[..., k] * rows).sum() / frontal[..., k].sum() for k, name in enumerate(MATERIALS)
              if frontal[..., k].any()}  # fmt: skip
    assert middle["lips"] < middle["top"]
    assert middle.get("iris", middle.get("lens", 0.0)) < middle["lips"]


@needs_blender
def test_every_view_contains_the_whole_avatar(rendered: Path) -> None:
    for image in frames(rendered):
        alpha = image[..., 3]
        assert alpha[2:-2, 2:-2].max() == 255
        border = alpha.copy()
        border[2:-2, 2:-2] = 0
        assert border.max() == 0


@needs_blender
def test_colour_is_straight(rendered: Path) -> None:
    # Premultiplied colour would fade to black with alpha; straight colour at the edge is as bright as beside it.
    bright = [image[..., :3].max(-1)[(image[..., 3] > low) & (image[..., 3] <= high)]
              for image in frames(rendered) for low, high in ((20, 110), (110, 254))]  # fmt: skip
    faint, strong = np.concatenate(bright[::2]).mean(), np.concatenate(bright[1::2]).mean()
    assert faint > 0.7 * strong


def projected(points: np.ndarray, pose: np.ndarray, focal: float) -> np.ndarray:
    """Coverage [SIZE, SIZE] of world points seen from an OpenGL camera."""
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    column = SIZE / 2 + focal * local[:, 0] / -local[:, 2]
    row = SIZE / 2 - focal * local[:, 1] / -local[:, 2]
    hits = np.zeros((SIZE, SIZE))
    np.add.at(hits, (row.astype(int), column.astype(int)), 1)
    return hits > 0


@needs_blender
def test_transforms_project_the_geometry_onto_the_images(rendered: Path) -> None:
    data = record(rendered)
    points = to_world(build_avatar(make_recipe(SEED, 0), detail=detail_for(SIZE)).points())
    right, flipped = [], []
    for image, frame in zip(frames(rendered), data["frames"], strict=True):
        shape = image[..., 3] > 12  # a splatted point marks every pixel that it touches
        cover = projected(points, np.array(frame["transform_matrix"]), data["fl_x"])
        for mirror, scores in ((shape, right), (shape[:, ::-1], flipped)):
            scores.append(float((cover & mirror).sum() / (cover | mirror).sum()))
    assert min(right) > 0.88
    # The avatar is nearly symmetric, so a mirrored azimuth is the mistake that could hide: it mirrors the picture.
    assert min(right) > min(flipped) + 0.05
    pose = np.array(data["frames"][0]["transform_matrix"])
    assert pose[2, 3] > 3.0
    assert abs(pose[0, 3]) < 1e-6


@needs_blender
def test_second_run_renders_nothing(rendered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pool, "results", None)
    before = {path: path.stat().st_mtime_ns for path in rendered.rglob("*")}
    generate(config(rendered), ONE)
    assert {path: path.stat().st_mtime_ns for path in rendered.rglob("*")} == before


@needs_blender
def test_unfinished_subject_is_redone_to_the_same_bytes(rendered: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(rendered, copy)
    (copy / "00000" / "transforms.json").unlink()
    (copy / "00000" / "001.webp").unlink()
    (copy / "00000" / "002.materials.webp").unlink()
    (copy / "00000" / ".writing-old").mkdir()
    kept = (copy / "00000" / "000.webp").stat().st_mtime_ns
    generate(config(copy), ONE)
    assert (copy / "00000" / "000.webp").stat().st_mtime_ns == kept
    names = ("000.webp", "001.webp", "002.webp", "001.materials.webp", "002.materials.webp", "transforms.json")
    for name in names:
        assert (copy / "00000" / name).read_bytes() == (rendered / "00000" / name).read_bytes()
    assert not (copy / "00000" / ".writing-old").exists()


@needs_blender
def test_a_set_under_a_url_is_the_same(rendered: Path, works_here: None) -> None:
    out = Url("memory://test-generate/set")
    generate(config(out), ONE)
    with at_hand(out) as copy:
        assert contents(copy) == contents(rendered)
    with pytest.raises(UserError, match=r"^views: memory://test-generate/set was made with 3, not 4"):
        generate(config(out, views=4), ONE)


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a set."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(("field", "value"), [("size", 48), ("views", 4), ("seed", 5), ("samples", 8)])
def test_other_settings_on_an_old_folder(tmp_path: Path, field: str, value: int) -> None:
    settings = {"generator": f"rodin-synth {VERSION}", "seed": SEED, "size": SIZE, "views": VIEWS, "samples": 16,
                "heads": "sdf"}  # fmt: skip
    (tmp_path / "synth.json").write_text(json.dumps(settings))
    with pytest.raises(UserError, match=rf"^{field}: .* made with {settings[field]}, not {value}"):
        generate(config(tmp_path, **{field: value}), ONE)


def test_a_folder_of_another_recipe(tmp_path: Path) -> None:
    (tmp_path / "synth.json").write_text(json.dumps({"generator": "rodin-synth 1", "seed": SEED}))
    with pytest.raises(UserError, match=rf"^generator: .* made with 'rodin-synth 1', not 'rodin-synth {VERSION}'"):
        generate(config(tmp_path), ONE)


BAD = [("count", 0), ("size", 8), ("views", 0), ("seed", -1), ("samples", 0)]


@pytest.mark.parametrize(("field", "value"), BAD)
def test_bad_settings(tmp_path: Path, field: str, value: int) -> None:
    with pytest.raises(UserError, match=rf"^{field}: {value}"):
        config(tmp_path, **{field: value})


def test_out_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        generate(config(tmp_path / "file"), ONE)


def test_missing_head_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"heads: .*does not exist"):
        generate(config(tmp_path / "set", heads=str(tmp_path / "none.npz")), ONE)
    assert not (tmp_path / "set").exists()


def test_missing_blender_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "bpy.py").write_text("raise ImportError('libXfixes.so.3: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(shadow))
    with pytest.raises(UserError, match=r"pip install 'rodin-avatars\[blender\]'.*libxfixes3"):
        generate(config(tmp_path / "set"), ONE)


def test_worker_failure_is_one_line_with_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works_here: None
) -> None:
    monkeypatch.setattr(rodin.synth.worker.sys, "executable", "/bin/false")
    with pytest.raises(UserError, match=r"ended with code 1 .*see .*\.logs/.*\.log") as caught:
        generate(config(tmp_path / "set"), ONE)
    assert "\n" not in str(caught.value)


@needs_blender
@pytest.mark.parametrize("unheard", ["stdin", "stdout"])
def test_blender_ends_where_nobody_is_left(tmp_path: Path, unheard: str) -> None:
    """Whatever it is doing; by itself it may wait for its own threads for ever."""
    job = Job(out=str(tmp_path), views=400, size=16, seed=0, heads="sdf", samples=1)
    worker = Worker(job, tmp_path / "log")
    worker.start()
    process = worker._process
    assert process.stdin is not None
    process.stdin.write("0\n")
    process.stdin.flush()
    getattr(process, unheard).close()
    assert process.wait(1800) is not None


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(UserError, match=r"frame\.webp: not written \(the disk is full\)"):
        save_frame(np.zeros((4, 4, 4), np.uint8), tmp_path / "frame.webp")
    assert list(tmp_path.iterdir()) == []
