"""Contract of rodin.avatars.pipeline: an avatar depends on the model, its condition and its seed alone; words,
portraits and other avatars steer it; edits and interpolations start and end where they should; what cannot be drawn is
named."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rodin.avatars.avatar import Avatar
from rodin.avatars.drawing import Sampling
from rodin.avatars.photo import frame_photo
from rodin.avatars.pipeline import EDIT_DRAWS, EDIT_SAMPLING, RodinPipeline
from rodin.avatars.prompt_meaning import LONGEST_PROMPT
from rodin.avatars.slerp import slerp
from rodin.avatars.step import Step
from rodin.camera import camera_at
from rodin.data.captures import load_subject
from rodin.diffusion.sampling import Scheduler
from rodin.errors import UserError
from rodin.images import over
from rodin.models.clip import EncoderConfig, small_clip
from rodin.models.prior import Prior
from rodin.render.renderer import SAMPLES, Renderer

STEPS = 4


@pytest.fixture(scope="module")
def pipe(trained: Path) -> RodinPipeline:
    return RodinPipeline.from_pretrained(trained / "model")


@pytest.fixture(scope="module")
def portrait() -> Tensor:
    """[20, 20, 4]: colours everywhere, hidden around a disc."""
    image = torch.rand(20, 20, 4, generator=torch.Generator().manual_seed(0))
    rows = torch.arange(20.0) - 9.5
    image[..., 3] = (rows[:, None] ** 2 + rows**2 < 64).float()
    return (image * 255).round() / 255


def draw(pipe: RodinPipeline, **options: Any) -> list[Avatar]:
    """In few steps; options are the pipeline's own or those of its `Sampling`."""
    how = {field.name: options.pop(field.name) for field in dataclasses.fields(Sampling) if field.name in options}
    return pipe(sampling=Sampling(**{"steps": STEPS, "upsampling_steps": 2, **how}), **options)


def close(one: Avatar, other: Avatar) -> bool:
    return torch.allclose(one.planes, other.planes, atol=1e-3 * float(other.planes.abs().max()), rtol=0)


# ---- drawing


def test_nothing_given_is_one_avatar(pipe: RodinPipeline) -> None:
    avatars = pipe()
    assert len(avatars) == 1
    avatar = avatars[0]
    assert isinstance(avatar, Avatar)
    assert avatar.planes.shape == (3, 4, 16, 16)
    assert avatar.noise.shape == (3, 4, 8, 8)
    assert (avatar.drawing.seed, avatar.drawing.prompt) == (0, "")
    assert avatar.model_hash == pipe.model_hash
    assert avatar.latent.norm().item() == pytest.approx(1, abs=1e-5)


def test_a_seed_is_an_avatar_whatever_is_drawn_beside_it(pipe: RodinPipeline) -> None:
    three = draw(pipe, count=3, seed=3)
    alone = draw(pipe, count=1, seed=5)[0]
    assert [avatar.drawing.seed for avatar in three] == [3, 4, 5]
    torch.testing.assert_close(three[2].planes, alone.planes, atol=1e-3, rtol=1e-3)  # planes are fp16
    assert torch.equal(draw(pipe, count=1, seed=5)[0].planes, alone.planes)
    assert not close(three[0], three[1])


