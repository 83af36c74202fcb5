"""Contract: a checkout in MakeHuman's text formats becomes the head file's arrays: the bust's quads with their groups,
every target that moves it, and weights of lips and ears; a file that is wrong or missing is named in one line, and
nothing half-written is left. The checkout here is made up: a box on a column, two eyes, and what must be left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rodin.cli.main import main
from rodin.errors import UserError
from rodin.synth.body.geometry import to_world
from rodin.synth.body.makehuman import DEPTH, REACH, convert, read_base_mesh, read_target
from rodin.synth.body.morph_head import build_morph_head, load_morph_model
from rodin.synth.recipe import make_recipe

#: Where the lips lie in the base mesh's texture.
LIPS = (0.908, 0.4826)


class Drawing:
    """An .obj in the making: patches of quads, each of a group."""

    def __init__(self) -> None:
        self.vertices: list[tuple[float, float, float]] = []
        self.texture: list[tuple[float, float]] = []
        self.lines: list[str] = []
        self.faces: list[tuple[str, list[int]]] = []

    def tube(self, group: str, rings: list[tuple[float, float, float, float]], sides: int = 8) -> range:
        """Rings (y, radius, x, z) of vertices, joined by quads; the range of the new vertices."""
        first = len(self.vertices)
        angles = 2 * np.pi * np.arange(sides) / sides
        for y, radius, x, z in rings:
            for angle in angles:
                self.vertices.append((x + radius * float(np.sin(angle)), y, z + radius * float(np.cos(angle))))
                self.texture.append((0.1 + 0.001 * len(self.texture), 0.2))
        self.lines.append(f"g {group}")
        for ring in range(len(rings) - 1):
            for k in range(sides):
                a, b = first + ring * sides + k, first + ring * sides + (k + 1) % sides
                self.faces.append((group, [a, b, b + sides, a + sides]))
                self.lines.append("f " + " ".join(f"{c + 1}/{c + 1}" for c in self.faces[-1][1]))
        return range(first, len(self.vertices))

    def text(self) -> str:
        numbers = [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in self.vertices]
        numbers += [f"vt {u:.4f} {v:.4f}" for u, v in self.texture]
        return "\n".join(["# a comment", *numbers, "usemtl skin", "s off", *self.lines]) + "\n"


def write_target(data: Path, name: str, offsets: dict[int, tuple[float, float, float]]) -> None:
    path = data / "targets" / f"{name}.target"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{vertex} {x} {y} {z}" for vertex, (x, y, z) in offsets.items()]
    path.write_text("\n".join(["# made up", "", *lines]) + "\n")


class Checkout:
    """What the tests know of the made-up checkout."""

    def __init__(self, folder: Path) -> None:
        drawing = Drawing()
        column = [(16.0, 0.3, 0, 0), (15.9, 1.0, 0, 0), (15.0, 1.3, 0, 0), (14.0, 1.0, 0, 0), (13.4, 0.7, 0, 0),
                  (12.8, 1.6, 0, 0), (11.9, 1.8, 0, 0), (8.0, 1.8, 0, 0), (0.0, 1.8, 0, 0)]  # fmt: skip
        self.body = drawing.tube("body", column)  # the crown is at 16, so that rings 7 and 8 lie too low
        self.head = self.body[: 7 * 8]
        # A hand as high as the face but far out.
        self.hand = drawing.tube("body", [(15.0, 0.2, REACH + 2, 0), (14.8, 0.2, REACH + 2, 0)])
        self.eyes = [
            drawing.tube(f"helper-{side}-eye", [(15.1, 0.15, x, 0.9), (14.9, 0.15, x, 0.9)])
            for side, x in (("l", 0.4), ("r", -0.4))
        ]
        self.teeth = drawing.tube("helper-upper-teeth", [(14.4, 0.2, 0, 0.6), (14.3, 0.2, 0, 0.6)])
        drawing.tube("joint-head", [(15.0, 0.1, 0, 0), (14.9, 0.1, 0, 0)])
        drawing.tube("helper-skirt", [(14.5, 0.5, 0, 0), (14.4, 0.5, 0, 0)])
        self.lip, self.ears = self.body[24], (self.body[18], self.body[22])  # any of the head; left and right
        drawing.texture[self.lip] = LIPS
        self.drawing, self.folder, self.data = drawing, folder, folder / "makehuman" / "data"
        self.obj = self.data / "3dobjs" / "base.obj"
        self.obj.parent.mkdir(parents=True)
        self.obj.write_text(drawing.text())
        self.wide = {self.body[16]: (0.25, 0.0, -0.5), self.body[20]: (-0.25, 0.125, 0.0)}
        write_target(self.data, "head/head-round", self.wide)
        write_target(self.data, "expression/units/caucasian/mouth-open", {self.lip: (0.0, -0.2, 0.0)})
        write_target(self.data, "macrodetails/african-male-young", {self.teeth[0]: (0.0, 0.5, 0.0)})
        for side, ear in zip("lr", self.ears, strict=True):
            for name in ("ear-trans-up", "ear-wing-incr"):
                write_target(self.data, f"ears/{side}-{name}", {ear: (0.0, 0.5, 0.0)})
        # What is left out: it moves feet or a hand only, next to nothing, or lies in a folder below.
        write_target(self.data, "head/head-feet", {self.body[-1]: (1.0, 0.0, 0.0), self.hand[0]: (1.0, 0.0, 0.0)})
        write_target(self.data, "nose/nose-still", {self.body[0]: (0.0005, 0.0, 0.0)})
        write_target(self.data, "macrodetails/height/tall", {self.body[0]: (0.0, 1.0, 0.0)})
        write_target(self.data, "armslegs/l-hand", {self.body[0]: (0.0, 1.0, 0.0)})


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


@pytest.fixture
def arrays(checkout: Checkout, tmp_path: Path) -> dict[str, np.ndarray]:
    convert(checkout.folder, tmp_path / "heads.npz")
    with np.load(tmp_path / "heads.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def kept(checkout: Checkout) -> list[int]:
    """The vertices of the bust, worked out by hand."""
    return [*checkout.head, *checkout.eyes[0], *checkout.eyes[1], *checkout.teeth]


# ---- what comes out


def test_vertices_quads_and_groups(checkout: Checkout, arrays: dict[str, np.ndarray]) -> None:
    expected = np.array(checkout.drawing.vertices)[kept(checkout)]
    np.testing.assert_allclose(arrays["V"], expected, atol=1e-4)
    renumbered = {vertex: k for k, vertex in enumerate(kept(checkout))}
    faces = [(group, corners) for group, corners in checkout.drawing.faces if set(corners) <= set(kept(checkout))]
    assert arrays["g"].tolist() == [group for group, _ in faces]
    assert arrays["F"].tolist() == [[renumbered[corner] for corner in corners] for _, corners in faces]
    crown = arrays["V"][:, 1].max()
    assert arrays["V"][:, 1].min() > crown - DEPTH
    assert np.abs(arrays["V"][:, 0]).max() < REACH


def test_targets(checkout: Checkout, arrays: dict[str, np.ndarray]) -> None:
    names = arrays["names"].tolist()
    assert names == ["ears/l-ear-trans-up", "ears/l-ear-wing-incr", "ears/r-ear-trans-up", "ears/r-ear-wing-incr",
                     "expr/mouth-open", "head/head-round", "macrodetails/african-male-young"]  # fmt: skip
    assert arrays["D"].shape == (len(names), len(kept(checkout)), 3)
    wide = np.zeros((len(kept(checkout)), 3))
    for vertex, offset in checkout.wide.items():
        wide[kept(checkout).index(vertex)] = offset
    np.testing.assert_array_equal(arrays["D"][names.index("head/head-round")], wide)
    teeth = arrays["D"][names.index("macrodetails/african-male-young")]
    assert np.flatnonzero(teeth.any(axis=1)).tolist() == [kept(checkout).index(checkout.teeth[0])]


def test_weights_of_lips_and_ears(checkout: Checkout, arrays: dict[str, np.ndarray]) -> None:
    for name in ("lip", "ear"):
        assert arrays[name].shape == (len(kept(checkout)),)
        assert arrays[name].min() >= 0
        assert arrays[name].max() == 1
    assert np.flatnonzero(arrays["lip"]).tolist() == [kept(checkout).index(checkout.lip)]
    assert np.flatnonzero(arrays["ear"]).tolist() == sorted(kept(checkout).index(ear) for ear in checkout.ears)


def test_the_file_is_a_head(checkout: Checkout, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the command line, and from there to a head with two eyes."""
    out = tmp_path / "made" / "heads.npz"
    main(["assets", "makehuman", str(checkout.folder), "--out", str(out)])
    assert "Traceback" not in capsys.readouterr().err
    model = load_morph_model(out)
    assert set(model.groups) == {"body", "helper-l-eye", "helper-r-eye", "helper-upper-teeth"}
    head = build_morph_head(model, make_recipe(3, 1))
    assert np.isfinite(head.vertices).all()
    assert np.abs(to_world(head.vertices)).max() < 1.0
    left, right = head.eyes
    assert left.center[0] > 0.1 > -0.1 > right.center[0]


