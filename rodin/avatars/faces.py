"""Faces in pictures, and where their eyes, noses and mouths are: MTCNN (Zhang et al. 2016, arXiv 1604.02878).

Three small networks, one after the other: the first proposes windows at all places and sizes, the second throws most of
them away, the third decides about the rest and finds five points in each. Their weights (2 MB) come with the package
`mtcnn`, of which no code is run.

Positions and sizes are in pixels, (0, 0) the upper left corner of the picture. Boxes are [N, 4]: left, top, right,
bottom; points are [N, 5, 2]: right eye, left eye, nose, right and left corner of the mouth (the person's right is on
the left of the picture), each x and y.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from pickle import UnpicklingError  # the name of an error  # nosec B403
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rodin.errors import UserError, one_line

WINDOW, STRIDE = 12, 2  # pixels of the first network
SMALLEST_FACE = 20  # pixels across in the picture that is searched
SCALE_STEP = 0.709  # from one size of the picture to the next: half the area
THRESHOLDS = (0.6, 0.7, 0.7)  # probabilities below which each network throws a window away
RIGHT_EYE, LEFT_EYE, NOSE, MOUTH_RIGHT, MOUTH_LEFT = range(5)


@dataclass(frozen=True)
class Face:
    """A face that looks at the camera, in pixels.

    Args:
        box: left, top, right, bottom.
        points: [5, 2] right eye, left eye, nose, right and left corner of the mouth, each x and y.
        score: the last network's probability, in [0, 1].
    """

    box: tuple[float, float, float, float]
    points: Tensor
    score: float

    @property
    def width(self) -> float:
        return self.box[2] - self.box[0]


def find_faces(image: Tensor) -> list[Face]:
    """Upright faces in a picture [H, W, 3] in [0, 1], the likeliest first.

    Faces are found from SMALLEST_FACE pixels on, up to a tilt of some 30 degrees.
    """
    propose, refine, decide = _networks()
    picture = ((image * 255 - 127.5) / 128).permute(2, 0, 1)[None]
    with torch.inference_mode():
        boxes = _proposals(propose, picture)
        offsets, scores, _ = refine(_windows(picture, boxes, 24))
        kept = scores > THRESHOLDS[1]
        boxes, scores = _moved(boxes[kept], offsets[kept]), scores[kept]
        kept = _not_overlapping(boxes, scores, 0.7)
        boxes = _squares(boxes[kept])
        offsets, scores, points = decide(_windows(picture, boxes, 48))
        kept = scores > THRESHOLDS[2]
        boxes, offsets, scores, points = boxes[kept], offsets[kept], scores[kept], points[kept]
        sizes = boxes[:, 2:] - boxes[:, :2]
        points = boxes[:, None, :2] + points.unflatten(1, (2, 5)).transpose(1, 2) * sizes[:, None]
        boxes = _moved(boxes, offsets)
        kept = _not_overlapping(boxes, scores, 0.4)
    return [
        Face((left, top, right, bottom), place.clone(), score)
        for (left, top, right, bottom), place, score in zip(
            boxes[kept].tolist(), points[kept], scores[kept].tolist(), strict=True
        )
    ]


# ---- networks


class _Stage(nn.Module):
    """Convolutions, each with its own slopes below zero and most with pooling, and the heads behind them.

    Args:
        pools: (size, stride) of the pooling after each convolution; None where there is none.
        weights: as the package orders them: kernel, bias and slopes of each layer, then kernel and bias of each head.
    """

    def __init__(self, weights: list[Any], pools: list[tuple[int, int] | None]) -> None:
        super().__init__()
        self.pools = pools
        tensors = [torch.from_numpy(np.asarray(value, dtype=np.float32)) for value in weights]
        self.convolutions = [
            (tensors[3 * k].permute(3, 2, 0, 1).contiguous(), tensors[3 * k + 1], tensors[3 * k + 2].flatten())
            for k in range(len(pools))
        ]
        rest = tensors[3 * len(pools) :]
        self.hidden = (rest[0].T, rest[1], rest[2]) if rest[0].ndim == 2 else None
        heads = rest[3:] if self.hidden else rest
        self.heads = list(zip(heads[::2], heads[1::2], strict=True))

    def forward(self, x: Tensor) -> list[Tensor]:
        """[N, 3, h, w] in about [-1, 1] to each head's numbers, [N, K], or [N, K, h', w'] without a hidden layer."""
        for (kernel, bias, slopes), pool in zip(self.convolutions, self.pools, strict=True):
            x = F.prelu(F.conv2d(x, kernel, bias), slopes)
            if pool:
                x = F.max_pool2d(x, *pool, ceil_mode=True)
        if self.hidden is None:
            return [F.conv2d(x, kernel.permute(3, 2, 0, 1), bias) for kernel, bias in self.heads]
        weight, bias, slopes = self.hidden
        x = F.prelu(F.linear(x.permute(0, 3, 2, 1).flatten(1), weight, bias), slopes)
        return [F.linear(x, kernel.T, bias) for kernel, bias in self.heads]


class _Judge(nn.Module):
    """A stage that sees whole windows: offsets [N, 4], probabilities [N] and points [N, 10] (none of the second's)."""

    def __init__(self, stage: _Stage) -> None:
        super().__init__()
        self.stage = stage

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        offsets, *points, classes = self.stage(windows)
        return offsets, classes.softmax(dim=1)[:, 1], points[0] if points else offsets.new_zeros(len(offsets), 0)


