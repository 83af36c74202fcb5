"""Contract: a histogram's bars are the shares of its sets."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from rodin.evaluate.histogram import BARS, HEIGHT, MARGIN, histogram


def test_bars_are_shares() -> None:
    """The area under each polygon is that of one set, however many it has."""
    sets = {"few": torch.linspace(0.1, 0.4, 10), "many": torch.linspace(0.3, 0.9, 70)}
    root = ElementTree.fromstring(histogram(sets, "distance"))
    polygons = [node.attrib["points"] for node in root.iter() if node.tag.endswith("polygon")]
    areas = []
    for points in polygons:
        corners = [tuple(map(float, pair)) for pair in re.findall(r"([\d.]+),([\d.]+)", points)]
        xs, ys = zip(*corners, strict=True)
        pairs = zip(corners, corners[1:] + corners[:1], strict=True)
        areas.append(abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)) / 2)
        assert len(corners) == 2 * BARS + 2
        assert min(ys) >= MARGIN - 0.1
        assert max(ys) == HEIGHT - MARGIN
        assert min(xs) == MARGIN
    assert areas[0] == pytest.approx(areas[1], rel=0.02)
    text = "".join(root.itertext())
    assert "few: median 0.250" in text
    assert "distance" in text


def test_equal_distances_still_make_a_chart() -> None:
    ElementTree.fromstring(histogram({"same": torch.zeros(3)}, "d"))