def test_the_same_checkout_makes_the_same_head(checkout: Checkout, tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        convert(checkout.folder, tmp_path / name)
    assert load_morph_model(tmp_path / "a.npz").digest() == load_morph_model(tmp_path / "b.npz").digest()


# ---- what is wrong


def fails(checkout: Checkout, tmp_path: Path, match: str) -> None:
    """The conversion ends with one line of a UserError, and leaves nothing."""
    out = tmp_path / "out" / "heads.npz"
    out.parent.mkdir(exist_ok=True)
    with pytest.raises(UserError, match=match) as caught:
        convert(checkout.folder, out)
    assert "\n" not in str(caught.value)
    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("f 1/1 2/2 10/10 9/9", "f 1/1 2/2 10/10", "3 values for 'f'"),
        ("f 1/1 2/2 10/10 9/9", "f 1 2 10 9", "index"),
        ("f 1/1 2/2 10/10 9/9", "f 1/1 2/2 10/10 x/9", "'x'"),
        ("v 0.0000 16.0000 0.3000", "v 0.0000 16.0000", "2 values for 'v'"),
        ("v 0.0000 16.0000 0.3000", "v 0.0000 16.0000 nan", "nan is too large"),
        ("vt 0.1000 0.2000", "vt 0.1000 0,2000", "0,2000"),
    ],
)
def test_wrong_lines_of_the_mesh(checkout: Checkout, tmp_path: Path, old: str, new: str, said: str) -> None:
    text = checkout.obj.read_text()
    line = text.splitlines().index(old) + 1
    checkout.obj.write_text(text.replace(f"{old}\n", f"{new}\n", 1))
    fails(checkout, tmp_path, rf"base\.obj: line {line} is none of a mesh of quads \(.*{said}")


