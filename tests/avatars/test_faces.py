"""Contract of rodin.avatars.faces: faces that people have labelled are found, what they have labelled as none is not;
eyes, nose and mouth are where they are, and positions follow the picture. Of rodin.avatars.face_search: whichever size
and way up, the same faces are found, and patterns that resemble one are none."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import joblib
import lz4.frame
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rodin.avatars.face_search import centre, search_faces, tilt_deg
from rodin.avatars.faces import find_faces, read_arrays
from rodin.errors import UserError

# Of scikit-image's astronaut, read off the picture by hand: right eye, left eye, nose, corners of the mouth
BY_HAND = np.array([(204, 100), (246, 102), (226, 129), (204, 142), (246, 142)])


@pytest.fixture(scope="module")
def astronaut() -> Tensor:
    from skimage.data import astronaut

    return torch.from_numpy(astronaut()).float() / 255


class Call:
    """What a pickle may call where nothing stops it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.touch, (self.trace,)


def packed(path: Path, value: object) -> Path:
    """A file as the package has them."""
    content = BytesIO()
    joblib.dump(value, content)
    path.write_bytes(lz4.frame.compress(content.getvalue()))
    return path


def test_weights_are_read_as_arrays_and_nothing_else(tmp_path: Path) -> None:
    arrays = [np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32), np.zeros(5, np.float32)]
    found = read_arrays(packed(tmp_path / "arrays", arrays))
    assert all(np.array_equal(one, other) for one, other in zip(found, arrays, strict=True))
    trace = tmp_path / "trace"
    for harm in ([Call(trace)], [np.array([Call(trace)], dtype=object)], [np.zeros(3, np.int64)]):
        with pytest.raises(UserError, match=r"it holds .*; install mtcnn again"):
            read_arrays(packed(tmp_path / "harm", harm))
    assert not trace.exists()
    (tmp_path / "cut").write_bytes((tmp_path / "arrays").read_bytes()[:-20])
    for name in ("cut", "missing"):
        with pytest.raises(UserError, match="cannot be read"):
            read_arrays(tmp_path / name)


def labelled(face: bool) -> list[Tensor]:
    """100 pictures of 25 x 25 grey pixels, enlarged, from Labeled Faces in the Wild."""
    from skimage.data import lfw_subset

    pictures = torch.from_numpy(lfw_subset()[:100] if face else lfw_subset()[100:]).float()
    large = F.interpolate(pictures[:, None], (100, 100), mode="bilinear")
    return list(F.pad(large, (40, 40, 40, 40), value=0.5).expand(-1, 3, -1, -1).permute(0, 2, 3, 1))


def test_labelled_faces_are_found_and_others_are_not() -> None:
    assert sum(bool(find_faces(picture)) for picture in labelled(face=True)) >= 97
    assert sum(bool(find_faces(picture)) for picture in labelled(face=False)) <= 2


def test_eyes_nose_and_mouth_are_where_they_are(astronaut: Tensor) -> None:
    face = find_faces(astronaut)[0]
    assert np.abs(face.points.numpy() - BY_HAND).max() < 5
    left, top, right, bottom = face.box
    assert left < BY_HAND[:, 0].min() < BY_HAND[:, 0].max() < right
    assert top < BY_HAND[:, 1].min() < BY_HAND[:, 1].max() < bottom
    assert 0.9 < face.score <= 1


def test_positions_follow_the_picture(astronaut: Tensor) -> None:
    """Cropped, the face moves as the picture does; mirrored, right and left change places."""
    face = find_faces(astronaut)[0]
    moved = find_faces(astronaut[20:, 60:])[0]
    assert (moved.points - (face.points - torch.tensor([60.0, 20.0]))).abs().max() < 3
    mirrored = find_faces(astronaut.flip(1))[0].points[[1, 0, 2, 4, 3]]
    assert (mirrored * torch.tensor([-1.0, 1.0]) + torch.tensor([511.0, 0.0]) - face.points).abs().max() < 4


def test_an_empty_picture_has_no_faces() -> None:
    assert find_faces(torch.rand(60, 90, 3, generator=torch.Generator().manual_seed(0))) == []
    assert find_faces(torch.zeros(5, 7, 3)) == []
    assert search_faces(torch.full((20, 16, 3), 0.5)).faces == []


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("scale", [0.4, 1.0, 2.5])
def test_a_face_is_the_same_in_every_size_and_turn(astronaut: Tensor, turns: int, scale: float) -> None:
    size = round(512 * scale)
    picture = F.interpolate(astronaut.permute(2, 0, 1)[None], (size, size), mode="bilinear", antialias=True)[0]
    found = search_faces(torch.rot90(picture.permute(1, 2, 0), -turns))
    assert (found.turns, len(found.faces), found.aside) == (turns, 1, [])
    assert centre(found.faces[0]) == pytest.approx((225 * scale, 121 * scale), abs=4 * scale)
    assert abs(tilt_deg(found.faces[0])) < 8


def test_what_resembles_a_face_is_none() -> None:
    """No picture without people has a face in it, whichever way up."""
    from skimage import data

    for picture in (data.coffee(), data.coins(), data.grass(), data.brick()):
        colours = torch.from_numpy(np.array(picture)).float() / 255
        found = search_faces(colours if colours.ndim == 3 else colours[..., None].expand(-1, -1, 3))
        assert found.faces == []
        assert found.aside == []