def test_batches_change_nothing(pipe: RodinPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = draw(pipe, count=3)
    monkeypatch.setattr("rodin.avatars.drawer.BATCH", 2)
    for one, other in zip(whole, draw(pipe, count=3), strict=True):
        assert close(one, other)


@pytest.mark.parametrize("sampler", ["dpm++", "ddim", "ancestral"])
def test_every_sampler_draws(pipe: RodinPipeline, sampler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe, "scheduler", Scheduler(pipe.diffusion, sampler))
    one, again = (draw(pipe, seed=1)[0].planes for _ in range(2))
    assert torch.isfinite(one).all()
    assert torch.equal(one, again)


@pytest.mark.parametrize("sampler", ["ddim", "ancestral"])
def test_an_avatar_keeps_its_sampler(pipe: RodinPipeline, sampler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the pipeline that edits it draws by."""
    plain = draw(pipe, seed=1)[0]
    with monkeypatch.context() as patch:
        patch.setattr(pipe, "scheduler", Scheduler(pipe.diffusion, sampler))
        avatar = draw(pipe, seed=1)[0]
    assert not close(avatar, plain)
    assert close(pipe.edit(avatar, "seed 3", strength=0.0), avatar)


class Counting(torch.nn.Module):
    """The base network, counting the batches it is called with."""

    def __init__(self, base: torch.nn.Module) -> None:
        super().__init__()
        self.base = base
        self.config = base.config
        self.batches: list[int] = []

    def forward(self, x: Tensor, t: Tensor, z: Tensor | None) -> Tensor:
        self.batches.append(len(x))
        return self.base(x, t, z)


@pytest.mark.parametrize(
    ("options", "batches"),
    [
        ({"guidance_scale": 1.0, "image": True}, [2] * STEPS),
        ({"guidance_scale": 2.0, "image": True}, [4] * STEPS),
        ({"guidance_scale": 2.0}, [4] * STEPS),  # the prior's latent is a condition, too
    ],
)
def test_guidance_costs_a_second_pass(
    pipe: RodinPipeline, portrait: Tensor, monkeypatch: pytest.MonkeyPatch, options: dict, batches: list[int]
) -> None:
    counting = Counting(pipe.base)
    monkeypatch.setattr(pipe, "base", counting)
    if options.pop("image", False):
        options["image"] = portrait
    draw(pipe, count=2, **options)
    assert counting.batches == batches


def test_guidance_and_portrait_change_the_avatar(pipe: RodinPipeline, portrait: Tensor) -> None:
    free = draw(pipe)[0].planes
    followed, exaggerated = (draw(pipe, image=portrait, guidance_scale=g)[0].planes for g in (1.0, 4.0))
    assert not torch.equal(free, followed)
    assert not torch.equal(followed, exaggerated)


def test_temperature_shortens_the_first_noise_and_stays_with_the_avatar(pipe: RodinPipeline, tmp_path: Path) -> None:
    whole, calm = (draw(pipe, seed=4, temperature=length)[0] for length in (1.0, 0.5))
    torch.testing.assert_close(calm.noise, 0.5 * whole.noise, atol=0.0, rtol=1e-3)
    usual = draw(pipe, seed=4)[0]
    torch.testing.assert_close(usual.noise, usual.drawing.sampling.temperature * whole.noise, atol=0.0, rtol=1e-3)
    assert not close(calm, whole)
    calm.save(tmp_path / "calm.rodin.safetensors")
    again = Avatar.load(tmp_path / "calm.rodin.safetensors")
    assert again.drawing.sampling.temperature == 0.5
    assert close(pipe.edit(again, "a ball", strength=0.0), calm)


def test_the_callback_sees_every_step(pipe: RodinPipeline) -> None:
    seen: list[Step] = []
    draw(pipe, count=2, upsampling_steps=3, callback_on_step_end=seen.append)
    assert [step.stage for step in seen] == ["base"] * STEPS + ["upsampling"] * 3 * 2
    for step in seen[:STEPS]:
        assert step.clean is not None
        assert step.clean.shape == (2, 3, 4, 8, 8)


def test_a_preview_shows_what_there_is_so_far(pipe: RodinPipeline) -> None:
    """The last one is the avatar as the base model's planes have it."""
    seen: list[tuple[Step, list[Tensor]]] = []
    draw(pipe, count=2, callback_on_step_end=lambda step: seen.append((step, pipe.preview(step, 16))))
    step, views = seen[STEPS - 1]
    assert step.clean is not None
    planes = pipe.base_statistics.denormalize(step.clean)
    for one, view in zip(planes, views, strict=True):
        wanted = Renderer.trimmed(one, pipe.decoder).image(camera_at(size=16), SAMPLES)[0]
        assert torch.equal(view, wanted)
    assert seen[STEPS][1] == [], "the upsampler's steps show nothing new"


@pytest.mark.parametrize("stage", ["base", "upsampling"])
def test_what_the_callback_raises_ends_the_drawing(pipe: RodinPipeline, stage: str) -> None:
    seen: list[Step] = []

    def stop(step: Step) -> None:
        seen.append(step)
        if step.stage == stage:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        draw(pipe, callback_on_step_end=stop)
    assert len(seen) == (1 if stage == "base" else STEPS + 1)


def test_drawn_again_in_other_steps_it_is_what_those_draw(pipe: RodinPipeline) -> None:
    draft, whole = draw(pipe, seed=6, steps=2), draw(pipe, seed=6, steps=STEPS)
    again = pipe.redraw(draft[0], whole[0].drawing.sampling)
    assert torch.equal(again.planes, whole[0].planes)
    assert again.drawing == whole[0].drawing
    found = replace(draft[0], planes=draft[0].planes + 1, drawing=replace(draft[0].drawing, refine=3))
    refined = pipe.redraw(found, whole[0].drawing.sampling)
    torch.testing.assert_close(refined.planes, whole[0].planes + 1, atol=2e-2, rtol=0)


@pytest.mark.parametrize("part", [-0.1, 1.1, math.nan])
def test_a_mix_beyond_its_ends_is_refused(pipe: RodinPipeline, part: float) -> None:
    one, other = draw(pipe, count=2)
    with pytest.raises(UserError, match=r"^part: "):
        pipe.mix(one, other, [0.5, part])
    assert pipe.mix(one, other, [1, 0]) == [other, one]


def test_an_avatar_outlives_its_pipeline(trained: Path) -> None:
    pipe = RodinPipeline.from_pretrained(trained / "model")
    avatar = draw(pipe)[0]
    before = avatar.portrait(16)
    torch.nn.init.zeros_(pipe.decoder.density.weight)
    avatar.__dict__.pop("renderer")
    assert torch.equal(avatar.portrait(16), before)


def test_the_pipeline_moves_as_a_whole(trained: Path) -> None:
    pipe = RodinPipeline.from_pretrained(trained / "model")
    assert pipe.device == torch.device("cpu")
    assert pipe.to("meta") is pipe
    parts = (pipe.encoder, pipe.prior, pipe.base, pipe.upsampler, pipe.statistics, pipe.decoder)
    assert {str(value.device) for part in parts for value in part.state_dict().values()} == {"meta"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_the_same_avatar(trained: Path, pipe: RodinPipeline, portrait: Tensor) -> None:
    there = draw(RodinPipeline.from_pretrained(trained / "model").to("cuda"), image=portrait, count=2)
    here = draw(pipe, image=portrait, count=2)
    for one, other in zip(there, here, strict=True):
        torch.testing.assert_close(one.planes, other.planes, atol=0.02, rtol=0.02)
        torch.testing.assert_close(one.portrait(16), other.portrait(16), atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count: 0 avatars; choose 1 or more"),
        ({"guidance_scale": 0.0}, "guidance_scale: 0.0; choose a number above 0"),
        ({"guidance_scale": float("nan")}, "guidance_scale: nan"),
        ({"guidance_scale": float("inf")}, "guidance_scale: inf"),
        ({"temperature": 0.0}, "temperature: 0.0; choose a number above 0"),
        ({"seed": -1}, "seed: -1, for 1 avatars; choose 0 to 1073741823"),
        ({"seed": 2**30}, "seed: 1073741824, for 1 avatars; choose 0 to 1073741823"),
        ({"seed": 2**30 - 3, "count": 4}, "seed: 1073741821, for 4 avatars; choose 0 to 1073741820"),
        ({"candidates": 0}, "candidates: 0; choose 1 or more"),
        ({"prior_guidance_scale": 0.0}, "prior_guidance_scale: 0.0; choose a number above 0"),
        ({"emphasis": -1.0}, "emphasis: -1.0; choose 0 \\(none\\) or more"),
        ({"emphasis": float("nan")}, "emphasis: nan"),
        ({"refine": -1}, "refine: -1 steps; choose 0 or more"),
        ({"pose": (math.nan, 2.0), "refine": 5, "image": torch.zeros(40, 40, 3)}, r"pose: \(nan, 2.0\); choose azi"),
        ({"pose": (10.0, 2.0)}, r"pose: \(10.0, 2.0\) is used by refine alone"),
        ({"refine": 5}, "refine: 5 steps towards no portrait; give image"),
        ({"upsampling_steps": 0}, "upsampling_steps: 0; choose 1 or more"),
        ({"prompt": ""}, "prompt: it is empty"),
        ({"prompt": " \n"}, "prompt: it is empty"),
        ({"prompt": "x" * 10_000}, f"prompt: 10000 characters; give at most {LONGEST_PROMPT}"),
        ({"prompt": "a ball", "image": torch.zeros(4, 4, 3)}, "prompt, image, vary: more than one is given"),
        ({"steps": 0}, "steps: 0; choose 1 or more"),
        ({"steps": 1001}, "steps: 1001; this model was trained on 1000, choose 1 to 1000"),
        ({"image": torch.zeros(40, 40)}, r"image: expected \[H, W, 3 or 4\] floats in \[0, 1\], got \[40, 40\]"),
        ({"image": torch.zeros(40, 40, 3, dtype=torch.uint8)}, "image: expected .* got .* torch.uint8"),
        ({"image": torch.zeros(0, 4, 3)}, "image: expected"),
        ({"image": torch.full((40, 40, 3), torch.nan)}, "image: expected"),
    ],
)
def test_impossible_arguments_are_named(pipe: RodinPipeline, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        draw(pipe, **options)


# ---- words


@pytest.fixture(scope="module")
def heeding(trained: Path) -> RodinPipeline:
    """A pipeline whose prior heeds every word, by random weights: the tiny run's own has not learned any yet."""
    pipe = RodinPipeline.from_pretrained(trained / "model")
    torch.manual_seed(0)
    sizes = EncoderConfig(image_size=16, width=32, layers=1, heads=2, text_width=32, text_layers=1, text_heads=2)
    pipe.encoder = small_clip(sizes, ["a ball of radius 0.5, seed 1 2 3"])
    pipe.prior = Prior(pipe.prior.config).eval()
    torch.nn.init.normal_(pipe.prior.head.weight)
    return pipe


def test_words_steer_and_are_noted(heeding: RodinPipeline) -> None:
    ball, other = draw(heeding, prompt="a ball of radius 0.5, seed 1")[0], draw(heeding, prompt="seed 3")[0]
    assert ball.drawing.prompt == "a ball of radius 0.5, seed 1"
    assert not torch.allclose(ball.latent, other.latent, atol=1e-3)
    again = draw(heeding, prompt="seed 3", count=2, seed=0)
    assert torch.allclose(again[0].latent, other.latent, atol=1e-4)
    assert not torch.equal(again[1].latent, other.latent)


@pytest.mark.parametrize("prompt", ["\U0001f600", "头像", "\ud800", "qzx\x00vv", "BALL " * 300])
def test_words_never_seen_draw_something(pipe: RodinPipeline, prompt: str) -> None:
    assert torch.isfinite(draw(pipe, prompt=prompt)[0].planes).all()


# ---- from avatars to avatars


@pytest.fixture(scope="module")
def two(pipe: RodinPipeline) -> list[Avatar]:
    return draw(pipe, count=2, seed=4)


def test_a_variation_keeps_the_latent_and_nothing_else(pipe: RodinPipeline, two: list[Avatar]) -> None:
    kin = draw(pipe, vary=two[0], count=2, seed=20)
    assert all(torch.equal(one.latent, two[0].latent) for one in kin)
    assert not torch.equal(kin[0].noise, two[0].noise)
    assert not close(kin[0], two[0])
    assert close(draw(pipe, vary=two[0], seed=4)[0], two[0]), "the same noise draws the same avatar"


def test_an_edit_of_no_strength_is_the_avatar(pipe: RodinPipeline, two: list[Avatar], tmp_path: Path) -> None:
    two[0].save(tmp_path / "one.rodin.safetensors")
    loaded = Avatar.load(tmp_path / "one.rodin.safetensors")
    edited = pipe.edit(loaded, "seed 3", strength=0.0)
    assert close(edited, two[0])
    assert edited.drawing.prompt == "seed 3"


def test_an_edit_moves_the_latent_as_the_words_differ(heeding: RodinPipeline, two: list[Avatar]) -> None:
    """Along the difference of the prior's means, further with more strength; the noise stays."""
    seeds = list(range(EDIT_DRAWS))
    towards, source = (heeding.draw_latents(words, seeds, EDIT_SAMPLING).mean(dim=0) for words in ("seed 3", "ball"))
    for strength in (-1.0, 0.5, 2.0):
        edited = heeding.edit(two[0], "seed 3", source_prompt="ball", strength=strength)
        assert torch.equal(edited.noise, two[0].noise)
        wanted = two[0].latent + strength * (towards - source)
        torch.testing.assert_close(edited.latent, wanted / wanted.norm(), atol=1e-4, rtol=0)
    assert not close(edited, two[0])


def test_an_edit_keeps_what_an_inversion_found(pipe: RodinPipeline, two: list[Avatar]) -> None:
    found = torch.zeros_like(two[0].planes)
    found[0, 0, :4] = 0.5
    inverted = replace(two[0], planes=two[0].planes + found, drawing=replace(two[0].drawing, refine=3))
    plain, kept = (pipe.edit(avatar, "seed 3").planes for avatar in (two[0], inverted))
    torch.testing.assert_close(kept - plain, found, atol=2e-2, rtol=0)


def test_an_interpolation_starts_and_ends_with_its_avatars(pipe: RodinPipeline, two: list[Avatar]) -> None:
    way = pipe.interpolate(*two, steps=4)
    assert len(way) == 4
    assert way[0] is two[0]
    assert way[-1] is two[1]
    torch.testing.assert_close(way[1].latent, slerp(two[0].latent, two[1].latent, 1 / 3), atol=1e-5, rtol=0)
    steps = [float((b.planes - a.planes).norm()) for a, b in pairwise(way)]
    assert max(steps) < float((two[1].planes - two[0].planes).norm()), "no step is the whole way"


def test_an_interpolation_leads_to_what_another_drawing_found(pipe: RodinPipeline, two: list[Avatar]) -> None:
    """An end drawn in more steps and moved by an inversion: the way comes nearer to it evenly, without a jump."""
    other = draw(pipe, seed=two[1].drawing.seed, steps=3 * STEPS, guidance_scale=2.0)[0]
    found = torch.zeros_like(other.planes)
    found[0, 0, :4] = 3 * float(other.planes.std())
    last = replace(other, planes=other.planes + found, drawing=replace(other.drawing, refine=3))
    way, plain = pipe.interpolate(two[0], last, steps=5), pipe.interpolate(two[0], other, steps=5)
    for k, (one, without) in enumerate(zip(way, plain, strict=True)):
        torch.testing.assert_close(one.planes - without.planes, k / 4 * found, atol=2e-2, rtol=0)
    assert [one.drawing.refine for one in way[1:]] == [3] * 4, "an edit of them keeps it"


@pytest.mark.parametrize("action", ["edit", "vary", "interpolate"])
def test_avatars_of_other_models_are_refused(pipe: RodinPipeline, two: list[Avatar], action: str) -> None:
    other = replace(two[0], model_hash="0" * 64)
    actions: dict[str, Callable[[], Any]] = {
        "edit": lambda: pipe.edit(other, "seed 3"),
        "vary": lambda: pipe(vary=other),
        "interpolate": lambda: pipe.interpolate(two[1], other),
    }
    with pytest.raises(UserError, match="avatar: it was drawn by another model"):
        actions[action]()


def test_impossible_changes_are_named(pipe: RodinPipeline, two: list[Avatar]) -> None:
    with pytest.raises(UserError, match="prompt: it is empty"):
        pipe.edit(two[0], "")
    with pytest.raises(UserError, match="strength: nan"):
        pipe.edit(two[0], "seed 3", strength=math.nan)
    with pytest.raises(UserError, match="steps: 1 avatars; choose 2 or more"):
        pipe.interpolate(*two, steps=1)


@given(st.integers(0, 1000), st.floats(0, 1))
def test_slerp_keeps_lengths_and_angles(seed: int, part: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    one, other = torch.randn(2, 3, 16, generator=generator, dtype=torch.float64)
    between = slerp(one, other, part)
    assert between.norm().item() == pytest.approx((1 - part) * one.norm().item() + part * other.norm().item(), rel=1e-6)

    def angle(a: Tensor, b: Tensor) -> float:
        return math.acos(max(-1.0, min(1.0, float((a * b).sum() / a.norm() / b.norm()))))

    assert angle(one, between) == pytest.approx(part * angle(one, other), abs=1e-6)
    assert torch.allclose(slerp(one, one, part), one)


# ---- inversion


def test_refinement_comes_nearer_to_the_portrait(pipe: RodinPipeline, balls: Path) -> None:
    subject = load_subject(balls / "ball2")
    true = subject.images[0]
    size = true.shape[0]

    def error(avatar: Avatar) -> float:
        # Untrained networks draw haze, which the avatar itself would leave out.
        seen = Renderer.culled(avatar.planes, avatar.decoder).image(frame_photo(true, size).camera, 96)[0]
        return float((over(seen, 1.0) - over(true, 1.0)).square().mean())

    plain, refined = (draw(pipe, image=true, refine=steps)[0] for steps in (0, 20))
    assert error(refined) < 0.7 * error(plain)
    assert refined.drawing.refine == 20
