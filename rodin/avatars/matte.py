"""The background of a portrait taken away, by colour and framing.

Two colour histograms, of the person and of what is behind, are learned from a head-and-shoulders template (as GrabCut
does, Rother et al. 2004), and a random walker (Grady 2006) draws the edge between what they are sure of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rodin.images import over, resized

Array = NDArray[np.float64]

MATTE_SIDE = 128
BINS = np.array([16, 20, 20])  # of the histograms: L, a, b

# A matte is in doubt if so much of the person looks like what is behind, or of that like the person. Avatars composited
# over 16 backgrounds (plain, wood, brick, grass, a shelf of books): of 73 mattes that share less than 85 % of their
# union with the truth, 68 are in doubt, of 44 that share more than 94 %, three.
PERSON_STRANGE, BEHIND_STRANGE = 0.12, 0.10
TOUCHING = 0.25  # of each of three sides, from which on a matte reaches it


@dataclass(frozen=True)
class Matte:
    """What of a framed photograph is the person.

    Args:
        alpha: [S, S] soft, in [0, 1].
        doubt: why it may be wrong, in words; empty where nothing speaks against it.
    """

    alpha: Tensor
    doubt: str


def foreground(framed: Tensor) -> Matte:
    """The matte of a person in a framed photograph [S, S, 4], cut off below like a bust.

    Found at MATTE_SIDE, since the edge of hair has no more to give to a render's size.
    """
    from skimage.color import rgb2lab
    from skimage.segmentation import random_walker  # a second that only photographs need

    size = MATTE_SIDE
    known = resized(framed[..., 3:], size, size)[..., 0].numpy() > 0.99
    rgb = resized(over(framed, 1.0), size, size).numpy()
    lab = rgb2lab(rgb) / 100  # L in [0, 1], a and b in about [-1, 1]
    inside, outside, likely, bust = _template(size)
    outside = (outside | ~known) & ~inside
    sure = _sure(_by_colour(lab, inside, outside, likely), inside, outside)
    if (sure == 0).any():
        chances = random_walker(lab, sure, beta=800, mode="cg_j", tol=1e-5, channel_axis=-1, return_full_prob=True)
        alpha = np.clip((chances[0] - 0.2) / 0.6, 0, 1)
    else:
        alpha = (sure == 1).astype(np.float64)
    doubt = _doubt(lab, alpha * known, inside, outside, known)
    matte = torch.from_numpy(alpha * bust * known).float()
    whole = resized(matte[..., None], *framed.shape[:2])[..., 0] * framed[..., 3]
    return Matte(whole, doubt)


def share_of_head(known: Tensor) -> float:
    """The share of where a framed head is likely that lies in what is known, a mask [S, S] in [0, 1]."""
    size = known.shape[0]
    _, _, likely, _ = _template(size)
    head = torch.from_numpy((likely > 0.5) & (np.arange(size) < 0.7 * size)[:, None])
    return float(known[head].mean())


def bust_outline(size: int) -> Tensor:
    """Soft alpha [S, S] of all that a portrait may show: the frame, cut off below like a bust."""
    return torch.from_numpy(_template(size)[3]).float()


def _template(size: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Array, Array]:
    """Where a framed person surely is, surely is not, the likelihood of the rest, and the bust's soft outline.

    The bust is that of our avatars, all of whom end in it; a photograph's shoulders go on, and nothing could render
    them. All are [size, size].
    """
    from scipy import ndimage

    rows, columns = (np.mgrid[:size, :size] + 0.5) / size
    beside = np.abs(columns - 0.5)

    def ellipse(row: float, radius_x: float, radius_y: float) -> Array:
        return np.hypot(beside / radius_x, (rows - row) / radius_y)

    inside = (ellipse(0.55, 0.12, 0.17) < 1) | ((beside < 0.06) & (rows > 0.6) & (rows < 0.9))
    outside = (rows < 0.02) | ((ellipse(0.5, 0.45, 0.5) > 1) & (rows < 0.7))
    head_or_body = np.minimum(ellipse(0.47, 0.28, 0.38), ellipse(1.0, 0.45, 0.25))
    likely = 1 / (1 + np.exp(8 * (head_or_body - 1)))
    bust = (ellipse(0.80, 0.27, 0.115) < 1) | ((beside < 0.27) & (rows < 0.8)) | (rows < 0.7)
    return inside, outside, likely, ndimage.gaussian_filter(bust.astype(np.float64), 0.8)


def _by_colour(lab: Array, inside: NDArray[np.bool_], outside: NDArray[np.bool_], likely: Array) -> Array:
    """The chance [S, S] of each pixel to be the person, by place and by colour histograms learned from the chances."""
    places = _places(lab)
    prior = np.log(likely / (1 - likely))
    chance = likely
    for _ in range(5):
        chance = np.where(inside, 1.0, np.where(outside, 0.0, chance))
        ratio = np.log(_likelihood(places, chance) / _likelihood(places, 1 - chance))
        chance = 1 / (1 + np.exp(-(prior + np.clip(ratio, -4, 4))))
    return chance


def _sure(chance: Array, inside: NDArray[np.bool_], outside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Seeds [S, S] of the random walker: 1 the person, 2 the background, 0 to be found out."""
    from scipy import ndimage

    person = (ndimage.minimum_filter(chance, 3) > 0.85) | inside
    pieces, _ = ndimage.label(person & ~outside)
    person = pieces == pieces[inside][0]  # one piece around the face; what else has its colours does not count
    behind = (ndimage.maximum_filter(chance, 3) < 0.15) | outside
    return np.where(person, 1, np.where(behind & ~inside, 2, 0))


