"""A file of prompts, one a line, and the avatars drawn from it; what is there already is not drawn again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from rodin.avatars.avatar import SUFFIX, Avatar
from rodin.avatars.drawing import Drawing, Sampling
from rodin.avatars.pipeline import RodinPipeline
from rodin.cli.gallery import (
    as_key,
    first_number,
    how_drawn,
    how_read,
    name_of,
    numbers_drawn,
    write_avatar,
    write_overview,
)
from rodin.errors import UserError
from rodin.files import check_regular

COMMENT = "#"


def read_prompt_file(path: Path) -> list[tuple[int, str]]:
    """The prompts with the numbers of their lines; blank lines and those that begin with # are none.

    Raises:
        UserError: the file cannot be read, or holds no prompt.
    """
    check_regular(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"--prompts: {path}: is no UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise UserError(f"--prompts: {path}: cannot be read ({error.strerror}); give a text file") from error
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    found = [(number, line) for number, line in lines if line and not line.startswith(COMMENT)]
    if not found:
        raise UserError(f"--prompts: {path}: holds no prompts; write one a line")
    return found


def draw_prompts(
    pipe: RodinPipeline,
    path: Path,
    out: Path,
    *,
    count: int,
    seed: int,
    sampling: Sampling,
    literal: bool,
    overwrite: bool,
) -> None:
    """Draw `count` avatars for each prompt of a file, the k-th of all with seed + k, and write each at once.

    Args:
        literal: see `RodinPipeline`.
        overwrite: draw all anew, from number 0 on, whatever is there.

    Raises:
        UserError: a prompt cannot be read, which is said before any is drawn, or nothing can be written.
    """
    prompts = read_prompt_file(path)
    for line, prompt in prompts:
        if not pipe.knows(prompt):
            raise UserError(f"{path}, line {line}: {prompt!r} has no word that the model knows; say it in other words")
    there = {} if overwrite else numbers_drawn(out)
    free = first_number(out, overwrite)
    whole = replace(sampling, sampler=sampling.sampler or pipe.scheduler.kind)
    avatars, numbers, without_mesh, drawn = [], [], [], 0
    for index, (_, prompt) in enumerate(tqdm([one for one in prompts for _ in range(count)], unit="avatar")):
        drawing = Drawing(seed=seed + index, prompt=prompt, literal=literal, sampling=whole)
        key = as_key(how_drawn(drawing, pipe.model_hash))
        number, finished = there.get(key, (free, False))
        if finished:
            avatar = Avatar.load(out / f"{name_of(number)}{SUFFIX}")
        else:
            free = max(free, number + 1)
            avatar = pipe(prompt, seed=drawing.seed, sampling=sampling, literal=literal)[0]
            problem = write_avatar(avatar, out, number, how_read(pipe, drawing))
            without_mesh += [problem] if problem else []
            drawn += 1
        avatars.append(avatar)
        numbers.append(number)
    if drawn:
        write_overview(avatars, out, min(numbers))
    print(f"{drawn} avatar{'s' * (drawn != 1)} drawn, {len(avatars) - drawn} were there, in {out}")
    if without_mesh:
        raise UserError(f"{out}: all is written but the meshes of {', '.join(without_mesh)}; train longer, or export")
