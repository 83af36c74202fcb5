"""Contract of what is read from outside: sizes that no file can have are refused before anything is built, numbers that
are none before they are used, what is no file before it is waited for, what leaves its folder before it is opened."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from rodin.avatars import avatar as avatars
from rodin.avatars.avatar import SUFFIX, Avatar
from rodin.avatars.drawing import Drawing
from rodin.cli.main import LONGEST, main
from rodin.cli.prompt_file import read_prompt_file
from rodin.data import captures, packed
from rodin.data.captures import load_subject
from rodin.data.maps import material_names
from rodin.data.named_files import OUTSIDE
from rodin.data.shards import FittedSubject, read_shards, read_subject, write_shards, write_subject
from rodin.draws import Draws
from rodin.errors import UserError, shown
from rodin.evaluate.prompts import read_prompts
from rodin.files import read_json
from rodin.images import open_image, parse_colour
from rodin.models.clip import Encoder
from rodin.models.folder import load_model
from rodin.models.refiner import Refiner, RefinerConfig
from rodin.parts import load_component, read_tensors, save_component
from rodin.render.decoder import Decoder, DecoderConfig
from rodin.train.log import LOG_NAME
from rodin.train.loop import CHECKPOINT_NAME, SETTINGS_NAME, LoopConfig, run_loop
from rodin.train.presets import load_preset, preset_yaml, smoke

pytestmark = pytest.mark.usefixtures("mended_checksums")

DEEP = "[" * 100_000

Change = Callable[[dict[str, Any]], object]


def refusal(read: Callable[[], object]) -> str:
    with pytest.raises(UserError) as raised:
        read()
    assert "\n" not in str(raised.value)
    return str(raised.value)


# ---- avatars


@pytest.fixture
def avatar(tmp_path: Path) -> Path:
    path = tmp_path / f"one{SUFFIX}"
    decoder = Decoder(DecoderConfig(channels=4, hidden=16))
    refiner = Refiner(RefinerConfig(channels=4, width=8, blocks=1, scale=2))
    noise = torch.zeros(3, 4, 4, 4)
    Avatar(torch.randn(3, 4, 8, 8), decoder, refiner, torch.randn(512), noise, Drawing(seed=0), "hash").save(path)
    return path


def rewrite(path: Path, change: Callable[[dict[str, str], dict[str, torch.Tensor]], object]) -> None:
    with safe_open(path, framework="pt") as file:
        facts = dict(file.metadata())
    tensors = load_file(path)
    change(facts, tensors)
    save_file(tensors, path, metadata=facts)


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("decoder", "hidden", 30_000),
        ("decoder", "hidden", 10_000),  # that could be built, and is not what the file holds
        ("decoder", "colour_layers", 10_000_000),
        ("decoder", "channels", 10**9),
        ("decoder", "frequencies", 10**6),
        ("decoder", "density_shift", float("inf")),
        ("decoder", "density_scale", float("nan")),
        ("decoder", "density_scale", 1e300),
        ("refiner", "blocks", 10_000_000),
        ("refiner", "width", 10**30),
        ("drawing", "seed", 10**400),
        ("drawing", "refine", [[[1]]]),
    ],
)
def test_avatars_of_sizes_that_cannot_be(avatar: Path, part: str, field: str, value: Any) -> None:
    def change(facts: dict[str, str], _: object) -> None:
        facts[part] = json.dumps({**json.loads(facts[part]), field: value})

    rewrite(avatar, change)
    assert "damaged avatar file" in refusal(lambda: Avatar.load(avatar))


@pytest.mark.parametrize("name", ["planes", "latent", "noise", "decoder.shared.0.weight"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_avatars_with_numbers_that_are_none(avatar: Path, name: str, value: float) -> None:
    def change(_: object, tensors: dict[str, torch.Tensor]) -> None:
        known = name if name in tensors else next(key for key in tensors if key.startswith("decoder."))
        tensors[known].view(-1)[3] = value

    rewrite(avatar, change)
    assert "holds numbers that are not finite" in refusal(lambda: Avatar.load(avatar))


def test_avatars_with_another_latent(avatar: Path) -> None:
    rewrite(avatar, lambda _, tensors: tensors.update(latent=torch.zeros(2, 256)))
    assert "latent [2, 256], not [512]" in refusal(lambda: Avatar.load(avatar))


# ---- models


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    decoder = Decoder(DecoderConfig(channels=4, hidden=16))
    with torch.no_grad():
        next(decoder.parameters()).view(-1)[0] = torch.nan
    save_component(decoder, tmp_path / "decoder")
    message = refusal(lambda: load_component(Decoder, DecoderConfig, tmp_path / "decoder"))
    assert "model.safetensors" in message
    assert "not finite" in message


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("base", "width", 10**9),
        ("base", "blocks", 10**7),
        ("base", "multipliers", [1] * 10**5),
        ("statistics", "height", 10**30),
        ("statistics", "height", 10**9),
        ("prior", "layers", 10**7),
        ("refiner", "blocks", 10**7),
        ("decoder", "colour_layers", 10**7),
        ("decoder", "density_shift", float("inf")),
    ],
)
def test_models_of_sizes_that_cannot_be(trained: Path, tmp_path: Path, part: str, field: str, value: Any) -> None:
    model = Path(shutil.copytree(trained / "model", tmp_path / "model"))
    path = model / part / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    assert str(path) in refusal(lambda: load_model(model))


def test_schedules_that_fill_the_memory(trained: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(trained / "model", tmp_path / "model"))
    path = model / "base" / "diffusion.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "train_steps": 10**10}))
    assert "train_steps must be 1 to" in refusal(lambda: load_model(model))


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("text_config", "num_attention_heads", 0),
        ("text_config", "num_hidden_layers", 10**7),
        ("text_config", "hidden_size", 10**12),
        ("text_config", "hidden_size", "wide"),
        ("vision_config", "image_size", None),
        ("vision_config", "num_attention_heads", [4]),
    ],
)
def test_encoders_of_sizes_that_cannot_be(trained: Path, tmp_path: Path, section: str, field: str, value: Any) -> None:
    folder = Path(shutil.copytree(trained / "model" / "encoder", tmp_path / "encoder"))
    document = json.loads((folder / "config.json").read_text())
    document[section][field] = value
    (folder / "config.json").write_text(json.dumps(document))
    assert str(folder) in refusal(lambda: Encoder.from_pretrained(folder).encode_texts(["a"]))


def test_tokenizers_of_another_kind(trained: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained / "model" / "encoder", tmp_path / "encoder"))
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pre_tokenizer": {"type": "Nonsense"}}))
    assert "not a whole CLIP folder" in refusal(lambda: Encoder.from_pretrained(folder))


# ---- planes


def fitted(name: str = "one") -> FittedSubject:
    return FittedSubject(name, torch.randn(3, 4, 8, 8), "a ball", torch.rand(8, 8, 4), 30.0, 0.9)


def test_fits_that_are_no_numbers(tmp_path: Path) -> None:
    path = tmp_path / "one.safetensors"
    write_subject(path, fitted())
    rewrite(path, lambda _, tensors: tensors["planes"].view(-1)[:1].fill_(torch.nan))
    assert "not finite" in refusal(lambda: read_subject(path))


def test_shards_with_pictures_without_end(tmp_path: Path) -> None:
    write_shards(tmp_path, [fitted()], decoder_hash="hash", per_shard=1)
    path, picture = tmp_path / "planes-00000.tar", io.BytesIO()
    Image.new("L", (13_000, 13_000)).save(picture, "PNG")
    members = {}
    with tarfile.open(path) as tar:
        for member in tar.getmembers():
            file = tar.extractfile(member)
            assert file is not None
            members[member.name] = file.read()
    with tarfile.open(path, "w") as tar:
        for name, data in {**members, "one.png": picture.getvalue()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    index = json.loads((tmp_path / "index.json").read_text())
    index["shards"][0]["bytes"] = path.stat().st_size
    (tmp_path / "index.json").write_text(json.dumps(index))
    assert "13000 x 13000 pixels is too large" in refusal(lambda: list(read_shards(tmp_path)))


def test_shards_that_are_compressed(tmp_path: Path) -> None:
    write_shards(tmp_path, [fitted()], decoder_hash="hash", per_shard=1)
    path = tmp_path / "planes-00000.tar"
    path.write_bytes(gzip.compress(path.read_bytes()))
    index = json.loads((tmp_path / "index.json").read_text())
    index["shards"][0]["bytes"] = path.stat().st_size
    (tmp_path / "index.json").write_text(json.dumps(index))
    assert "is no plain tar file" in refusal(lambda: list(read_shards(tmp_path)))


def test_a_set_of_no_shards(tmp_path: Path) -> None:
    write_shards(tmp_path, [fitted()], decoder_hash="hash", per_shard=1)
    index = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps({**index, "shards": []}))
    assert "shards is no list of shards" in refusal(lambda: list(read_shards(tmp_path)))


# ---- trainings

CONFIG = LoopConfig(steps=4, batch_size=1, learning_rate=0.1, warmup_steps=1, checkpoint_every=2)


def train(folder: Path) -> None:
    torch.manual_seed(0)

    def loss(model: torch.nn.Module, draws: Draws) -> dict[str, torch.Tensor]:
        return {"loss": model(draws.noise(3)).square().mean()}

    run_loop(torch.nn.Linear(3, 1), loss, CONFIG, folder, "test")


@pytest.mark.parametrize("kind", ["text", "list", "number", "types", "step", "seconds", "flip"])
def test_checkpoints(tmp_path: Path, kind: str) -> None:
    train(tmp_path)
    path = tmp_path / CHECKPOINT_NAME
    values = torch.load(path, weights_only=True)
    if kind == "text":
        path.write_text("no checkpoint")
    elif kind == "flip":
        data = bytearray(path.read_bytes())
        place = data.index(values["model"]["weight"].numpy().tobytes())
        data[place] ^= 1
        path.write_bytes(data)
    else:
        others = {"list": [1, 2], "number": 5, "types": {key: [value] for key, value in values.items()}}
        changes = {"step": {"step": 10**15}, "seconds": {"seconds": -5.0}}
        torch.save(others.get(kind, {**values, **changes.get(kind, {})}), path)
    assert "cannot be resumed" in refusal(lambda: train(tmp_path))


@pytest.mark.parametrize("text", ["[]", "5", "null", "{", '{"steps": 4, "steps": 4}'])
def test_settings_of_a_training(tmp_path: Path, text: str) -> None:
    train(tmp_path)
    (tmp_path / SETTINGS_NAME).write_text(text)
    assert SETTINGS_NAME in refusal(lambda: train(tmp_path))


@pytest.mark.parametrize("data", [b"step,loss\nx,1\n", b"\xff\xfe\0\1", b"loss\n1\n", b"step,a\n\0,1\n"])
def test_logs_of_a_training(tmp_path: Path, data: bytes) -> None:
    train(tmp_path)
    (tmp_path / LOG_NAME).write_bytes(data)
    assert "cannot be gone on with" in refusal(lambda: train(tmp_path))


def test_an_empty_log_is_begun_again(tmp_path: Path) -> None:
    train(tmp_path)
    (tmp_path / LOG_NAME).write_bytes(b"")
    train(tmp_path)


# ---- presets


@pytest.mark.parametrize(
    ("stage", "field", "value"),
    [
        ("base", "weight_decay", float("nan")),
        ("base", "learning_rate", float("inf")),
        ("base", "steps", 10**15),
        ("base", "batch_size", 10**9),
        ("base", "ema_decay", "x" * 10_000_000),
        ("encoder", "learning_rate", 10**400),
    ],
)
def test_presets_with_numbers_that_are_none(tmp_path: Path, stage: str, field: str, value: Any) -> None:
    document = yaml.safe_load(preset_yaml(smoke()))
    document[stage]["loop"][field] = value
    path = tmp_path / "one.yaml"
    path.write_text(yaml.safe_dump(document))
    message = refusal(lambda: load_preset(str(path)))
    assert str(path) in message
    assert len(message) < 500


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "base: 1\nbase: 2\n",
        "base: {loop: {steps: 1, steps: 2}}\n",
        "[" * 100_000,
        "base: !!python/object/apply:os.system [ls]\n",
        "a: 0x" + "f" * 20_000 + "\n",
    ],
)
def test_yaml_that_is_more_than_it_looks(tmp_path: Path, text: str) -> None:
    path = tmp_path / "one.yaml"
    path.write_text(text)
    assert len(refusal(lambda: load_preset(str(path)))) < 500


# ---- what is no file


@pytest.mark.parametrize(
    "read",
    [
        open_image,
        read_json,
        read_tensors,
        read_prompt_file,
        Avatar.load,
        lambda path: load_preset(str(path)),
    ],
)
def test_pipes_are_not_waited_for(tmp_path: Path, read: Callable[[Path], object]) -> None:
    path = tmp_path / "pipe.yaml"
    os.mkfifo(path)
    assert str(path) in refusal(lambda: read(path))


def test_json_whose_keys_stand_twice(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    path.write_text('{"a": {"b": 1, "b": 2}}')
    assert "the key 'b' stands twice" in refusal(lambda: read_json(path))


@pytest.mark.parametrize(
    ("read", "metadata"),
    [
        (read_subject, {"subject": DEEP}),
        (Avatar.load, {"schema": avatars.SCHEMA, "decoder": DEEP}),
        (lambda path: packed.read_facts(path.parent), {"schema": str(packed.SCHEMA), "shape": DEEP}),
    ],
)
def test_metadata_that_are_nested_too_deep(tmp_path: Path, read: Callable[[Path], object], metadata: Any) -> None:
    path = tmp_path / packed.PACKED_NAME
    save_file({"planes": torch.zeros(1)}, path, metadata=metadata)
    assert "too deep" in refusal(lambda: read(path))


def test_prompts_that_are_nested_too_deep(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text(DEEP)
    assert "too deep" in refusal(lambda: read_prompts([tmp_path / "one.jsonl"], []))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("preprocessor_config.json", {"image_mean": [10**400, 0, 0]}, "image_mean"),
        ("tokenizer_config.json", {"pad_token": None}, "no token that pads"),
    ],
)
def test_encoders_whose_numbers_or_tokens_are_none(
    trained: Path, tmp_path: Path, name: str, change: dict[str, Any], said: str
) -> None:
    folder = Path(shutil.copytree(trained / "encoder", tmp_path / "encoder"))
    document = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**document, **change}))
    assert said in refusal(lambda: Encoder.from_pretrained(folder).encode_texts(["a man"]))


def test_names_without_end_are_shown_in_short() -> None:
    for read in (
        lambda: material_names({"materials": ["x" * 10**6]}, Path("transforms.json")),
        lambda: parse_colour("x" * 10**6),
    ):
        assert len(refusal(read)) < 400


def test_values_are_shown_in_short() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    for value in ("x" * 10**7, 10**5000, [["x" * 1000] * 1000] * 1000, deep):
        assert len(shown(value)) <= 80


# ---- captures


def capture(folder: Path, ball: Path, change: Change) -> Path:
    """A copy of a subject whose document is changed."""
    shutil.copytree(ball, folder)
    document = json.loads((folder / "transforms.json").read_text())
    change(document)
    (folder / "transforms.json").write_text(json.dumps(document))
    return folder


@pytest.mark.parametrize("name", ["../elsewhere.png", "{outside}", "inside/../../elsewhere.png", "link.png"])
@pytest.mark.parametrize("key", ["file_path", "mask_path", "materials_path"])
def test_what_leaves_the_folder(
    balls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, key: str
) -> None:
    elsewhere = tmp_path / "elsewhere.png"
    source = "000.materials.png" if key == "materials_path" else "000.png"
    shutil.copy(balls / "ball0" / source, elsewhere)
    name = name.format(outside=elsewhere)
    folder = capture(tmp_path / "ball", balls / "ball0", lambda document: document["frames"][0].update({key: name}))
    (folder / "inside").mkdir()
    (folder / "link.png").symlink_to(elsewhere)
    message = refusal(lambda: load_subject(folder, maps=True))
    assert f"{key} " in message  # the name is shortened where it is long
    assert f" leaves {folder}; put the file there, or allow it with --allow-outside" in message
    monkeypatch.setenv(OUTSIDE, "1")
    load_subject(folder, maps=key == "materials_path")


def test_a_link_within_the_folder_is_followed(balls: Path, tmp_path: Path) -> None:
    folder = capture(
        tmp_path / "ball", balls / "ball0", lambda document: document["frames"][0].update(file_path="l.png")
    )
    (folder / "l.png").symlink_to("000.png")
    load_subject(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(fl_x=1e-300),
        lambda document: document["frames"][0].update(file_path="x" * 5000),
        lambda document: document["frames"][0].update(mask_path="x" * 5000),
        lambda document: document["frames"][0].update(file_path="pipe.png"),
        lambda document: document.update(frames=document["frames"][:1] * (captures.MOST_FRAMES + 1)),
        lambda document: document.update(caption={"a" * 10**6: 1}),
    ],
)
def test_captures(balls: Path, tmp_path: Path, change: Change) -> None:
    folder = capture(tmp_path / "ball", balls / "ball0", change)
    os.mkfifo(folder / "pipe.png")
    assert len(refusal(lambda: load_subject(folder))) < 500


def test_captures_that_fill_the_memory(balls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With small limits, since large pictures take long to make."""
    folder = capture(tmp_path / "ball", balls / "ball0", lambda _: None)
    monkeypatch.setattr(captures, "MOST_KEPT", 14 * 24 * 24 - 1)
    assert "14 frames of 24 x 24 pixels are too many" in refusal(lambda: load_subject(folder))
    load_subject(folder, 12)
    monkeypatch.setattr(captures, "MOST_PIXELS", 24 * 24 - 1)
    assert "24 x 24 pixels is too large" in refusal(lambda: load_subject(folder, 12))


# ---- the command line


def test_no_message_is_endless(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["generate", "--out", str(tmp_path / "out"), "--model", "x" * 200_000])
    assert len(capsys.readouterr().err) < LONGEST + 100


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you")])
def test_too_little_memory_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    from rodin.models import folder

    def ship(*_: object) -> None:
        raise error

    monkeypatch.setattr(folder, "ship_model", ship)
    with pytest.raises(SystemExit) as ended:
        main(["ship", str(tmp_path), "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("rodin: there is not enough memory; ")


def test_the_configs_are_still_those_of_the_presets() -> None:
    """The limits are far from what is used."""
    for name in ("smoke", "mini", "paper"):
        preset = load_preset(name)
        assert dataclasses.replace(preset) == preset