@pytest.mark.parametrize("new", ["f 1/1 2/2 10/10 9999/9", "f 1/1 2/2 10/10 9/9999", "f 0/1 2/2 10/10 9/9",
                                 "f 1/0 2/2 10/10 9/9"])  # fmt: skip
def test_corners_that_are_not_there(checkout: Checkout, tmp_path: Path, new: str) -> None:
    checkout.obj.write_text(checkout.obj.read_text().replace("f 1/1 2/2 10/10 9/9", new))
    fails(checkout, tmp_path, "corners that it does not have")


@pytest.mark.parametrize("line", ["3 0.1 0.2", "3 0.1 0.2 x", "99999 0 0 0", "-1 0 0 0", "1.5 0 0 0", "3 0 0 inf",
                                  "3 0 0 1e30", "3 0 0 nan"])  # fmt: skip
def test_wrong_lines_of_a_target(checkout: Checkout, tmp_path: Path, line: str) -> None:
    with (checkout.data / "targets" / "head" / "head-round.target").open("a") as file:
        file.write(f"{line}\n")
    fails(checkout, tmp_path, r"head-round\.target: line 5 is no `vertex dx dy dz` \(.*unchanged checkout")


def test_what_is_missing(checkout: Checkout, tmp_path: Path) -> None:
    ear = checkout.data / "targets" / "ears" / "l-ear-wing-incr.target"
    ear.unlink()
    fails(checkout, tmp_path, r"ears/l-ear-wing-incr\.target is missing")
    for path in (checkout.data / "targets").rglob("*.target"):
        path.unlink()
    fails(checkout, tmp_path, "targets: has no targets")
    text = checkout.obj.read_text()
    checkout.obj.write_text(text.replace("g helper-l-eye", "g something"))
    fails(checkout, tmp_path, "no faces of group 'helper-l-eye'")
    checkout.obj.write_text("# empty\n")
    fails(checkout, tmp_path, "has no faces")
    checkout.obj.write_bytes(b"\xff\xfe\x00")
    fails(checkout, tmp_path, r"base\.obj: cannot be read")
    checkout.obj.unlink()
    fails(checkout, tmp_path, r"base\.obj: cannot be read .*give a checkout of MakeHuman")


def test_a_name_that_is_no_head_file(checkout: Checkout, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"heads\.obj is no \.npz file"):
        convert(checkout.folder, tmp_path / "heads.obj")


def test_readers_alone(checkout: Checkout) -> None:
    mesh = read_base_mesh(checkout.obj)
    assert mesh.vertices.shape == (len(checkout.drawing.vertices), 3)
    assert mesh.quads.shape == (len(checkout.drawing.faces), 4)
    np.testing.assert_allclose(mesh.texture[checkout.lip], LIPS, atol=1e-6)
    target = read_target(checkout.data / "targets" / "head" / "head-round.target", len(mesh.vertices))
    assert np.flatnonzero(target.any(axis=1)).tolist() == sorted(checkout.wide)
