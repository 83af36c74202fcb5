"""Contract: a morphable head from a file gives the same kind of avatar; an unusable file is named in one line."""

from __future__ import annotations

import dataclasses
import os
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from rodin.errors import UserError
from rodin.synth.body.build import build_avatar
from rodin.synth.body.geometry import ENVELOPE_RADIUS, boundary_edges, to_world
from rodin.synth.body.morph_head import build_morph_head, load_morph_model
from rodin.synth.body.subdivision import catmull_clark
from rodin.synth.recipe import make_recipe


def quad_sphere(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """A unit sphere of quads, its poles (degenerate to small holes) up and down."""
    theta = np.linspace(0.05, np.pi - 0.05, rows)[:, None]
    phi = np.linspace(0, 2 * np.pi, columns, endpoint=False)[None]
    points = np.stack([np.sin(theta) * np.sin(phi), np.cos(theta) + 0 * phi, np.sin(theta) * np.cos(phi)], -1)
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns), indexing="ij")
    k = (j + 1) % columns
    quads = np.stack([i * columns + j, (i + 1) * columns + j, (i + 1) * columns + k, i * columns + k], -1)
    return points.reshape(-1, 3), quads.reshape(-1, 4)


def egg_model(folder: Path) -> Path:
    """A made-up head file: an egg on a cone for the body, two balls for the eyes, one target that widens all."""
    body, quads = quad_sphere(48, 40)
    y = body[:, 1]
    # Stretch the lower half into a neck and shoulders.
    low = np.clip(-y - 0.55, 0, None)
    body = body * (0.8, 1.2, 0.9) + np.stack([0 * y, -3.0 * low, 0 * y], 1)
    body[:, [0, 2]] *= (1.0 + 1.6 * low[:, None]) * np.where(y < -0.55, 1.0, 1.0)[:, None]
    ball, ball_quads = quad_sphere(8, 10)
    left = 0.17 * ball + (0.3, 0.03, 0.66)
    right = 0.17 * ball + (-0.3, 0.03, 0.66)
    vertices = np.concatenate([body, left, right])
    faces = np.concatenate([quads, ball_quads + len(body), ball_quads + len(body) + len(ball)])
    groups = ["body"] * len(quads) + ["helper-l-eye"] * len(ball_quads) + ["helper-r-eye"] * len(ball_quads)
    wide = np.zeros((1, len(vertices), 3))
    wide[0, : len(body), 0] = 0.15 * vertices[: len(body), 0]
    lips = np.exp(-(((vertices - (0, -0.62, 0.75)) / (0.25, 0.08, 0.3)) ** 2).sum(1))
    ears = np.exp(-(((np.abs(vertices) - (0.78, 0.1, 0.1)) / (0.1, 0.2, 0.2)) ** 2).sum(1))
    path = folder / "egg.npz"
    np.savez_compressed(path, V=vertices, F=faces, g=np.array(groups), names=np.array(["head/head-round"]), D=wide,
                        lip=lips, ear=ears)  # fmt: skip
    return path


@pytest.fixture(scope="module")
def egg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return egg_model(tmp_path_factory.mktemp("heads"))


def test_catmull_clark_of_a_cube_is_the_known_one() -> None:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    quads = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
    matrix, fine = catmull_clark(quads, 8)
    points = matrix @ corners
    assert len(points) == 8 + 12 + 6
    assert len(fine) == 24
    # By hand: a corner moves to 5/9 of itself, an edge's point to 3/4 of its middle; face points are the middles.
    np.testing.assert_allclose(points[:8], corners * 5 / 9, atol=1e-6)
    np.testing.assert_allclose(np.sort(np.linalg.norm(points[8:20], axis=1)), 0.75 * np.sqrt(2), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(points[20:], axis=1), 1.0, atol=1e-6)


def test_subdivision_keeps_a_flat_rim_and_constants() -> None:
    grid = np.arange(12).reshape(3, 4)
    quads = np.stack([grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]], -1).reshape(-1, 4)
    matrix, _ = catmull_clark(quads, 12)
    np.testing.assert_allclose(matrix @ np.ones(12), 1.0, atol=1e-6)
    flat = np.stack([*np.divmod(np.arange(12), 4), np.zeros(12)], -1).astype(float)
    assert np.abs((matrix @ flat)[:, 2]).max() == 0.0


def test_morph_avatar_is_a_bust_in_the_box(egg: Path) -> None:
    recipe = dataclasses.replace(make_recipe(3, 1), hair="long wavy", hat="none", glasses="round glasses")
    parts = build_avatar(recipe, heads=str(egg), detail=0.1)
    points = to_world(parts.points())
    assert np.abs(points).max() < 1.0
    assert np.linalg.norm(points, axis=1).max() < ENVELOPE_RADIUS + 1e-3