def _places(lab: Array) -> tuple[NDArray[np.int64], ...]:
    """The bin of each pixel's colour in a histogram: three indices, [S, S] each."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(lab, (0.7, 0.7, 0))
    numbers = np.clip(smooth * [1, 0.8, 0.8] + [0, 0.5, 0.5], 0, 1) * BINS
    return tuple(numbers.round().astype(np.int64).transpose(2, 0, 1))


def _likelihood(places: tuple[NDArray[np.int64], ...], weights: Array) -> Array:
    """How often each pixel's colour [S, S] is among weighted pixels."""
    from scipy import ndimage

    histogram = np.zeros(BINS + 1)
    np.add.at(histogram, places, weights)
    histogram = ndimage.gaussian_filter(histogram, 1.0)
    return (histogram / max(histogram.sum(), 1e-5) + 1e-5)[places]


def _doubt(
    lab: Array, alpha: Array, inside: NDArray[np.bool_], outside: NDArray[np.bool_], known: NDArray[np.bool_]
) -> str:
    """Why an alpha [S, S] may be wrong: it reaches three sides, or much of it has colours of what is behind."""
    from scipy import ndimage

    size = len(alpha)
    rows, columns = (np.mgrid[:size, :size] + 0.5) / size
    edge = ndimage.binary_dilation(outside, iterations=3) & ~outside & (rows < 0.68)
    edge &= known
    sides = (edge & (rows < 0.2), edge & (rows > 0.2) & (columns < 0.5), edge & (rows > 0.2) & (columns > 0.5))
    if all(side.any() and (alpha[side] > 0.5).mean() > TOUCHING for side in sides):
        return "what was found reaches three sides of the frame"
    places, seen = _places(lab), known & (rows < 0.8)
    behinds = _likelihood(places, alpha * seen) < _likelihood(places, (1 - alpha) * seen)
    judged = known & (rows < 0.7) & ~inside
    person, behind = (alpha * judged), ((1 - alpha) * judged)
    strange = (person * behinds).sum() / max(person.sum(), 1e-5), (behind * ~behinds).sum() / max(behind.sum(), 1e-5)
    if strange[0] > PERSON_STRANGE or strange[1] > BEHIND_STRANGE:
        return "the person and what is behind have the same colours"
    return ""
