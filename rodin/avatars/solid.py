"""One body without holes of a density that is thin in places: what a fit leaves undecided inside an avatar, and the
pits by which that is reached from outside, are filled. The smallest ball that leaves no tunnel closes them; a tunnel
too wide for all of them is the avatar's own.

Symbols: N grid points along each side of the box.
"""

from __future__ import annotations

import numpy as np

BALLS = (3, 4, 5, 6)  # grid points of a grid of 128: radii that are tried
SMOOTH = 1.0  # grid points, over which a filled place is rounded
SIDES = [(axis, end) for axis in range(3) for end in (0, -1)]


def filled(density: np.ndarray, threshold: float) -> np.ndarray:
    """The density [N, N, N], raised above the threshold where an avatar is hollow or pitted; it falls nowhere."""
    from scipy import ndimage

    matter = density > threshold
    bodies = (_body(matter, max(1, round(ball * len(density) / 128))) for ball in BALLS)
    first = next(bodies)
    body = next((one for one in (first, *bodies) if not _tunnels(one)), first)
    inside = ndimage.gaussian_filter(body.astype(np.float32), SMOOTH, mode="nearest")
    raised = threshold * (1 + np.maximum(inside - 0.5, 0.02))
    return np.where(body & ~matter, raised, density).astype(density.dtype)


def _body(matter: np.ndarray, radius: int) -> np.ndarray:
    """Matter without what no ball of that radius reaches from outside, and without cavities."""
    from scipy import ndimage

    closed = _closed(matter, radius)
    thick = ~_closed(~closed, max(1, radius // 2))  # thin threads across a pit would make tunnels of their own
    body = thick | matter
    for axis, end in SIDES:  # what the side of the box cuts open is no opening
        side: list[slice | int] = [slice(None)] * 3
        side[axis] = end
        body[tuple(side)] = ndimage.binary_fill_holes(body[tuple(side)])
    found: np.ndarray = ndimage.binary_fill_holes(body)
    return found


def _tunnels(body: np.ndarray) -> int:
    """How many tunnels go through a body without cavities, by Euler's number."""
    from scipy import ndimage
    from skimage.measure import euler_number

    return int(ndimage.label(body)[1] - euler_number(np.pad(body, 1), connectivity=1))


def _closed(matter: np.ndarray, radius: int) -> np.ndarray:
    """All that no ball of that radius reaches from outside (morphological closing)."""
    margin = radius + 1
    padded = np.pad(matter, margin)
    closed = ~_near(~_near(padded, radius), radius)
    return (closed | padded)[margin:-margin, margin:-margin, margin:-margin]


def _near(matter: np.ndarray, radius: int) -> np.ndarray:
    """Where matter is within that radius: exact squared distances, axis after axis, of which only small ones matter."""
    far = 2**16 - 1 - radius**2
    squared = np.where(matter, 0, far).astype(np.uint16)
    for axis in range(3):
        squared = np.moveaxis(squared, axis, 0)
        before = squared.copy()
        for step in range(1, radius + 1):
            further = np.minimum(before, far) + np.uint16(step**2)
            np.minimum(squared[step:], further[:-step], out=squared[step:])
            np.minimum(squared[:-step], further[step:], out=squared[:-step])
        squared = np.moveaxis(squared, 0, axis)
    return squared <= radius**2
