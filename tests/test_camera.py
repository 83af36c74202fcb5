"""Contract: cameras are OpenGL style in a +y-up world; rays go through pixel centres; project undoes rays.

The reference is a projection matrix written out in NumPy, independent of the code under test.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rodin.camera import Camera, around, camera_at, look_at, orbit


def project_numpy(camera: Camera, points: np.ndarray) -> np.ndarray:
    """K [R | t] X with the flip from OpenGL's axes to image axes; float64."""
    world_to_cam = np.linalg.inv(camera.cam_to_world.numpy().astype(np.float64))
    flip = np.diag([1.0, -1.0, -1.0, 1.0])
    (fx, fy), (cx, cy) = camera.focal.tolist(), camera.centre.tolist()
    intrinsics = np.array([[fx, 0, cx, 0], [0, fy, cy, 0], [0, 0, 1, 0]])
    homogeneous = np.concatenate([points, np.ones((len(points), 1))], axis=1)
    image = homogeneous @ (intrinsics @ flip @ world_to_cam).T
    return image[:, :2] / image[:, 2:]


def make_camera(azimuth: float, elevation: float, width: int, height: int) -> Camera:
    square = orbit([azimuth], [elevation], size=16)
    return Camera(
        square.cam_to_world[0],
        torch.tensor([30.0, 25.0]),
        torch.tensor([width / 2 + 1.5, height / 2 - 0.5]),
        width,
        height,
    )


@given(azimuth=st.floats(-180, 180), elevation=st.floats(-85, 85), width=st.integers(1, 9), height=st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_rays_and_projection_agree_with_a_projection_matrix(
    azimuth: float, elevation: float, width: int, height: int
) -> None:
    camera = make_camera(azimuth, elevation, width, height)
    origins, directions = camera.rays()
    assert origins.shape == directions.shape == (height, width, 3)
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(height, width))
    points = (origins + 3.7 * directions).reshape(-1, 3)
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    centres = np.stack([columns, rows], axis=-1).reshape(-1, 2)
    np.testing.assert_allclose(project_numpy(camera, points.numpy().astype(np.float64)), centres, atol=1e-3)
    pixels, depth = camera.project(points)
    np.testing.assert_allclose(pixels.numpy(), centres, atol=1e-3)
    assert (depth > 0).all()


def test_azimuth_zero_looks_into_the_face_and_positive_azimuth_is_the_avatars_left() -> None:
    camera = orbit([0.0, 90.0], [0.0, 30.0], size=8, radius=2.0)
    torch.testing.assert_close(camera.position[0], torch.tensor([0.0, 0.0, 2.0]))
    expected = torch.tensor([2 * math.cos(math.pi / 6), 1.0, 0.0])
    torch.testing.assert_close(camera.position[1], expected, atol=1e-6, rtol=0)
    # Seen from the front, the avatar's left (+x) is on the right of the image, and up is at the top.
    pixels, _ = camera[0].project(torch.tensor([[0.3, 0.0, 0.0], [0.0, 0.3, 0.0]]))
    assert pixels[0, 0] > 4
    assert pixels[1, 1] < 4


def test_look_at_is_rigid_even_straight_down() -> None:
    position = torch.tensor([[0.0, 3.0, 0.0], [1.0, 2.0, 3.0]])
    matrix = look_at(position, torch.zeros(2, 3))
    rotation = matrix[:, :3, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(2, 3, 3), atol=1e-6, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(2))
    torch.testing.assert_close(-rotation[..., 2], -position / position.norm(dim=-1, keepdim=True))


def test_resizing_keeps_the_rays_of_the_image_corners() -> None:
    camera = make_camera(20.0, 10.0, 8, 6)
    corner = torch.tensor([[0.4, 0.3, 0.2]])
    small, large = camera.project(corner)[0], camera.resized(16, 18).project(corner)[0]
    torch.testing.assert_close(large, small * torch.tensor([2.0, 3.0]))


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match=r"cam_to_world must be \[..., 4, 4\], got \[3, 4\]"):
        Camera(torch.eye(4)[:3], torch.ones(2), torch.ones(2), 4, 4)
    with pytest.raises(ValueError, match="one azimuth and one elevation"):
        orbit([0.0, 1.0], [0.0], size=4)


def test_azimuth_is_what_the_orbit_was_given() -> None:
    azimuths = [0.0, 30.0, -120.0, 90.0]
    camera = orbit(azimuths, [0.0, 50.0, -20.0, 10.0], size=4)
    torch.testing.assert_close(camera.azimuth_deg, torch.tensor(azimuths))
    torch.testing.assert_close(camera[1].azimuth_deg, torch.tensor(30.0))


def test_one_camera_has_no_length() -> None:
    camera = orbit([0.0, 30.0], [0.0, 5.0], size=4)
    assert len(camera) == 2
    with pytest.raises(TypeError, match="one camera has no length"):
        len(camera[0])


def test_a_camera_by_name_is_one_of_the_orbit() -> None:
    one, there = camera_at(30.0, 10.0, size=6), orbit([30.0], [10.0], size=6)[0]
    for name in ("cam_to_world", "focal", "centre"):
        assert torch.equal(getattr(one, name), getattr(there, name))
    assert float(camera_at(size=6).azimuth_deg) == 0.0


def test_moving_keeps_all() -> None:
    camera = orbit([0.0, 30.0], [0.0, 5.0], size=4)
    moved = camera.to("meta")
    assert moved.cam_to_world.device.type == moved.focal.device.type == moved.centre.device.type == "meta"
    assert (moved.width, moved.height) == (4, 4)
    assert torch.equal(camera.to("cpu").focal, camera.focal)


def test_a_round_begins_at_its_azimuth_and_keeps_its_elevation() -> None:
    camera = around(4, 15.0, size=6, azimuth_deg=30.0)
    for view, azimuth in enumerate((30.0, 120.0, 210.0, 300.0)):
        there = camera_at(azimuth, 15.0, size=6)
        assert torch.allclose(camera[view].cam_to_world, there.cam_to_world, atol=1e-5)
    assert torch.equal(around(3, size=6)[0].cam_to_world, camera_at(size=6).cam_to_world)
