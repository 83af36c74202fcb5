"""Contract: when a rank is killed, torchrun starts all of them again, they go on from the checkpoint, and end with the
network of a run that nothing happened to."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import yaml

SCRIPT = """
    import os, signal, sys
    from pathlib import Path

    from rodin.cli.main import main
    from rodin.diffusion.losses import Diffusion

    folder, rank = Path(sys.argv[1]), os.environ["RANK"]
    losses, calls = Diffusion.losses, 0

    def deadly(*given):
        global calls
        calls += 1
        if rank == "1" and calls == 5 and not (folder / "killed").exists():
            (folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return losses(*given)

    for run in ("whole", "cut"):
        Diffusion.losses = deadly if run == "cut" else losses
        main(["train", "base", "--run", str(folder / run), "--preset", str(folder / "preset.yaml")])
"""


def test_a_lost_rank_costs_the_steps_since_the_checkpoint(
    trained: Path, tiny_preset: Path, tmp_path: Path, run_ranks: Callable[..., tuple[int, str]]
) -> None:
    for run in ("whole", "cut"):
        shutil.copytree(trained, tmp_path / run, ignore=shutil.ignore_patterns("base*"))
    document = yaml.safe_load(tiny_preset.read_text())
    document["base"]["loop"].update(steps=6, checkpoint_every=3)
    (tmp_path / "preset.yaml").write_text(yaml.safe_dump(document))
    code, said = run_ranks(tmp_path, SCRIPT, str(tmp_path), restarts=1)
    assert code == 0, said
    assert (tmp_path / "killed").exists()
    assert said.count("base: step 0 of 6, 2 x cpu") == 2, said
    assert said.count("base: step 3 of 6, 2 x cpu") == 1, said
    ours, theirs = ((tmp_path / run / "base" / "model.safetensors").read_bytes() for run in ("cut", "whole"))
    assert ours == theirs
    logs = [(tmp_path / run / "base.training" / "log.csv").read_text() for run in ("cut", "whole")]
    assert logs[0] == logs[1]