def read_arrays(path: Path) -> list[np.ndarray]:
    """The arrays of float32 in a file that joblib wrote and lz4 packed.

    Such a file is a pickle, which could call anything; this reader knows such arrays and calls nothing else.

    Raises:
        UserError: the file is missing or damaged, or holds more than arrays.
    """
    import lz4.frame
    from joblib.numpy_pickle import NumpyArrayWrapper, NumpyUnpickler

    # Arrays of objects would be pickles of their own.
    def float32(kind: str, align: bool = False, copy: bool = False) -> np.dtype[Any]:
        if kind != "f4":
            raise ValueError(f"it holds numbers of type {kind}")
        return np.dtype(np.float32, align, copy)

    known = {
        ("joblib.numpy_pickle", "NumpyArrayWrapper"): NumpyArrayWrapper,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): float32,
    }

    class Reader(NumpyUnpickler):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> object:
            if (module, name) not in known:
                raise ValueError(f"it holds {module}.{name}, no array")
            return known[module, name]

    try:
        content = BytesIO(lz4.frame.decompress(path.read_bytes()))
        return list(Reader(str(path), content, ensure_native_byte_order=True).load())
    except (OSError, RuntimeError, ValueError, TypeError, LookupError, EOFError, UnpicklingError) as error:
        raise UserError(f"{path}: cannot be read ({one_line(error)}); install mtcnn again") from error


@cache
def _networks() -> tuple[_Stage, _Judge, _Judge]:
    package = find_spec("mtcnn")
    if package is None or not package.submodule_search_locations:
        raise UserError("the face detector's weights are missing; pip install mtcnn, a dependency of rodin")
    folder = Path(package.submodule_search_locations[0]) / "assets" / "weights"
    propose, refine, decide = (read_arrays(folder / f"{name}net.lz4") for name in "pro")
    return (
        _Stage(propose, [(2, 2), None, None]),
        _Judge(_Stage(refine, [(3, 2), (3, 2), None])),
        _Judge(_Stage(decide, [(3, 2), (3, 2), (2, 2), None])),
    )


# ---- windows


def _proposals(propose: _Stage, picture: Tensor) -> Tensor:
    """Square boxes [N, 4] that the first network takes for faces in [1, 3, H, W]."""
    height, width = picture.shape[2:]
    scale = WINDOW / SMALLEST_FACE
    boxes, scores = [torch.zeros(0, 4)], [torch.zeros(0)]
    while min(height, width) * scale >= WINDOW:
        size = (round(height * scale), round(width * scale))
        offsets, classes = propose(F.interpolate(picture, size, mode="bilinear", antialias=True))
        chances = classes.softmax(dim=1)[0, 1]
        rows, columns = (chances > THRESHOLDS[0]).nonzero(as_tuple=True)
        corner = torch.stack([columns, rows], dim=1) * float(STRIDE)
        found = torch.cat([corner, corner + WINDOW], dim=1) / scale
        kept = _not_overlapping(found, chances[rows, columns], 0.5)
        boxes.append(_moved(found, offsets[0, :, rows, columns].T)[kept])
        scores.append(chances[rows, columns][kept])
        scale *= SCALE_STEP
    found = torch.cat(boxes)
    return _squares(found[_not_overlapping(found, torch.cat(scores), 0.7)])


def _windows(picture: Tensor, boxes: Tensor, size: int) -> Tensor:
    """What [1, 3, H, W] shows in boxes [N, 4], as [N, 3, size, size]; black beyond its edges."""
    height, width = picture.shape[2:]
    windows = picture.new_zeros(len(boxes), 3, size, size)
    for k, (left, top, right, bottom) in enumerate(boxes.round().int().tolist()):
        inside = picture[:, :, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
        if 0 in inside.shape:
            continue
        beyond = (max(-left, 0), max(right - width, 0), max(-top, 0), max(bottom - height, 0))
        whole = F.pad(inside, beyond)
        windows[k] = F.interpolate(whole, (size, size), mode="bilinear", antialias=True)[0]
    return windows


def _moved(boxes: Tensor, offsets: Tensor) -> Tensor:
    """Boxes [N, 4] with corners moved by offsets [N, 4], in parts of their sizes."""
    sizes = boxes[:, 2:] - boxes[:, :2]
    return boxes + offsets * torch.cat([sizes, sizes], dim=1)


def _squares(boxes: Tensor) -> Tensor:
    """Boxes [N, 4] as squares of the longer side around the same centres."""
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(dim=1, keepdim=True) / 2
    return torch.cat([centres - half, centres + half], dim=1)


def _not_overlapping(boxes: Tensor, scores: Tensor, most: float) -> Tensor:
    """Indices of boxes [N, 4], the best first, none of which shares more than `most` of its union with a better one."""
    order = scores.argsort(descending=True)
    areas = (boxes[:, 2:] - boxes[:, :2]).clamp_min(0).prod(dim=1)
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        low = torch.maximum(boxes[best, :2], boxes[order, :2])
        high = torch.minimum(boxes[best, 2:], boxes[order, 2:])
        shared = (high - low).clamp_min(0).prod(dim=1)
        order = order[shared <= most * (areas[best] + areas[order] - shared)]
    return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.long)
