"""Contract of an avatar's page without a browser (tests/viewer has one): what is in the file, read by other means, is
the avatar; its security policy lets its own scripts run alone; it is small, and the same every time."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load

from rodin import framing
from rodin.avatars.avatar import SUFFIX, Avatar
from rodin.avatars.html_file import html_of, write_html
from rodin.avatars.web_file import web_bytes
from rodin.cli.main import main
from rodin.errors import UserError
from rodin.materials import MATERIALS
from rodin.render.rays import longest_bin
from rodin.render.renderer import SAMPLES


@pytest.fixture(scope="module")
def held(of_materials: Avatar) -> bytes:
    return gzip.decompress(web_bytes(of_materials, "a ball"))


def about(held: bytes, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "a.safetensors").write_bytes(held)
    with safe_open(tmp_path / "a.safetensors", framework="np") as file:
        return json.loads(file.metadata()["about"])


def test_planes_come_back_to_half_a_step(of_materials: Avatar, held: bytes) -> None:
    tensors = load(held)
    upper = np.cumsum(tensors["planes"].astype(np.int64), axis=2) % 256
    low = tensors["planes_low"]
    lower = np.stack([low >> 6, low >> 4 & 3, low >> 2 & 3, low & 3], axis=1).reshape(-1)[: upper.size]
    codes = upper * 4 + lower.reshape(upper.shape)
    scale, offset = (tensors[name][:, None, None] for name in ("scale", "offset"))
    true = of_materials.planes.numpy()
    spans = true.max(axis=(0, 2, 3)) - true.min(axis=(0, 2, 3))
    assert (np.abs(codes * scale + offset - true).max(axis=(0, 2, 3)) <= 0.51 * spans / 1023 + 1e-7).all()


def test_weights_palette_and_conventions_are_the_avatars(of_materials: Avatar, held: bytes, tmp_path: Path) -> None:
    tensors, said = load(held), about(held, tmp_path)
    for name, value in of_materials.decoder.state_dict().items():
        assert np.array_equal(tensors[f"decoder.{name}"], value.numpy())
    assert of_materials.palette is not None
    assert np.array_equal(tensors["palette"], of_materials.palette.numpy())
    assert said["decoder"] == dataclasses.asdict(of_materials.decoder.config)
    assert said["materials"] == list(MATERIALS)
    assert said["camera"]["radius"] == framing.RADIUS
    assert [entry["material"] for entry in said["wheels"]] == ["hair", "skin", "top"], "those that the ball has"


def test_cells_left_out_hide_nothing(of_materials: Avatar, held: bytes) -> None:
    """A bin anywhere in a cell that is left out is either not looked at in Python, or more transparent than a step."""
    looked_at = np.unpackbits(load(held)["occupied"]).reshape(64, 64, 64).astype(bool)
    assert 0.01 < looked_at.mean() < 0.5
    renderer = of_materials.renderer
    assert renderer.occupancy is not None
    reached = renderer.occupancy.reached_by_bins(longest_bin(SAMPLES))
    points = torch.rand(200_000, 3, generator=torch.Generator().manual_seed(1)) * 2 - 1
    cells = ((points + 1) * 32).long().clamp(0, 63)
    left_out = reached.contains(points) & ~torch.from_numpy(looked_at)[cells[:, 0], cells[:, 1], cells[:, 2]]
    opacity = 1 - torch.exp(-renderer.field.density(points[left_out]) * longest_bin(SAMPLES))
    assert len(opacity) > 100
    assert float(opacity.max()) < 2 / 255
    assert not (torch.from_numpy(looked_at) & ~reached.grid).any()


class Parts(HTMLParser):
    """The inline scripts and styles of a page, its policy, and all that it names elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.inside: str | None = None
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.policy = ""
        self.named: list[str] = []
        self.handlers: list[str] = []
        self.title = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.inside = "data" if given.get("type") else tag
        self.named += [value for name in ("src", "href") if (value := given.get(name))]
        self.handlers += [name for name in given if name.startswith("on") or name == "style"]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"] or ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts.append(data)
        elif self.inside == "style":
            self.styles.append(data)
        elif self.inside == "title":
            self.title += data

    def handle_endtag(self, tag: str) -> None:
        self.inside = None


def test_the_policy_names_its_own_scripts_and_styles_alone(of_materials: Avatar) -> None:
    parts = Parts(html_of(of_materials, "a ball"))

    def hashes(texts: list[str]) -> list[str]:
        digests = [hashlib.sha256(text.encode()).digest() for text in texts]
        return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]

    rules = {name: rest for name, *rest in (rule.split() for rule in parts.policy.split(";"))}
    assert rules["default-src"] == ["'none'"]
    assert rules["script-src"] == hashes(parts.scripts)
    assert rules["style-src"] == hashes(parts.styles)
    assert "unsafe" not in parts.policy
    assert parts.handlers == []
    assert all(name.startswith("data:") for name in parts.named)


def test_titles_are_escaped_and_have_a_default(of_materials: Avatar) -> None:
    hurtful = "</title><script>alert(1)</script>\"'&"
    text = html_of(of_materials, hurtful)
    assert len(Parts(text).scripts) == 2
    assert "<script>alert" not in text
    asked = dataclasses.replace(of_materials.drawing, prompt="an old man")
    assert Parts(html_of(dataclasses.replace(of_materials, drawing=asked))).title == "an old man"
    assert Parts(html_of(of_materials)).title == "An avatar"


def test_it_is_small_and_the_same_every_time(of_materials: Avatar) -> None:
    """The largest that a mini avatar's page can be: planes of noise, which nothing packs."""
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(3, 4, 128, 128, generator=generator)
    noisy = dataclasses.replace(of_materials, planes=noise)
    assert len({html_of(of_materials) for _ in range(4)}) == 1
    beside = len(html_of(of_materials, "x").encode())
    assert beside < 300_000
    planes = 16 / 4 * (len(web_bytes(noisy, "x")) - len(web_bytes(of_materials, "x"))) * 4 / 3
    assert beside + planes < 2_000_000


def test_export_writes_it(of_materials: Avatar, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    avatar = tmp_path / f"ball{SUFFIX}"
    of_materials.save(avatar)
    main(["export", str(avatar), "--format", "html"])
    main(["export", str(avatar), "--out", str(tmp_path / "other.html")])
    assert capsys.readouterr().out.split() == [str(tmp_path / "ball.html"), str(tmp_path / "other.html")]
    assert (tmp_path / "ball.html").read_bytes() == (tmp_path / "other.html").read_bytes()
    for flags, words in (
        (["--format", "html", "--faces", "10", "--threshold", "3"], "--threshold, --faces"),
        (["--format", "html", "--out", str(tmp_path / "a.glb")], "does not end in .html"),
        (["--format", "obj", "--out", str(tmp_path / "a.html")], "does not end in .obj"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["export", str(avatar), *flags])
        assert ended.value.code == 2
        assert words in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ball.html", f"ball{SUFFIX}", "other.html"]


def test_a_place_that_cannot_be_written_is_said(of_materials: Avatar, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_html(tmp_path / "file" / "a.html", of_materials)


def test_no_address_is_in_it(of_materials: Avatar) -> None:
    text = re.sub(r'id="rodin-avatar">[^<]*<', "", html_of(of_materials))
    assert not re.search(r"https?:|\bsrc=\"(?!data:)", text)
