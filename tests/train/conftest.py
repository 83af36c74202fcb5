"""What the stages' tests share: run folders that are ready for a stage, and two launches of two ranks, which do
whatever the tests here ask of ranks: a process takes seconds to import torch."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # torch is imported by the tests, not by the process that shares them out
    from rodin.data.shards import FittedSubject
    from rodin.models.clip import Encoder
    from rodin.render.decoder import DecoderConfig

BEGIN = """
    import sys
    from pathlib import Path

    sys.path.append(sys.argv[2])
    import test_chain, test_clock, test_loop, test_optimizers, test_ranks, test_sharded, test_sketch

    for module in (test_sketch, test_clock, test_optimizers, test_ranks, test_sharded, test_chain, test_loop):
        module.on_each_rank(Path(sys.argv[1]))
"""
GO_ON = """
    import atexit, os, sys
    from pathlib import Path

    def last():  # of all that is done at the exit: what was registered first
        names = [Path(f"/proc/self/task/{task}/comm").read_text() for task in os.listdir("/proc/self/task")]
        Path(sys.argv[1], f"threads-{os.environ.get('RANK')}").write_text("".join(names))

    atexit.register(last)

    from rodin.train.processes import run_on_processes

    def go_on(folder):
        import test_loop

        test_loop.go_on(folder)

    sys.path.append(sys.argv[2])
    if __name__ == "__main__":
        run_on_processes(go_on, (Path(sys.argv[1]),), 2)
"""


TinyEncoder = Callable[[list[str]], "Encoder"]
StageInputs = Callable[[Path, "list[FittedSubject]", "DecoderConfig"], Path]


@dataclass(frozen=True)
class TwoRanks:
    """What they left: files in `folder`, and what both launches said. The first, torchrun's, was cut and ended with an
    error; the second was by `rodin.train.processes`."""

    folder: Path
    begun: str
    gone_on: str

    def read(self, name: str) -> list[Any]:
        """What each rank saved under that name."""
        import torch

        return [torch.load(self.folder / f"{name}-{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.fixture(scope="session")
def tiny_encoder() -> TinyEncoder:
    """tiny_encoder(captions): an untrained encoder, always the same one."""
    import torch

    from rodin.models.clip import EncoderConfig, small_clip

    sizes = EncoderConfig(
        image_size=16, patch_size=8, width=32, layers=1, heads=2, text_width=32, text_layers=1, text_heads=2
    )

    def make(captions: list[str]) -> Encoder:
        torch.manual_seed(0)
        return small_clip(sizes, captions)

    return make


@pytest.fixture(scope="session")
def stage_inputs(tiny_encoder: TinyEncoder) -> StageInputs:
    """stage_inputs(run, subjects, config): a run folder that is ready for a stage, by untrained parts."""
    from rodin.data.shards import write_shards
    from rodin.models.statistics import measure_statistics, save_statistics
    from rodin.parts import module_hash, save_component
    from rodin.render.decoder import Decoder

    def write(run: Path, subjects: list[FittedSubject], config: DecoderConfig) -> Path:
        tiny_encoder(["a head"]).save_pretrained(run / "encoder")
        decoder = Decoder(config)
        save_component(decoder, run / "decoder")
        write_shards(run / "planes", subjects, decoder_hash=module_hash(decoder), per_shard=4)
        save_statistics(measure_statistics([one.planes for one in subjects], clip=4.0), run / "planes")
        return run

    return write


@pytest.fixture
def run(fitted: Path, tmp_path: Path) -> Path:
    """A copy, to be written to, of what the module has fitted."""
    return Path(shutil.copytree(fitted, tmp_path, dirs_exist_ok=True))


@pytest.fixture(scope="session")
def two_ranks(
    balls: Path,
    trained: Path,
    quick_preset: Path,
    made_once: Callable[..., Path],
    run_ranks: Callable[..., tuple[int, str]],
) -> TwoRanks:
    def make(folder: Path) -> None:
        here = str(Path(__file__).parent)
        shutil.copy(quick_preset, folder / "quick.yaml")
        (folder / "balls").symlink_to(balls)
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(here)
            import test_chain
            import test_sharded

            test_chain.prepare(folder, trained)
            test_sharded.prepare(folder)
        code, said = run_ranks(folder, BEGIN, str(folder), here)
        assert code != 0, said
        assert (folder / "whole-1.pt").exists(), said
        assert not (folder / "cut-0.pt").exists(), said
        (folder / "begun.txt").write_text(said)
        code, said = run_ranks(folder, GO_ON, str(folder), here, ranks=1)
        assert code == 0, said
        (folder / "gone_on.txt").write_text(said)

    folder = made_once("ranks", make)
    return TwoRanks(folder, (folder / "begun.txt").read_text(), (folder / "gone_on.txt").read_text())
