"""The histograms of a report, as SVG."""

from __future__ import annotations

import torch
from torch import Tensor

COLOURS = ("#2f6db3", "#d0812c", "#5d9a52")
BARS = 24
WIDTH, HEIGHT, MARGIN = 640, 260, 44  # of a histogram, in SVG units


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
