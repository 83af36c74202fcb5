"""Contract: one network denoises z with and without text; draws are unit vectors, each from its own generator alone.

No text is no text, whatever lies in a masked row; padding says nothing; guidance is the paper's formula; of several
candidates the one nearest to the text is kept. References: torch's own transformer layer, and draws made one by one.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rodin.diffusion.config import DiffusionConfig
from rodin.models.clip import EncoderConfig, small_clip
from rodin.models.denoiser import load_denoiser, save_denoiser
from rodin.models.prior import Layer, Prior, PriorConfig, guided_by_text, sample_latents
from rodin.models.text import TextCondition

pytestmark = pytest.mark.usefixtures("mended_checksums")

CONFIG = PriorConfig(width=32, layers=2, heads=4, text_width=12)
DIFFUSION = DiffusionConfig(prediction="sample", schedule="cosine")


@pytest.fixture(scope="module")
def prior() -> Prior:
    """Untrained, its zero-initialised head made one that says something, as large as z."""
    torch.manual_seed(0)
    network = Prior(CONFIG).eval().requires_grad_(False)
    nn.init.normal_(network.head.weight, std=1 / math.sqrt(CONFIG.width))
    return network


def noisy(batch: int) -> tuple[Tensor, Tensor]:
    x = torch.randn(batch, 1, 512, 1, 1, generator=torch.Generator().manual_seed(batch))
    return x, torch.linspace(0, 999, batch)


def texts(*lengths: int) -> TextCondition:
    """Random texts of some numbers of tokens; padding is random too."""
    generator = torch.Generator().manual_seed(7)
    tokens = torch.randn(len(lengths), max(1, *lengths), 12, generator=generator)
    mask = torch.arange(tokens.shape[1]) < torch.tensor(lengths)[:, None]
    return TextCondition(tokens, mask, nn.functional.normalize(torch.randn(len(lengths), 512, generator=generator)))


def seeds(*numbers: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(number) for number in numbers]


def test_no_text_is_no_text_whatever_lies_in_the_row(prior: Prior) -> None:
    x, t = noisy(3)
    mixed = prior(x, t, texts(5, 0, 2))
    assert mixed.shape == x.shape
    nothing = prior(x, t)
    torch.testing.assert_close(mixed[1], nothing[1], atol=1e-5, rtol=1e-5)
    for row in (0, 2):
        assert (mixed[row] - nothing[row]).abs().max() > 0.05
    dropped = prior(x, t, texts(5, 4, 2).only(torch.tensor([True, False, True])))
    torch.testing.assert_close(dropped[1], nothing[1], atol=1e-5, rtol=1e-5)
    assert torch.equal(texts(5, 4, 2).only(torch.tensor([True, False, True])).mask[2], texts(5, 4, 2).mask[2])


def test_padding_says_nothing(prior: Prior) -> None:
    x, t = noisy(2)
    text = texts(3, 6)
    alone = TextCondition(text.tokens[:1, :3], text.mask[:1, :3], text.pooled[:1])
    torch.testing.assert_close(prior(x[:1], t[:1], alone), prior(x, t, text)[:1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("part", ["tokens", "pooled", "t", "x"])
def test_every_input_counts(prior: Prior, part: str) -> None:
    (x, t), text = noisy(2), texts(4, 4)
    before = prior(x, t, text)
    match part:
        case "tokens":
            text = dataclasses.replace(text, tokens=text.tokens.flip(0))
        case "pooled":
            text = dataclasses.replace(text, pooled=text.pooled.flip(0))
        case "t":
            t = t.flip(0)
        case "x":
            x = x.flip(0)
    assert (prior(x, t, text) - before).abs().max() > 0.02


def test_a_layer_is_the_transformers_own() -> None:
    torch.manual_seed(1)
    layer = Layer(32, 4, 0.0).requires_grad_(False)
    reference = nn.TransformerEncoderLayer(32, 4, 128, 0.0, nn.functional.gelu, batch_first=True, norm_first=True)
    queries, keys_values, first, second = layer.queries, layer.keys_values, layer.perceptron[1], layer.perceptron[3]
    copied = {
        "self_attn.in_proj_weight": torch.cat([queries.weight, keys_values.weight]),
        "self_attn.in_proj_bias": torch.cat([queries.bias, keys_values.bias]),
        "self_attn.out_proj.weight": layer.out.weight,
        "self_attn.out_proj.bias": layer.out.bias,
    }
    for name, module in (
        ("norm1", layer.norm),
        ("norm2", layer.perceptron[0]),
        ("linear1", first),
        ("linear2", second),
    ):
        copied |= {f"{name}.weight": module.weight, f"{name}.bias": module.bias}
    reference.load_state_dict(copied)
    tokens, mask = torch.randn(3, 7, 32), torch.arange(7) >= torch.tensor([[0], [2], [5]])
    wanted = reference(tokens, src_key_padding_mask=~mask)
    torch.testing.assert_close(layer(tokens, mask, 7), wanted, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer(tokens, mask, 2), wanted[:, -2:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_guidance_is_the_papers_formula(prior: Prior, scale: float) -> None:
    (x, t), text = noisy(2), texts(4, 2)
    wanted = scale * prior(x, t, text) + (1 - scale) * prior(x, t, None)
    torch.testing.assert_close(guided_by_text(prior, text, scale)(x, t), wanted, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("spoken", [True, False])
def test_a_draw_depends_on_its_own_generator_alone(prior: Prior, spoken: bool) -> None:
    text = texts(5, 3, 4)
    options = {"guidance_scale": 2.0, "steps": 5, "candidates": 3}
    together = sample_latents(prior, DIFFUSION, text if spoken else None, seeds(1, 2, 3), **options)
    assert together.shape == (3, 512)
    torch.testing.assert_close(together.norm(dim=-1), torch.ones(3))
    second = TextCondition(text.tokens[1:2], text.mask[1:2], text.pooled[1:2])
    alone = sample_latents(prior, DIFFUSION, second if spoken else None, seeds(2), **options)
    torch.testing.assert_close(together[1], alone[0], atol=1e-4, rtol=1e-4)
    assert (together[0] - together[1]).norm() > 0.05


def test_the_candidate_nearest_to_the_text_is_kept(prior: Prior) -> None:
    text = texts(5, 3, 4, 2)
    generators = seeds(1, 2, 3, 4)
    draws = torch.stack([sample_latents(prior, DIFFUSION, text, generators, 2.0, 5) for _ in range(4)])  # [K, B, 512]
    cosines = (draws * text.pooled).sum(dim=-1)
    assert len(set(cosines.argmax(dim=0).tolist())) > 1  # the first is not always the best
    kept = sample_latents(prior, DIFFUSION, text, seeds(1, 2, 3, 4), 2.0, 5, candidates=4)
    torch.testing.assert_close(kept, draws[cosines.argmax(dim=0), torch.arange(4)], atol=1e-4, rtol=1e-4)


def test_from_nothing_there_is_one_draw(prior: Prior) -> None:
    one = sample_latents(prior, DIFFUSION, None, seeds(1, 2), steps=5)
    assert torch.equal(sample_latents(prior, DIFFUSION, None, seeds(1, 2), 4.0, 5, candidates=4), one)


def test_a_residual_prior_adds_the_mean_latent(prior: Prior) -> None:
    """What it draws beyond the mean is what a plain prior draws without guidance; without a text nothing is added."""
    residual = Prior(dataclasses.replace(CONFIG, residual=True)).eval()
    residual.load_state_dict(prior.state_dict())
    text = texts(5, 3)
    nothing = sample_latents(residual, DIFFUSION, None, seeds(1, 2), steps=5)
    torch.testing.assert_close(nothing, sample_latents(prior, DIFFUSION, None, seeds(1, 2), steps=5))
    far = TextCondition(text.tokens, text.mask, text.pooled * 100)
    drawn = sample_latents(residual, DIFFUSION, far, seeds(1, 2), steps=5)
    torch.testing.assert_close(drawn, text.pooled, atol=0.05, rtol=0)
    torch.testing.assert_close(far.mean[:, 0, :, 0, 0], far.pooled * 512**0.5)
    assert not far.only(torch.tensor([False, True])).mean[0].any()
    weak, strong = (sample_latents(residual, DIFFUSION, text, seeds(1, 2), scale, 5) for scale in (0.5, 4.0))
    assert ((strong * text.pooled).sum(dim=1) > (weak * text.pooled).sum(dim=1)).all()


@pytest.mark.parametrize(
    "sentence",
    ["\U0001f984 \u2603", "\u4e00\u4e2a\u6234\u5e3d\u5b50\u7684\u4eba", "\ud800\x00\x7f\xff", "", "hat " * 3000],
)
def test_words_never_seen_draw_too(prior: Prior, sentence: str) -> None:
    torch.manual_seed(0)
    sizes = {"image_size": 16, "width": 16, "layers": 1, "heads": 2, "text_layers": 1, "text_heads": 2, "context": 20}
    encoder = small_clip(EncoderConfig(text_width=12, **sizes), ["a man with a hat"])
    said = encoder.read([sentence, "a man"])
    assert said.tokens.shape == (2, said.mask.shape[1], 12)
    assert said.mask.shape[1] <= 20
    assert torch.equal(said.pooled, encoder.encode_texts([sentence, "a man"]))
    drawn = sample_latents(prior, DIFFUSION, said, seeds(1, 2), 2.0, 3, 2)
    assert drawn.isfinite().all()


def test_round_trip(prior: Prior, tmp_path: Path) -> None:
    save_denoiser(prior, DIFFUSION, tmp_path / "prior")
    loaded, diffusion = load_denoiser(Prior, PriorConfig, tmp_path / "prior")
    assert loaded.config == CONFIG
    text = texts(3)
    wanted = sample_latents(prior, DIFFUSION, text, seeds(1), steps=3)
    assert torch.equal(sample_latents(loaded, diffusion, text, seeds(1), steps=3), wanted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": 0}, "layers"),
        ({"heads": 5}, "multiple of heads = 5"),
        ({"width": 33, "heads": 1}, "even"),
        ({"dropout": 1.0}, "dropout"),
    ],
)
def test_impossible_configs_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **change)


def test_shapes_that_do_not_fit_are_refused(prior: Prior) -> None:
    (x, t), text = noisy(2), texts(4, 4)
    with pytest.raises(ValueError, match=r"z must be \[B, 1, D=512"):
        prior(x[:, :, :256], t)
    with pytest.raises(ValueError, match="t must be"):
        prior(x, t[:1])
    with pytest.raises(ValueError, match="text must have tokens"):
        prior(x, t, texts(4))
    with pytest.raises(ValueError, match="text must have tokens"):
        prior(x, t, dataclasses.replace(text, tokens=text.tokens[..., :6]))
    with pytest.raises(ValueError, match="bool mask"):
        dataclasses.replace(text, mask=text.mask.float())
    with pytest.raises(ValueError, match="pooled"):
        dataclasses.replace(text, pooled=text.pooled[:1])
    with pytest.raises(ValueError, match="generator for each text, got 1 for 2"):
        sample_latents(prior, DIFFUSION, text, seeds(1))
    with pytest.raises(ValueError, match="candidates"):
        sample_latents(prior, DIFFUSION, text, seeds(1, 2), candidates=0)
    with pytest.raises(ValueError, match="steps"):
        sample_latents(prior, DIFFUSION, text, seeds(1, 2), steps=0)
