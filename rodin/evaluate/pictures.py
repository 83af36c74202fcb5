"""Pictures of a report: views side by side, and histograms as SVG.

Symbols: S side of a view in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from rodin.render import over

BACKGROUND = (0.93, 0.94, 0.95)
GAP = 3  # pixels between views
COLOURS = ("#2f6db3", "#d0812c", "#5d9a52")
BARS = 24
WIDTH, HEIGHT, MARGIN = 640, 260, 44  # of a histogram, in SVG units


def strip(views: Sequence[Tensor], size: int) -> Tensor:
    """Straight RGBA views [S, S, 4], each of its own size, as one row [size, W, 3]."""
    white = torch.ones(size, GAP, 3)
    cells = []
    for view in views:
        picture = over(view.cpu(), torch.tensor(BACKGROUND)).permute(2, 0, 1)[None]
        if view.shape[0] != size:
            picture = F.interpolate(picture, (size, size), mode="bicubic", antialias=True)
        cells += [picture[0].permute(1, 2, 0).clamp(0, 1), white]
    return torch.cat(cells[:-1], dim=1)


def stack(rows: Sequence[Tensor]) -> Tensor:
    """Rows [H, W, 3] of one width, one below the other."""
    white = torch.ones(GAP, rows[0].shape[1], 3)
    return torch.cat([part for row in rows for part in (row, white)][:-1])


def histogram(sets: dict[str, Tensor], title: str) -> str:
    """An SVG of the distributions of some sets of numbers, each as shares of its own set, and their medians."""
    top = max(float(values.max()) for values in sets.values()) * 1.02 + 1e-9
    counts = [torch.histc(values.float(), BARS, 0.0, top) / len(values) for values in sets.values()]
    highest = max(float(count.max()) for count in counts)
    step = (WIDTH - 2 * MARGIN) / BARS
    base = HEIGHT - MARGIN
    parts = []
    for index, ((name, values), count) in enumerate(zip(sets.items(), counts, strict=True)):
        colour = COLOURS[index % len(COLOURS)]
        points = [f"{MARGIN},{base}"]
        for k, share in enumerate(count.tolist()):
            y = base - share / highest * (base - MARGIN)
            points += [f"{MARGIN + k * step:.1f},{y:.1f}", f"{MARGIN + (k + 1) * step:.1f},{y:.1f}"]
        points.append(f"{WIDTH - MARGIN},{base}")
        parts.append(f'<polygon points="{" ".join(points)}" fill="{colour}" fill-opacity="0.28" stroke="{colour}"/>')
        middle = float(values.quantile(0.5))
        x = MARGIN + middle / top * (WIDTH - 2 * MARGIN)
        parts.append(f'<path d="M{x:.1f} {base} V{MARGIN - 8}" stroke="{colour}" stroke-dasharray="4 3"/>')
        parts.append(
            f'<text x="{WIDTH - MARGIN}" y="{MARGIN + 16 * index}" text-anchor="end" fill="{colour}">'
            f"{name}: median {middle:.3f}</text>"
        )
    ticks = "".join(
        f'<text x="{MARGIN + k / 4 * (WIDTH - 2 * MARGIN):.0f}" y="{base + 16}" text-anchor="middle">{top * k / 4:.2f}'
        "</text>"
        for k in range(5)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="Georgia, serif" '
        f'font-size="12" fill="#444"><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>{"".join(parts)}'
        f'<path d="M{MARGIN} {base} H{WIDTH - MARGIN}" stroke="#444"/>{ticks}'
        f'<text x="{WIDTH / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle">{title}</text></svg>\n'
    )