def test_targets_change_the_shape(egg: Path) -> None:
    model = load_morph_model(egg)
    base = make_recipe(3, 1)
    heads = {shape: build_morph_head(model, dataclasses.replace(base, face_shape=shape)) for shape in ("round", "oval")}
    assert np.ptp(heads["round"].vertices[:, 0]) > 1.02 * np.ptp(heads["oval"].vertices[:, 0])
    left, right = heads["oval"].eyes
    assert left.center[0] > 0.2 > -0.2 > right.center[0]


def test_a_child_has_larger_eyes_and_narrower_shoulders(egg: Path) -> None:
    model, base = load_morph_model(egg), make_recipe(3, 1)
    child, grown = (build_morph_head(model, dataclasses.replace(base, age=age)) for age in ("child", "young"))
    for small, large in zip(grown.eyes, child.eyes, strict=True):
        assert (large.radii > 1.05 * small.radii).all()
    low = [head.vertices[head.vertices[:, 1] < -1.3] for head in (child, grown)]
    assert np.ptp(low[0][:, 0]) < 0.95 * np.ptp(low[1][:, 0])


def test_the_digest_is_of_the_arrays(egg: Path, tmp_path: Path) -> None:
    """The same in another file; another where one number differs."""
    with np.load(egg) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(tmp_path / "copy.npz", **arrays)
    digest = load_morph_model(egg).digest()
    assert load_morph_model(tmp_path / "copy.npz").digest() == digest
    for name in ("V", "D", "lip", "ear"):
        changed = {**arrays, name: arrays[name].copy()}
        changed[name].flat[100] += 0.5
        np.savez(tmp_path / f"{name}.npz", **changed)
        assert load_morph_model(tmp_path / f"{name}.npz").digest() != digest, name


def test_cut_is_capped(egg: Path) -> None:
    head = build_morph_head(load_morph_model(egg), make_recipe(3, 1))
    open_edges = boundary_edges(head.triangles)
    assert (head.vertices[open_edges, 1] > -1.0).all(), "only the egg's own hole at its crown may stay open"


@pytest.mark.parametrize("missing", ["V", "F", "D", "lip"])
def test_missing_array_is_named(egg: Path, tmp_path: Path, missing: str) -> None:
    with np.load(egg) as file:
        kept = {name: file[name] for name in file.files if name != missing}
    np.savez(tmp_path / "bad.npz", **kept)
    with pytest.raises(UserError, match=f"no array '{missing}'"):
        load_morph_model(tmp_path / "bad.npz")


@pytest.mark.parametrize("lie", ["large", "header", "packing"])
def test_what_unpacks_to_gigabytes_is_refused_before(egg: Path, tmp_path: Path, lie: str) -> None:
    """An array that is as large as it says, one that is smaller, and a packing that is none of NumPy's."""
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(egg) as whole, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in whole.namelist():
            if name != "V.npy":
                archive.writestr(name, whole.read(name))
        shape = {"large": (2**27, 3), "header": (2**50, 3), "packing": (1, 3)}[lie]
        packing = zipfile.ZIP_LZMA if lie == "packing" else zipfile.ZIP_DEFLATED
        entry = zipfile.ZipInfo("V.npy")
        entry.compress_type = packing
        with archive.open(entry, "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": "<f4"})
            for _ in range(2**27 * 12 // 2**24 if lie == "large" else 1):
                file.write(bytes(2**24 if lie == "large" else 12))
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"bomb\.npz is no readable \.npz file"):
            load_morph_model(path)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


def test_unusable_files_are_user_errors(egg: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load_morph_model(tmp_path / "nowhere.npz")
    text = tmp_path / "text.npz"
    text.write_text("not an archive")
    with pytest.raises(UserError, match="no readable"):
        load_morph_model(text)
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, V=np.array([{"evil": 1}], dtype=object))
    with pytest.raises(UserError, match="no readable"):
        load_morph_model(pickled)
    with np.load(egg) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["D"] = arrays["D"][:, :-1]
    np.savez(tmp_path / "shape.npz", **arrays)
    with pytest.raises(UserError, match="D of shape"):
        load_morph_model(tmp_path / "shape.npz")


@pytest.mark.skipif("RODIN_MORPH_HEAD" not in os.environ, reason="RODIN_MORPH_HEAD names no head file")
def test_a_real_head_file() -> None:
    for index in range(3):
        points = to_world(
            build_avatar(make_recipe(0, index), heads=os.environ["RODIN_MORPH_HEAD"], detail=0.1).points()
        )
        assert np.abs(points).max() < 1.0
        assert np.linalg.norm(points, axis=1).max() < ENVELOPE_RADIUS + 1e-3
