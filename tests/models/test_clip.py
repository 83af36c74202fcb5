"""Contract of rodin.models.clip: one path for any CLIP folder, unit latents of 512, nothing unpickled, no text crashes.

References: transformers' own loading and pixel pipeline by AutoTokenizer and CLIPModel, called here by hand.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, CLIPConfig, CLIPModel

from rodin.errors import UserError
from rodin.models.clip import CLIP_MEAN, CLIP_STD, LATENT_DIM, Encoder, EncoderConfig, small_clip
from rodin.models.conv_tower import ConvClip

pytestmark = pytest.mark.usefixtures("mended_checksums")

CONFIG = EncoderConfig(
    image_size=16,
    patch_size=8,
    width=16,
    layers=1,
    heads=2,
    text_width=12,
    text_layers=1,
    text_heads=2,
    vocabulary=640,
    context=20,
)
CAPTIONS = ["a young woman with brown hair, smiling", "an old man with a grey beard, glasses", "a man with brown hair"]


CONVOLUTIONAL = replace(CONFIG, convolutions=(8, 16, 24))


@pytest.fixture(scope="module", params=["transformer", "convolutions"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    torch.manual_seed(0)
    return small_clip(CONFIG if request.param == "transformer" else CONVOLUTIONAL, CAPTIONS)


@pytest.fixture(scope="module")
def folder(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("encoder") / "clip"
    encoder.save_pretrained(path)
    return path


def test_round_trip(encoder: Encoder, folder: Path) -> None:
    loaded = Encoder.from_pretrained(folder)
    images = torch.rand(2, 24, 24, 4)
    assert torch.equal(loaded.encode_images(images), encoder.encode_images(images))
    assert torch.equal(loaded.encode_texts(CAPTIONS), encoder.encode_texts(CAPTIONS))
    assert loaded.image_size == 16
    assert torch.equal(Encoder.from_pretrained(str(folder)).mean, encoder.mean)


def test_the_folder_is_an_ordinary_clip_folder(encoder: Encoder, folder: Path) -> None:
    if isinstance(encoder.model, ConvClip):
        pytest.skip("but for its image tower")
    model, tokenizer = CLIPModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(CAPTIONS, padding=True, return_tensors="pt")
    pixels = (torch.rand(2, 3, 16, 16) - torch.tensor(CLIP_MEAN).reshape(3, 1, 1)) / torch.tensor(CLIP_STD).reshape(
        3, 1, 1
    )
    with torch.no_grad():
        output = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], pixel_values=pixels)
    torch.testing.assert_close(encoder.encode_texts(CAPTIONS), output.text_embeds)
    images = (pixels * encoder.std + encoder.mean).permute(0, 2, 3, 1)
    torch.testing.assert_close(encoder.encode_images(images), output.image_embeds, atol=1e-5, rtol=1e-5)
    preprocessor = json.loads((folder / "preprocessor_config.json").read_text())
    assert preprocessor["crop_size"] == {"height": 16, "width": 16}
    assert not list(folder.glob("*.bin")) + list(folder.glob("*.pt"))


def test_latents_are_unit_and_frozen(encoder: Encoder) -> None:
    for latents in (encoder.encode_images(torch.rand(3, 40, 30, 3)), encoder.encode_texts(CAPTIONS)):
        assert latents.shape == (3, LATENT_DIM)
        torch.testing.assert_close(latents.norm(dim=-1), torch.ones(3))
    assert encoder.encode_texts([]).shape == (0, LATENT_DIM)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not encoder.training


def test_transparency_is_white(encoder: Encoder) -> None:
    rgba = torch.rand(2, 16, 16, 4)
    on_white = rgba[..., :3] * rgba[..., 3:] + 1 - rgba[..., 3:]
    torch.testing.assert_close(encoder.encode_images(rgba), encoder.encode_images(on_white))


def test_a_wide_image_gets_white_bars_and_keeps_its_proportions(encoder: Encoder) -> None:
    wide = torch.rand(1, 20, 32, 3)
    square = torch.ones(1, 32, 32, 3)
    square[:, 6:26] = wide
    torch.testing.assert_close(encoder.encode_images(wide), encoder.encode_images(square))


def test_gradients_reach_the_image(encoder: Encoder) -> None:
    images = torch.rand(2, 24, 24, 4, requires_grad=True)
    encoder.encode_images(images)[:, 0].sum().backward()
    assert images.grad is not None
    assert bool(images.grad.isfinite().all())
    assert float(images.grad.abs().sum()) > 0


def test_padding_does_not_change_a_caption(encoder: Encoder) -> None:
    alone = torch.cat([encoder.encode_texts([caption]) for caption in CAPTIONS])
    torch.testing.assert_close(encoder.encode_texts(CAPTIONS), alone)


def test_long_captions_are_cut_off(encoder: Encoder) -> None:
    tokens = encoder.tokenize(["brown " * 100])["input_ids"]
    assert tokens.shape == (1, CONFIG.context)
    assert tokens[0, -1] == encoder.tokenizer.eos_token_id
    torch.testing.assert_close(encoder.encode_texts(["brown " * 100]), encoder.encode_texts(["brown " * 50]))


@given(st.text(max_size=40))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_no_text_is_out_of_vocabulary(encoder: Encoder, text: str) -> None:
    """Byte-level: only the end is an end-of-text token, and every number is in the table."""
    text = text.replace("<|", "<")  # the special tokens' own spelling is theirs
    tokens = encoder.tokenize([text])["input_ids"][0].tolist()
    assert tokens.count(encoder.tokenizer.eos_token_id) == 1
    assert max(tokens) < encoder.model.config.text_config.vocab_size
    assert bool(encoder.encode_texts([text]).isfinite().all())


def test_every_byte_has_a_token_inside_and_at_the_end_of_a_word(encoder: Encoder) -> None:
    for text in ("zqx zq z", "Ωß東京", "\U0001f600\U0001f9d4", "\ud800", "#%&"):
        assert encoder.tokenize([text])["input_ids"][0].tolist().count(encoder.tokenizer.eos_token_id) == 1


def test_vocabulary_is_bounded_and_learned(encoder: Encoder) -> None:
    assert len(encoder.tokenizer) <= CONFIG.vocabulary
    assert "brown</w>" in encoder.tokenizer.tokenize("brown")
    assert small_clip(CONFIG, CAPTIONS).tokenizer.get_vocab() == encoder.tokenizer.get_vocab()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patch_size": 7}, "patch_size must divide image_size"),
        ({"heads": 3}, "heads must divide width"),
        ({"vocabulary": 513}, "vocabulary must be at least 514"),
        ({"context": 2}, "context"),
        ({"layers": 0}, "layers must be at least 1"),
        ({"convolutions": (8, 12)}, "convolutions must be multiples of 8"),
        ({"convolutions": (8,) * 6}, "image_size 64 is too small for 6 convolutions"),
    ],
)
def test_bad_configs(changes: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        EncoderConfig(**changes)


def test_convolutions_need_no_patches() -> None:
    assert EncoderConfig(image_size=100, convolutions=(8, 16), patch_size=7).image_size == 100


def _refusal(place: str | Path) -> str:
    with pytest.raises(UserError) as caught:
        Encoder.from_pretrained(place)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_missing_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no such folder" in _refusal(tmp_path / "nowhere")
    assert "no such folder" in _refusal(str(tmp_path / "nowhere"))
    assert "config.json" in _refusal(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "rodin-test/no-such-model" in _refusal("rodin-test/no-such-model")


def test_wrong_width_is_named(folder: Path, tmp_path: Path) -> None:
    CLIPConfig(projection_dim=768).save_pretrained(tmp_path)
    assert "projection_dim is 768" in _refusal(tmp_path)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    assert "model_type is 'bert'" in _refusal(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "preprocessor_config.json"])
def test_cut_off_and_missing_files(encoder: Encoder, tmp_path: Path, name: str) -> None:
    encoder.save_pretrained(tmp_path)
    whole = (tmp_path / name).read_bytes()
    for end in (0, len(whole) // 2, len(whole) - 3):
        (tmp_path / name).write_bytes(whole[:end])
        assert str(tmp_path) in _refusal(tmp_path)
    (tmp_path / name).unlink()
    assert str(tmp_path) in _refusal(tmp_path)


def test_weights_that_do_not_fit_are_refused_not_made_up(encoder: Encoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    document = json.loads((tmp_path / "config.json").read_text())
    document["text_config"]["num_hidden_layers"] = 2
    (tmp_path / "config.json").write_text(json.dumps(document))
    assert "no usable weights" in _refusal(tmp_path)


def test_pickled_weights_are_not_read(encoder: Encoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(encoder.model.state_dict(), tmp_path / "pytorch_model.bin")
    assert "not a whole CLIP folder" in _refusal(tmp_path)


def test_pixel_statistics_come_from_the_folder(encoder: Encoder, tmp_path: Path) -> None:
    encoder.save_pretrained(tmp_path)
    path = tmp_path / "preprocessor_config.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.1, 0.2, 0.3]}))
    assert Encoder.from_pretrained(tmp_path).std.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    path.write_text(json.dumps({**document, "image_std": [0.1, 0.0, 0.3]}))
    assert "image_std" in _refusal(tmp_path)


def test_shapes_are_checked(encoder: Encoder) -> None:
    with pytest.raises(ValueError, match=r"got \[3, 16, 16\]"):
        encoder.encode_images(torch.rand(3, 16, 16))
