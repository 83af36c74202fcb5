"""Contract of the command line: it answers at once, trains the whole chain, goes on after a kill with the same result,
writes what it promises; and a user's mistake is one line that names the file or flag, the value and the remedy, with
exit code 2 and nothing left that looks whole."""

from __future__ import annotations

import inspect
import json
import math
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import rodin
from rodin.avatars.avatar import SUFFIX, Avatar
from rodin.cli import drawing, gallery
from rodin.cli.main import COMMANDS, GROUPS, Ablation, main
from rodin.train import chain, clock
from rodin.train.ablations import ABLATIONS
from rodin.train.presets import load_preset, smoke

pytestmark = pytest.mark.usefixtures("mended_checksums")

Fails = Callable[..., str]
Launcher = Callable[..., subprocess.Popen[str]]
Until = Callable[[Callable[[], bool]], None]


@pytest.fixture(scope="module")
def avatar(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An avatar's file: the fitted ball0, which has a clear surface."""
    from rodin.avatars.drawing import Drawing
    from rodin.data.shards import read_shards
    from rodin.models.refiner import Refiner, RefinerConfig
    from rodin.parts import load_component
    from rodin.render.decoder import Decoder, DecoderConfig

    ball = next(iter(read_shards(trained / "planes")))
    decoder = load_component(Decoder, DecoderConfig, trained / "decoder")
    path = tmp_path_factory.mktemp("avatar") / f"ball{SUFFIX}"
    refiner = load_component(Refiner, RefinerConfig, trained / "refiner")
    noise = torch.zeros(3, 4, 8, 8)
    Avatar(ball.planes, decoder, refiner, torch.zeros(512), noise, Drawing(seed=0), "").save(path)
    return path


@pytest.fixture
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures and turntables that take no time."""
    for name, value in (("PICTURE_SIZE", 32), ("TURNTABLE_SIZE", 24), ("TURNTABLE_FRAMES", 4)):
        monkeypatch.setattr(gallery, name, value)
    monkeypatch.setattr(drawing, "PICTURE_SIZE", 32)


def stamps(run: Path, *names: str) -> dict[str, int]:
    files = [path for name in names for path in run.glob(f"{name}/**/*") if path.is_file()]
    return {str(path): path.stat().st_mtime_ns for path in files}


# ---- at once


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--version"])
    assert capsys.readouterr().out == f"rodin {rodin.__version__}\n"


def test_help_is_cheap() -> None:
    """Its cost is what it imports: of Rodin the commands' own declarations, of the libraries what parses flags."""
    done = subprocess.run([sys.executable, "-X", "importtime", "-m", "rodin", "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in COMMANDS:
        assert name in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    ours = {name for name in imported if name.startswith("rodin.") and not name.startswith("rodin.cli")}
    assert ours == {
        "rodin.data",
        "rodin.data.named_files",
        "rodin.errors",
        "rodin.files",
        "rodin.held_file",
        "rodin.lock",
        "rodin.signals",
        "rodin.storage",
        "rodin.writer",
        "rodin.framing",
        "rodin.waiting",
        "rodin.avatars",
        "rodin.avatars.avatar_file",
        "rodin.avatars.drawing",
        "rodin.diffusion",
        "rodin.diffusion.config",
        "rodin.models",
        "rodin.models.index",
    }
    assert "tyro" in imported
    assert not imported & {"torch", "transformers", "diffusers", "numpy", "scipy", "PIL", "accelerate", "yaml"}
    assert len(imported) < 600, "about 300 when this was written, most of the standard library"


FLAGS = {
    ("assets", "makehuman"): "out",
    ("synth",): "out count views size seed workers heads samples ray",
    ("synth-words",): "",
    ("describe",): "",
    ("fit",): "run preset workers seed device start up scale ray task-gpus allow-outside",
    ("train", "all"): "run preset workers seed clip large vgg start up scale device ray task-gpus allow-outside",
    ("train", "encoder"): "run preset hours start allow-outside",
    ("train", "palette"): "run preset",
    ("train", "prior"): "run preset hours",
    ("train", "base"): "run preset hours start",
    ("train", "upsampler"): "run preset vgg hours start",
    ("train", "refiner"): "run preset vgg hours allow-outside",
    ("train", "pack"): "run out preset",
    ("train", "ablations"): "run preset only workers seed large vgg allow-outside",
    ("train", "curves"): "stage column out",
    ("generate",): "out model text image seed count prompts overwrite literal guidance-scale prior-guidance-scale "
    "temperature steps sampler upsampling-steps candidates emphasis refine azimuth elevation search-pose sentences",
    ("edit",): "text out model source-text strength sentences",
    ("recolour",): "out skin lips hair lash iris eye-white mouth top hat frame lens jewellery other",
    ("vary",): "out model count seed",
    ("interpolate",): "out model steps",
    ("doctor",): "",
    ("render",): "out size azimuth elevation turntable sheet background refine materials planes dataset views",
    ("export",): "format out resolution threshold faces height texture lit",
    ("demo",): "out model text edit image seed",
    ("ship",): "out limit",
    ("eval",): "data train-data out preset against prompts cache samples captions photos views fits refine image-size "
    "sentences guidance-scale prior-guidance-scale temperature steps sampler upsampling-steps candidates emphasis seed "
    "allow-outside",
    ("studio",): "model host port token folder no-browser",
    ("plan",): "avatars views size samples preset nodes batch machine measure failures spread seed",
    ("preset",): "ablation",
    ("verify",): "",
    ("completion",): "",
}


def test_every_command_is_known_here() -> None:
    assert {words[0] for words in FLAGS} == set(COMMANDS)
    for group, (commands, _) in GROUPS.items():
        assert {words[1] for words in FLAGS if words[0] == group} == set(commands)


@pytest.mark.parametrize("words", FLAGS, ids=" ".join)
def test_every_command_explains_its_flags(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert not ended.value.code
    text = capsys.readouterr().out
    for flag in FLAGS[words].split():
        assert f"--{flag} " in text
    assert "usage: rodin " + " ".join(words) in " ".join(text.split())


def test_every_ablation_is_offered() -> None:
    assert set(get_args(Ablation)) == set(ABLATIONS)


def test_preset_prints_yaml_that_loads_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["preset", "smoke"])
    path = tmp_path / "printed.yaml"
    path.write_text(capsys.readouterr().out)
    assert load_preset(str(path)) == smoke()


# ---- training


def test_a_second_run_trains_nothing(
    balls: Path,
    trained: Path,
    tiny_preset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    names = ("encoder", "decoder", "fits-*", "base", "prior", "upsampler", "refiner", "*.training")
    before = stamps(run, *names)
    assert len(before) > 15
    monkeypatch.setattr(torch.Tensor, "backward", None)  # nothing may want a gradient
    main(["train", "all", str(balls), "--run", str(run), "--preset", str(tiny_preset)])
    assert stamps(run, *names) == before
    weights = "model/base/model.safetensors"
    assert (run / weights).read_bytes() == (trained / weights).read_bytes()
    assert f"model: {run / 'model'}" in capsys.readouterr().out


def test_workers_are_ranks_of_each_stage(
    balls: Path, trained: Path, quick_preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where they gain. They get what a process can be given; that they train as one does is held in
    tests/train/test_chain.py."""
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    for name in ("base", "upsampler", "refiner", "base.training", "upsampler.training", "refiner.training", "model"):
        shutil.rmtree(run / name)
    given: list[tuple[str, int]] = []

    def in_this_process(
        stage: Callable[..., None], arguments: tuple[Any, ...], count: int, patience: float = math.inf
    ) -> float | None:
        stage, arguments = pickle.loads(pickle.dumps((stage, arguments)))
        if patience < math.inf:
            return 0.0  # seconds a step, in the trial
        given.append((stage.__name__, count))
        stage(*arguments)
        return None

    monkeypatch.setattr(chain, "run_on_processes", in_this_process)
    monkeypatch.setattr(chain, "LEAST_LEFT", 0.0)
    for name, value in (("TRIAL_WARM_UP", 0), ("TRIAL_STEPS", 1), ("TRIAL_SECONDS", 0.0)):
        monkeypatch.setattr(clock, name, value)
    main(["train", "all", str(balls), "--run", str(run), "--preset", str(quick_preset), "--workers", "3"])
    assert given == [("base", 2), ("upsampler", 2), ("refiner", 2)], "what shares a batch equally"
    assert (run / "model" / "model_index.json").exists()


def test_a_model_is_trained_further(
    balls: Path,
    trained: Path,
    quick_preset: Path,
    tmp_path: Path,
    works_here: None,
    capsys: pytest.CaptureFixture[str],
    fails: Fails,
) -> None:
    """Its decoder stays, its networks do not; an encoder from elsewhere is refused."""
    run, model = tmp_path / "run", trained / "model"
    words = ("train", "all", str(balls), "--run", str(run), "--preset", str(quick_preset), "--start", str(model))
    assert "leave out one" in fails(*words, "--clip", str(model / "encoder"))
    main([*words, "--workers", "1"])
    assert "was trained" not in capsys.readouterr().out
    weights = Path("decoder") / "model.safetensors"
    assert (run / "model" / weights).read_bytes() == (model / weights).read_bytes()
    for name in ("encoder", "base", "upsampler"):
        weights = Path(name) / "model.safetensors"
        assert (run / "model" / weights).read_bytes() != (model / weights).read_bytes(), name
    for name in ("encoder", "base", "upsampler"):
        assert json.loads((run / f"{name}.training" / "settings.json").read_text())["start"] == str(model)


KILLED = """
    import sys
    import time

    from rodin.cli.main import main
    from rodin.fit import task

    write = task.write_subject

    def hanging(path, fitted):
        write(path, fitted)
        if path.stem == "ball1":
            time.sleep(1800)  # there it is killed

    task.write_subject = hanging  # in the worker too, which imports this script
    if __name__ == "__main__":
        main(sys.argv[1:])
"""


def test_a_killed_fit_goes_on_to_the_same_planes(
    balls: Path, trained: Path, tiny_preset: Path, tmp_path: Path, launch: Launcher, until: Until
) -> None:
    """With one worker or two."""
    run = tmp_path / "run"
    arguments = ["fit", str(balls), "--run", str(run), "--preset", str(tiny_preset), "--workers"]
    with launch(tmp_path / "script", KILLED, *arguments, "1") as process:
        until(lambda: bool(list(run.glob("fits-*/ball1.safetensors"))) or process.poll() is not None)
        assert _in_session(process.pid) > 1, "there is a worker"
        process.kill()
    until(lambda: _in_session(process.pid) == 0)  # no worker waits for a parent that is gone
    first = {name: stamp for name, stamp in stamps(run, "fits-*").items() if ".writing-" not in name}
    assert {Path(name).stem for name in first} == {"ball0", "ball1"}, "killed in the middle"
    assert not (run / "planes" / "index.json").exists(), "an unfinished set does not count"
    main([*arguments, "2"])
    finished = stamps(run, "fits-*")
    assert first.items() <= finished.items(), "what was fitted stays"
    for name in ("planes/index.json", "planes/planes-00000.tar", "planes/statistics/model.safetensors"):
        assert (run / name).read_bytes() == (trained / name).read_bytes(), name


def _in_session(session: int) -> int:
    """Number of living processes of a session."""
    count = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, found = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        count += int(found) == session and state != "Z"
    return count


def test_another_way_of_fitting_is_refused(
    balls: Path, trained: Path, tiny_preset: Path, tmp_path: Path, fails: Fails
) -> None:
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    other = tmp_path / "other.yaml"
    document = yaml.safe_load(tiny_preset.read_text())
    document["fitting"]["planes"]["steps"] = 41
    other.write_text(yaml.safe_dump(document))
    assert re.search(r"fitting\.json: .* steps 40, not 41; ", fails("fit", balls, "--run", run, "--preset", other))
    line = fails("fit", balls, "--run", run, "--preset", tiny_preset, "--seed", 5)
    assert re.search(r"fitting\.json: .* seed 0, not 5; ", line)


# ---- what comes out


def test_generate_writes_four_files_an_avatar(trained: Path, tmp_path: Path, small_pictures: None) -> None:
    portrait = tmp_path / "portrait.png"
    cut_out = Image.new("RGBA", (30, 40))
    cut_out.paste((200, 100, 50, 255), (8, 4, 22, 40))
    cut_out.save(portrait)
    out = tmp_path / "out"
    model = trained / "model"
    main(f"generate --model {model} --out {out} --count 2 --seed 3 --steps 5 --image {portrait}".split())
    kinds = (SUFFIX, ".png", ".glb", "-turntable.gif", ".json")
    files = {f"avatar-00{k}{kind}" for k in range(2) for kind in kinds}
    assert {path.name for path in out.iterdir()} == {*files, "overview.png"}
    with Image.open(out / "avatar-000.png") as picture:
        assert picture.mode == "RGBA"
        assert picture.size == (32, 32)
        low, high = picture.getchannel("A").getextrema()
        assert low < 32, "transparent around the avatar"
        assert high > 128
    with Image.open(out / "avatar-001-turntable.gif") as turntable:
        assert (turntable.n_frames, turntable.size) == (4, (24, 24))
    import trimesh

    solid = trimesh.load(out / "avatar-000.glb", force="mesh")
    assert solid.volume > 0

    main(f"generate --model {model} --out {tmp_path / 'one'} --seed 4 --steps 5 --image {portrait}".split())

    second, alone = Avatar.load(out / f"avatar-001{SUFFIX}"), Avatar.load(tmp_path / "one" / f"avatar-000{SUFFIX}")
    assert second.drawing.seed == alone.drawing.seed == 4
    torch.testing.assert_close(second.planes, alone.planes, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("kind", ["glb", "obj", "ply", "stl"])
def test_export(avatar: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    import trimesh

    out = tmp_path / f"mesh.{kind}"
    main(f"export {avatar} --format {kind} --out {out} --resolution 32 --threshold 10".split())
    assert capsys.readouterr().out.strip() == str(out)
    solid = trimesh.load(out, force="mesh")
    assert solid.volume > 0
    assert len(solid.vertices) > 100


def test_export_unlit_lit_and_as_usdz(avatar: Path, tmp_path: Path) -> None:
    flags = "--resolution 24 --threshold 5 --faces 400"
    for name, more in (("unlit.glb", ""), ("lit.glb", "--lit"), ("a.usdz", "")):
        main(f"export {avatar} --out {tmp_path / name} {flags} {more}".split())
    assert b"KHR_materials_unlit" in (tmp_path / "unlit.glb").read_bytes()
    assert b"KHR_materials_unlit" not in (tmp_path / "lit.glb").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.usdz") as package, package.open("textures/colours.png") as picture:
        assert Image.open(picture).size == (1024, 1024)


def test_export_gaussians(avatar: Path, tmp_path: Path, fails: Fails) -> None:
    copy = Path(shutil.copy(avatar, tmp_path / f"name{SUFFIX}"))
    main(["export", str(copy), "--format", "gaussians", "--resolution", "24"])
    assert b"property float rot_3" in (tmp_path / "name-gaussians.ply").read_bytes()[:1000]
    line = fails("export", copy, "--format", "gaussians", "--faces", "100", "--lit")
    assert "--faces, --lit: Gaussians have no surface; leave it out" in line
    assert "does not end in .ply" in fails("export", copy, "--format", "gaussians", "--out", tmp_path / "a.glb")


def test_export_lies_beside_the_avatar(avatar: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(avatar, tmp_path / f"name{SUFFIX}"))
    main(["export", str(copy), "--resolution", "16", "--threshold", "5"])
    assert {path.name for path in tmp_path.iterdir()} == {f"name{SUFFIX}", "name.glb"}


def test_render_picture_and_turntable(avatar: Path, tmp_path: Path) -> None:
    for azimuth in (0, 90):
        main(f"render {avatar} --out {tmp_path / f'{azimuth}.png'} --size 20 --azimuth {azimuth}".split())
    front, side = (Image.open(tmp_path / f"{azimuth}.png") for azimuth in (0, 90))
    assert front.size == (20, 20)
    assert front.mode == "RGBA"
    assert front.tobytes() != side.tobytes()
    main(f"render {avatar} --out {tmp_path / 'around.gif'} --size 16 --turntable 3".split())
    with Image.open(tmp_path / "around.gif") as around:
        assert (around.n_frames, around.size) == (3, (16, 16))


def test_turntables_and_sheets_begin_where_they_are_told(avatar: Path, tmp_path: Path) -> None:
    pose = "--size 16 --azimuth 90 --elevation 30"
    main(f"render {avatar} --out {tmp_path / 'one.png'} {pose}".split())
    main(f"render {avatar} --out {tmp_path / 'sheet.png'} --sheet 2 {pose}".split())
    main(f"render {avatar} --out {tmp_path / 'around.webp'} --turntable 2 --background transparent {pose}".split())
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "sheet.png") as sheet:
        assert (sheet.mode, sheet.size) == ("RGBA", (32, 16))
        assert sheet.crop((0, 0, 16, 16)).tobytes() == one.tobytes()
        assert sheet.crop((16, 0, 32, 16)).tobytes() != one.tobytes()
        with Image.open(tmp_path / "around.webp") as around:
            first = np.asarray(around.convert("RGBA")).astype(int)
            shown = np.asarray(one).astype(int)
            assert np.abs(first[..., 3] - shown[..., 3]).max() < 20
            assert np.abs(first - shown)[shown[..., 3] > 200].mean() < 12


@pytest.mark.parametrize(("word", "pixel"), [("#204060", (32, 64, 96)), ("white", (255, 255, 255))])
def test_backgrounds(avatar: Path, tmp_path: Path, word: str, pixel: tuple[int, ...]) -> None:
    for flags in ("", "--sheet 2"):
        main(f"render {avatar} --out {tmp_path / 'a.png'} --size 16 --background {word} {flags}".split())
        with Image.open(tmp_path / "a.png") as picture:
            assert picture.mode == "RGB"
            assert picture.getpixel((0, 0)) == pixel
    main(f"render {avatar} --out {tmp_path / 'a.gif'} --size 16 --background {word} --turntable 2".split())
    with Image.open(tmp_path / "a.gif") as around:
        assert np.abs(np.subtract(around.convert("RGB").getpixel((0, 0)), pixel)).max() < 12


def test_a_data_set_of_an_avatar(avatar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(f"render {avatar} --dataset {tmp_path / 'ball'} --views 5 --size 12".split())
    assert "5 views in train, 1 views in val, 1 views in test" in capsys.readouterr().out
    assert len(list((tmp_path / "ball").glob("*/*.png"))) == 7
    assert len(list((tmp_path / "ball").glob("transforms_*.json"))) == 3


# ---- mistakes: data


def test_missing_and_empty_folders(tmp_path: Path, tiny_preset: Path, fails: Fails) -> None:
    rest = ("--run", tmp_path / "run", "--preset", tiny_preset)
    for words in (("fit",), ("train", "all"), ("train", "encoder")):
        assert f"{tmp_path / 'none'}: no such folder; give" in fails(*words, tmp_path / "none", *rest)
        empty = tmp_path / "empty"
        empty.mkdir(exist_ok=True)
        assert f"{empty}: neither it nor a folder in it has a transforms.json; give" in fails(*words, empty, *rest)
    assert not (tmp_path / "run").exists()


def _edit(change: Callable[[dict], Any]) -> Callable[[Path], None]:
    def spoil(subject: Path) -> None:
        path = subject / "transforms.json"
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return spoil


def _cut(name: str) -> Callable[[Path], None]:
    return lambda subject: (subject / name).write_bytes((subject / name).read_bytes()[:60])


SPOILERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "malformed": (_cut("transforms.json"), r"transforms\.json: not valid JSON \(.+\); write"),
    "deep": (
        lambda subject: (subject / "transforms.json").write_text("[" * 100_000),
        r"transforms\.json: not valid JSON \(.+\); write",
    ),
    "no frames": (_edit(lambda d: d.update(frames=[])), r"transforms\.json: frames is empty; name"),
    "nan": (
        _edit(lambda d: d["frames"][3]["transform_matrix"][0].__setitem__(0, float("nan"))),
        r"frame 3: transform_matrix is no 4 x 4 matrix of finite numbers \(it is, or holds, nan\); give",
    ),
    "not rigid": (
        _edit(lambda d: d["frames"][2]["transform_matrix"][0].__setitem__(0, 3.0)),
        r"transforms\.json: frame 2.*; ",
    ),
    "image missing": (lambda subject: (subject / "004.png").unlink(), r"004\.png: no such image; put"),
    "image cut off": (_cut("004.png"), r"004\.png: .*(damaged|cannot be read).*; write it again"),
    "image of another size": (
        lambda subject: Image.new("RGBA", (30, 20)).save(subject / "004.png"),
        r"004\.png: is 30 x 20 pixels, .* 24.*; ",
    ),
    "caption no text": (_edit(lambda d: d.update(caption=5)), r"transforms\.json: caption is 5; give text"),
}


@pytest.mark.parametrize("name", SPOILERS)
def test_spoiled_subjects(balls: Path, tmp_path: Path, tiny_preset: Path, fails: Fails, name: str) -> None:
    shutil.copytree(balls / "ball0", tmp_path / "data" / "ball0")
    spoil, message = SPOILERS[name]
    spoil(tmp_path / "data" / "ball0")
    line = fails("train", "all", tmp_path / "data", "--run", tmp_path / "run", "--preset", tiny_preset)
    assert re.search(message, line)
    line = fails("fit", tmp_path / "data", "--run", tmp_path / "run", "--preset", tiny_preset)
    assert re.search(message, line)
    for stage in ("encoder", "decoder", "planes", "base", "model"):
        assert not (tmp_path / "run" / stage).exists()


# ---- mistakes: runs


@pytest.fixture
def unfinished(trained: Path, tmp_path: Path) -> Path:
    """The run before its base model was trained."""
    run = Path(shutil.copytree(trained, tmp_path / "run"))
    for name in ("base", "base.training", "model"):
        shutil.rmtree(run / name)
    return run


def test_a_shard_cut_off(unfinished: Path, tiny_preset: Path, fails: Fails) -> None:
    shard = unfinished / "planes" / "planes-00000.tar"
    size = shard.stat().st_size
    shard.write_bytes(shard.read_bytes()[: size // 2])
    line = fails("train", "base", "--run", unfinished, "--preset", tiny_preset)
    assert f"planes-00000.tar: {size // 2} bytes, {size} were written; copy it again or fit again" in line
    assert not (unfinished / "base").exists()


def test_a_damaged_fit_and_a_missing_start(balls: Path, unfinished: Path, tiny_preset: Path, fails: Fails) -> None:
    rest = ("fit", balls, "--run", unfinished, "--preset", tiny_preset)
    fit = next(unfinished.glob("fits-*/ball2.safetensors"))
    fit.write_bytes(fit.read_bytes()[:-9])
    assert re.search(r"ball2\.safetensors: not a whole file of a fitted subject \(.+\); fit it again", fails(*rest))
    fit.unlink()
    (unfinished / "start.safetensors").unlink()
    assert "start.safetensors: no such file" in fails(*rest)


def test_a_run_without_its_stages(tmp_path: Path, tiny_preset: Path, fails: Fails) -> None:
    (tmp_path / "run").mkdir()
    line = fails("train", "base", "--run", tmp_path / "run", "--preset", tiny_preset)
    assert re.search(r"run/planes.*: no such file; ", line)


def test_a_checkpoint_on_a_full_disk(unfinished: Path, quick_preset: Path, fails: Fails, full_disk: Any) -> None:
    with full_disk(30_000):
        line = fails("train", "base", "--run", unfinished, "--preset", quick_preset)
    assert re.search(r"checkpoint/state\.pt: not written \(.+\); free some space", line)
    assert not (unfinished / "base").exists()
    assert not list(unfinished.glob("base.training/checkpoint/*"))


def test_fits_on_a_full_disk(balls: Path, unfinished: Path, tiny_preset: Path, fails: Fails, full_disk: Any) -> None:
    """What a fitting process, which is not this one, meets."""
    for path in unfinished.glob("fits-*/ball[12]*"):
        path.unlink()
    with full_disk(5000):
        line = fails("fit", balls, "--run", unfinished, "--preset", tiny_preset, "--workers", 1)
    file = r"(ball\d\.safetensors|planes-\d+\.tar)"  # a shard is written beside the fits
    assert re.search(rf"{file}: not written \(.+\); free some space or choose another folder", line)
    assert {path.stem for path in unfinished.glob("fits-*/*")} == {"ball0", "ball3"}


def test_a_clip_of_another_width(balls: Path, trained: Path, tiny_preset: Path, tmp_path: Path, fails: Fails) -> None:
    clip = Path(shutil.copytree(trained / "encoder", tmp_path / "clip"))
    config = json.loads((clip / "config.json").read_text())
    (clip / "config.json").write_text(json.dumps({**config, "projection_dim": 256}))
    line = fails("train", "all", balls, "--run", tmp_path / "run", "--preset", tiny_preset, "--clip", clip)
    assert "clip/config.json: projection_dim is 256; give a CLIP with 512" in line
    line = fails("train", "all", balls, "--run", tmp_path / "run", "--preset", "paper", "--clip", trained / "encoder")
    assert re.search(r"--clip .*: its text is 32 numbers wide, the prior is for 512; set text_width", line)
    assert not (tmp_path / "run").exists()


def test_presets_that_are_none(balls: Path, tmp_path: Path, fails: Fails) -> None:
    rest = ("--run", tmp_path / "run", "--preset")
    assert "--preset: 'huge' is no preset; choose smoke, mini, mini-gpu" in fails("fit", balls, *rest, "huge")
    path = tmp_path / "mine.yaml"
    path.write_text("stepz: 3\n")
    assert "mine.yaml: fields unknown stepz and missing" in fails("fit", balls, *rest, path)
    assert "--workers: 0; choose 1 or more" in fails("fit", balls, "--run", tmp_path / "run", "--workers", 0)
    assert not (tmp_path / "run").exists()


def test_words_become_an_avatar_that_can_be_changed(trained: Path, tmp_path: Path, small_pictures: None) -> None:
    """The way of a user: a sentence, an edit, kin, the way between two, a refined picture."""
    model = trained / "model"
    flags = f"--model {model} --out {tmp_path / 'one'} --steps 4 --sampler ddim --temperature 0.5"
    main([*f"generate {flags} --text".split(), "a ball of radius 0.5"])
    one = tmp_path / "one" / f"avatar-000{SUFFIX}"
    main([*f"edit {one} --model {model} --out {tmp_path / 'edit'} --text".split(), "seed 2"])
    changed = {path.name for path in (tmp_path / "edit").iterdir()}
    assert {f"avatar-000{SUFFIX}", "avatar-000.png", "before-after.png"} <= changed
    main(f"vary {one} --model {model} --out {tmp_path / 'kin'} --count 2 --seed 5".split())
    assert len(list((tmp_path / "kin").glob(f"*{SUFFIX}"))) == 2
    two = tmp_path / "kin" / f"avatar-001{SUFFIX}"
    how = Avatar.load(two).drawing.sampling
    assert (how.temperature, how.steps, how.sampler) == (0.5, 4, "ddim"), "kin are sampled alike"
    main(f"interpolate {one} {two} --model {model} --out {tmp_path / 'way'} --steps 3".split())
    assert len(list((tmp_path / "way").glob(f"*{SUFFIX}"))) == 3
    with (
        Image.open(tmp_path / "way" / "strip.png") as strip,
        Image.open(tmp_path / "way" / "interpolation.gif") as film,
    ):
        assert strip.size == (96, 32)
        assert film.n_frames == 4, "there and back"
    main(f"render {one} --size 48 --refine --out {tmp_path / 'sharp.png'}".split())
    main(f"render {one} --size 48 --out {tmp_path / 'plain.png'}".split())
    with Image.open(tmp_path / "sharp.png") as sharp, Image.open(tmp_path / "plain.png") as plain:
        assert sharp.size == plain.size == (48, 48)
        assert sharp.tobytes() != plain.tobytes()


def test_an_evaluation_gets_what_its_flags_say(
    trained: Path, tiny_preset: Path, balls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rodin.evaluate.evaluation

    given: dict[str, Any] = {}
    names = inspect.signature(rodin.evaluate.evaluation.evaluate)
    monkeypatch.setattr(
        rodin.evaluate.evaluation, "evaluate", lambda *some, **rest: given.update(names.bind(*some, **rest).arguments)
    )
    model = trained / "model"
    flags = f"eval {model} --data {balls} --train-data {balls} --out {tmp_path} --samples 7 --refine 0"
    main([*flags.split(), "--against", f"one={model}", "--against", f"two={model}", "--prompts", "a", "--prompts", "b"])
    settings = given["settings"]
    assert (given["held_out"], given["out"], settings.samples, settings.refine_steps) == (balls, tmp_path, 7, 0)
    assert given["prompts"] == (Path("a"), Path("b"))
    assert given["cache"] == tmp_path.with_name(f"{tmp_path.name}-cache")
    assert given["fit"] == load_preset(str(tiny_preset)).fitting.planes, "as the model says"
    assert list(given["against"]) == ["one", "two"]
    assert all(other.model_hash == given["pipe"].model_hash for other in given["against"].values())
    main([*flags.split(), "--preset", "smoke"])
    assert given["fit"] == smoke().fitting.planes


# ---- mistakes: generating


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--count 0", "count: 0 avatars; choose 1 or more"),
        ("--guidance-scale 0", r"guidance_scale: 0\.0; choose a number above 0"),
        ("--guidance-scale nan", "guidance_scale: nan; choose"),
        ("--steps 0", "steps: 0; choose 1 or more"),
        ("--steps 2000", "steps: 2000; this model was trained on 1000, choose 1 to 1000"),
        ("--azimuth 30", "--azimuth, --elevation: they are used by --refine alone"),
        ("--search-pose", "--search-pose: the pose is used by --refine alone"),
        ("--seed -1", "seed: -1, for 1 avatars; choose 0 to 1073741823"),
        ("--image {no_image}", r"no_image\.png: cannot be read as an image \(.+\); "),
        ("--image {missing}", "missing: no such image; "),
        ("--image {animated}", r"^\S+animated\.gif: animated or of several pages; save one frame of it as PNG$"),
        ("--image {heic}", r"^\S+phone\.jpg: (is HEIC.*save it as JPEG or PNG|damaged or cut off HEIC)"),
        ("--text a --image {no_image}", r"no_image\.png|more than one is given"),
        ("--text=", "prompt: it is empty"),
        (f"--text {'x' * 10_000}", "prompt: 10000 characters; give at most"),
        ("--refine 5", "refine: 5 steps towards no portrait"),
        ("--refine -1", "refine: -1 steps; choose 0 or more"),
        ("--search-pose --refine 5", "--search-pose: there is no portrait"),
        ("--out {no_image}", r"--out: .*no_image\.png is a file; choose a folder"),
        ("--out /proc/none", "/proc/none.*: cannot be written"),
        ("--model {missing}", "missing: no such model folder; train one with"),
    ],
)
def test_generate_refuses(
    trained: Path, tmp_path: Path, fails: Fails, small_pictures: None, flags: str, message: str
) -> None:
    (tmp_path / "no_image.png").write_text("no image")
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "animated.gif", save_all=True, append_images=frames[1:])
    (tmp_path / "phone.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    names = {"no_image": "no_image.png", "missing": "missing", "animated": "animated.gif", "heic": "phone.jpg"}
    flags = flags.format(**{key: tmp_path / name for key, name in names.items()})
    given = flags.split()
    for name, value in (("--model", trained / "model"), ("--out", tmp_path / "out"), ("--steps", 2)):
        if name not in given:
            given += [name, str(value)]
    assert re.search(message, fails("generate", *given))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("edit {avatar} --text red", "avatar: it was drawn by another model"),
        ("vary {avatar}", "avatar: it was drawn by another model"),
        ("interpolate {avatar} {avatar}", "avatar: it was drawn by another model"),
        ("edit {missing} --text red", "no such file; give an avatar"),
        ("eval {model} --data {missing} --train-data {balls}", "missing: no such folder; give the folder that holds"),
        ("eval {model} --data {balls} --train-data {balls} --samples 0", "samples must be at least 2, got 0"),
        ("eval {model} --data {balls} --train-data {balls} --against x", "--against: 'x'; give NAME=MODEL"),
    ],
)
def test_changes_and_evaluations_that_cannot_be(
    trained: Path, balls: Path, avatar: Path, tmp_path: Path, fails: Fails, command: str, message: str
) -> None:
    model = trained / "model"
    words = command.format(avatar=avatar, missing=tmp_path / "missing", model=model, balls=balls).split()
    rest = (*(() if words[0] == "eval" else ("--model", model)), "--out", tmp_path / "out")
    assert re.search(message, fails(*words, *rest))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["base", "decoder", "prior", "upsampler", "refiner"])
def test_damaged_models(trained: Path, tmp_path: Path, fails: Fails, name: str) -> None:
    model = Path(shutil.copytree(trained / "model", tmp_path / "model"))
    rest = ("generate", "--model", model, "--out", tmp_path / "out")
    weights = model / name / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert re.search(rf"{name}/model\.safetensors: not a whole .*; write it again", fails(*rest))
    shutil.rmtree(model / name)
    assert re.search(rf"model/{name}: no such part", fails(*rest))
    index = model / "model_index.json"
    index.write_text(index.read_text().replace("rodin-model-2", "rodin-model-0"))
    assert "model_index.json: schema is 'rodin-model-0', this version reads 'rodin-model-2'; train" in fails(*rest)
    assert not (tmp_path / "out").exists()


def test_generate_on_a_full_disk(
    trained: Path, tmp_path: Path, fails: Fails, small_pictures: None, full_disk: Any
) -> None:
    with full_disk(4000):
        line = fails("generate", "--model", trained / "model", "--out", tmp_path / "out", "--steps", 2)
    assert re.search(rf"avatar-000{SUFFIX}: not written \(.+\); free some space or choose another folder", line)
    assert not (tmp_path / "out").exists()


# ---- mistakes: avatars


def test_avatars_that_are_none(avatar: Path, tmp_path: Path, fails: Fails) -> None:
    cut = tmp_path / f"cut{SUFFIX}"
    cut.write_bytes(avatar.read_bytes()[:-5])
    text = tmp_path / "text.txt"
    text.write_text("hello")
    for words in (("export",), ("render", "--out", tmp_path / "out.png")):
        assert re.search(rf"cut{SUFFIX}: not a whole avatar file \(.+\); ", fails(*words, cut))
        assert re.search(r"text\.txt: not a whole avatar file \(.+\); ", fails(*words, text))
        assert "nothing: no such file; give an avatar" in fails(*words, tmp_path / "nothing")
    assert {path.name for path in tmp_path.iterdir()} == {cut.name, text.name}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("export {avatar} --resolution 2", "--resolution: 2; choose 8 to 1024"),
        ("export {avatar} --threshold 0", r"--threshold: 0\.0; choose"),
        ("export {avatar} --threshold nan", "--threshold: nan; choose"),
        ("export {avatar} --threshold 1e9 --resolution 8 --out {out}/a.glb", "threshold: no density is above 1e"),
        ("export {avatar} --format obj --out {out}/a.glb", r"--out: .*a\.glb does not end in \.obj; change it or"),
        ("export {avatar} --lit --out {out}/a.ply", r"--lit: \.ply has no unlit materials; choose \.glb or \.usdz"),
        ("export {avatar} --texture 64 --out {out}/a.ply", r"--texture: \.ply has no textures; choose \.glb, \.usdz,"),
        ("export {avatar} --resolution 16 --threshold 5 --out /proc/none/a.glb", r"/proc/none/a\.glb: cannot be"),
        ("render {avatar} --size 8 --out {out}/a.jpg", r"a\.jpg: pictures are \.png or \.webp; change the suffix"),
        ("render {avatar} --size 8 --turntable 2 --out {out}/a.png", r"a\.png: \.png is no video format here; choose"),
        ("render {avatar} --size 0 --out {out}/a.png", "--size 0, "),
        ("render {avatar} --turntable -1 --out {out}/a.gif", "--turntable -1: "),
        ("render {avatar} --azimuth nan --out {out}/a.png", "--azimuth nan, "),
        ("render {avatar} --elevation inf --out {out}/a.png", "--elevation inf: "),
        ("render {avatar} --sheet -1 --out {out}/a.png", "--sheet -1: "),
        ("render {avatar} --sheet 2 --turntable 2 --out {out}/a.gif", "--turntable, --sheet: the one is a video"),
        ("render {avatar} --turntable 2 --background transparent --out {out}/a.mp4", "an MP4 cannot be transparent"),
        ("render {avatar} --background greenish --out {out}/a.png", "--background: 'greenish' is no colour; give"),
        ("render {avatar}", "--out: nothing says where to write; give"),
        ("render {avatar} --views 5 --out {out}/a.png", "--views: 5; it is used by --dataset alone"),
        ("render {avatar} --dataset {out}/set --views 0", "--size 256, --views 0: choose"),
        ("render {avatar} --dataset {out}/set --azimuth 5 --refine", "--azimuth, --refine: a data set has its own"),
        ("render {avatar} --dataset {out}/set --out {out}/a.png", "--out: a data set has its own cameras"),
        ("render {avatar} --dataset /proc/none/set --views 1", "/proc/none/set: cannot be written"),
        ("render {avatar} --size 8 --out /proc/none/a.png", r"/proc/none/a\.png: cannot be written"),
    ],
)
def test_export_and_render_refuse(avatar: Path, tmp_path: Path, fails: Fails, flags: str, message: str) -> None:
    assert re.search(message, fails(*flags.format(avatar=avatar, out=tmp_path / "out").split()))
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("name", ["a.glb", "a.obj", "a.ply"])
def test_a_mesh_on_a_full_disk(avatar: Path, tmp_path: Path, fails: Fails, full_disk: Any, name: str) -> None:
    with full_disk(2000):
        line = fails(*f"export {avatar} --format {name[2:]} --out {tmp_path / name} --threshold 5".split())
    assert re.search(rf"{name}: not written \(.+\); free some space or choose another folder", line)
    assert list(tmp_path.iterdir()) == []


# ---- mistakes: anywhere


def test_a_disk_that_fails_anywhere_is_one_line(
    balls: Path, tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device", "run/log.csv")

    monkeypatch.setattr(chain, "fit", full)
    assert "No space left on device: 'run/log.csv'; free some space" in fails("fit", balls, "--run", tmp_path)


def test_an_error_of_ours_is_no_fault_of_the_disk(balls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", "something of ours")

    monkeypatch.setattr(chain, "fit", broken)
    with pytest.raises(FileNotFoundError):
        main(["fit", str(balls), "--run", str(tmp_path)])


GOES_ON = "; the same command goes on where it stopped"


@pytest.mark.parametrize(
    ("command", "place", "said"),
    [
        (["fit", "DATA", "--run", "RUN"], "rodin.train.chain.fit", GOES_ON),
        (["train", "base", "--run", "RUN"], "rodin.train.chain.base", GOES_ON),
        (["ship", "MODEL", "--out", "OUT"], "rodin.models.folder.ship_model", ""),
    ],
)
def test_an_interrupt_says_what_goes_on(
    command: list[str],
    place: str,
    said: str,
    balls: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(place, interrupted)
    with pytest.raises(SystemExit) as ended:
        main([str(balls if word == "DATA" else tmp_path) if word.isupper() else word for word in command])
    assert ended.value.code == 130
    assert capsys.readouterr().err == f"rodin: interrupted{said}\n"


def test_our_own_defects_keep_their_traceback(balls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ValueError("ours")

    monkeypatch.setattr(chain, "fit", broken)
    with pytest.raises(ValueError, match="ours"):
        main(["fit", str(balls), "--run", str(tmp_path)])


# ---- mistakes: Blender


def test_no_blender(tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "bpy.py").write_text("raise ModuleNotFoundError(\"No module named 'bpy'\", name='bpy')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "shadow"))
    line = fails("synth", "--out", tmp_path / "set", "--count", 1, "--views", 1, "--size", 16)
    assert "pip install 'rodin-avatars[blender]'" in line
    assert re.search(r"apt-get install .*libxi6 .*libgl1", line)
    assert not list((tmp_path / "set").glob("0*"))
