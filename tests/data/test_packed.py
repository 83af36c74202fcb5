"""Contract: a packed set gives back what it was made of, the planes to within half a step; what is damaged says so."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from rodin.data.packed import PACKED_NAME, STEP, Facts, PackedSubject, is_packed, read_facts, read_packed, write_packed
from rodin.errors import UserError


def subject(seed: int, channels: int = 5, side: int = 8, colours: bool = True) -> PackedSubject:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    return PackedSubject(
        name=f"somebody {seed}",
        planes=6 * draw(3, channels, side, side + 2) - 3,
        latents=torch.nn.functional.normalize(draw(2, 512) - 0.5, dim=-1),
        caption=f"a man of {seed} years, é",
        captions=("a man", "somebody"),
        palette=draw(4, 3) if colours else None,
        presence=draw(4) if colours else None,
    )


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 5), st.integers(1, 6), st.booleans())
def test_what_goes_in_comes_out(tmp_path: Path, count: int, channels: int, colours: bool) -> None:
    given_ = [subject(k, channels, 6, colours) for k in range(count)]
    write_packed(tmp_path, given_, decoder="d", encoder="e")
    assert is_packed(tmp_path)
    assert read_facts(tmp_path) == (Facts(decoder="d", encoder="e", shape=(3, channels, 6, 8)), count)
    found = list(read_packed(tmp_path))
    for one, other in zip(given_, found, strict=True):
        assert (one.name, one.caption, one.captions) == (other.name, other.caption, other.captions)
        assert (one.planes - other.planes).abs().max() <= STEP / 2 + 1e-6
        torch.testing.assert_close(one.latents, other.latents, atol=1e-3, rtol=0)
        if colours:
            assert torch.equal(one.palette, other.palette)  # type: ignore[arg-type]
            assert torch.equal(one.presence, other.presence)  # type: ignore[arg-type]
        else:
            assert other.palette is None
            assert other.presence is None


def test_alike_neighbours_take_little_space(tmp_path: Path) -> None:
    """Fitted planes are smooth: two bits a number, and a byte at most for noise."""
    rows = torch.linspace(-3, 3, 32)
    smooth = (rows[:, None] + rows).sin().expand(3, 16, 32, 32)
    write_packed(tmp_path, [subject(0)._replace(planes=smooth)], decoder="d", encoder="e")
    assert len(load_file(tmp_path / PACKED_NAME)["planes"]) < smooth.numel() * 2 / 8


def test_what_does_not_fit_in_a_byte_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"residuals reach 99, 8 bits hold 63\.5"):
        write_packed(tmp_path, [subject(0)._replace(planes=torch.full((3, 1, 4, 4), 99.0))], decoder="d", encoder="e")
    with pytest.raises(ValueError, match=r"somebody 1: planes are \[3, 2, 8, 10\], the first are \[3, 5, 8, 10\]"):
        write_packed(tmp_path, [subject(0), subject(1, channels=2)], decoder="d", encoder="e")
    with pytest.raises(UserError, match="no subjects to pack"):
        write_packed(tmp_path, [], decoder="d", encoder="e")
    assert not list(tmp_path.iterdir()), "nothing is left half-written"


def test_damage_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file; pack a run"):
        read_facts(tmp_path)
    write_packed(tmp_path, [subject(0), subject(1)], decoder="d", encoder="e")
    path = tmp_path / PACKED_NAME
    whole, tensors = path.read_bytes(), load_file(path)
    path.write_bytes(whole[:-40])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        list(read_packed(tmp_path))
    facts = dataclasses.asdict(Facts(decoder="d", encoder="e", shape=(3, 5, 8, 10)))
    metadata = {"schema": "1", "count": "2", **{name: str(value) for name, value in facts.items()}}
    metadata["shape"] = "[3, 5, 8, 10]"
    changes = {
        "ends": tensors["ends"] + 1,
        "planes": tensors["planes"] // 2,
        "said": tensors["said"][:-9],
        "latents": tensors["latents"][:1],
    }
    for name, value in changes.items():
        save_file({**tensors, name: value}, path, metadata=metadata)
        with pytest.raises(UserError, match=r"packed\.safetensors: damaged \(.+\); pack again"):
            list(read_packed(tmp_path))
    for name, value in {"schema": "2", "shape": "[3, 5]", "count": "many"}.items():
        save_file(tensors, path, metadata={**metadata, name: value})
        with pytest.raises(UserError, match=r"packed\.safetensors: (schema 2, this version reads 1|damaged)"):
            read_facts(tmp_path)


def test_a_picture_of_another_size_is_not_unfolded(tmp_path: Path) -> None:
    write_packed(tmp_path, [subject(0, side=6)], decoder="d", encoder="e")
    tensors = load_file(tmp_path / PACKED_NAME)
    metadata = {"schema": "1", "count": "1", "decoder": "d", "encoder": "e", "shape": "[3, 5, 6, 9]", "step": "0.5"}
    save_file(tensors, tmp_path / PACKED_NAME, metadata=metadata)
    with pytest.raises(UserError, match="a picture of 8 x 30, not 9 x 30"):
        list(read_packed(tmp_path))


def test_rounding_is_blind_to_what_it_rounds(tmp_path: Path) -> None:
    """Over many numbers the error has the mean 0 and the variance of a step: it biases no mean that is learned."""
    planes = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 8, 32, 32)).astype("float32"))
    write_packed(tmp_path, [subject(0)._replace(planes=planes)], decoder="d", encoder="e")
    error = next(read_packed(tmp_path)).planes - planes
    assert abs(float(error.mean())) < 0.01
    assert float(error.square().mean()) == pytest.approx(STEP**2 / 12, rel=0.05)
