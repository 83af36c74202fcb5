"""What the studio does for people: avatars drawn, changed and handed out; `rodin.studio.routes` speaks HTTP."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from rodin.avatars.avatar import Avatar
from rodin.avatars.drawing import Sampling
from rodin.avatars.pipeline import RodinPipeline
from rodin.avatars.portrait import Portrait
from rodin.avatars.prompt_meaning import check_prompt
from rodin.avatars.seeds import LARGEST_SEED
from rodin.avatars.step import Step
from rodin.avatars.web_file import web_bytes
from rodin.camera import camera_at
from rodin.errors import UserError
from rodin.images import over, parse_colour, to_bytes
from rodin.studio.files import FileOptions, Format, steps_of, suffix_of, write_file
from rodin.studio.history import History, Record
from rodin.studio.jobs import Job, Queue
from rodin.studio.limits import Limits
from rodin.studio.portraits import Portraits
from rodin.studio.understanding import LITERAL, read_prompt

PREVIEW_SIZE = 128  # pixels of an avatar that is being drawn
DRAFT = Sampling(steps=4, upsampling_steps=1)  # of a strip of which one will be drawn again
TITLE = "An avatar"

log = logging.getLogger("rodin.studio")

Draw = Callable[[Callable[[Step], None]], list[Avatar]]
FactsOf = Callable[[Avatar], Mapping[str, Any]]


class Studio:
    """A model, the people's avatars and portraits, and the queue of what they asked for.

    Args:
        folder: where all of it is kept.

    Raises:
        UserError: the folder cannot be used.
    """

    def __init__(self, pipe: RodinPipeline, folder: Path, limits: Limits) -> None:
        self.pipe, self.limits, self._folder = pipe, limits, folder
        self.history = History(folder, limits.avatars)
        self.portraits = Portraits(folder / "portraits", limits.portraits, limits.upload_pixels)
        self.queue = Queue(limits.queue, limits.queue_each, limits.jobs_kept, self.say)
        self._files = folder / "files"
        self._files.mkdir(exist_ok=True, mode=0o700)
        self._making: dict[tuple[str, Path], Job] = {}
        self._lock = threading.Lock()

    def warm_up(self) -> None:
        """Load what the first person would wait for."""
        self.pipe(sampling=Sampling(steps=1, upsampling_steps=1))[0].portrait(16)
        _ = self.pipe.encoder

    def say(self, error: UserError) -> str:
        """What people are told of an error, in a line: where the studio keeps its files is not for them."""
        line = " ".join(str(error).split())
        shown = re.sub(re.escape(str(self._folder)) + r"[^\s:;,)]*", "the studio's folder", line)
        if shown != line:
            log.warning("%s", line)
        return shown

    def close(self) -> None:
        """Give up what is in progress, and let another studio use the folder."""
        self.queue.close()
        self.history.close()

    # ---- drawing

    def draw_prompt(
        self, person: str, prompt: str, *, count: int, seed: int, sampling: Sampling, literal: bool = False
    ) -> Job:
        """Draw avatars for words."""
        check_prompt(prompt)
        if not literal and self.pipe.understands:
            self.pipe.understand(prompt, seed)
        elif not self.pipe.knows(prompt):
            raise UserError(f"prompt: {prompt!r} has no word that the model knows; say it in other words")

        def draw(report: Callable[[Step], None]) -> list[Avatar]:
            return self.pipe(
                prompt, count=count, seed=seed, sampling=sampling, literal=literal, callback_on_step_end=report
            )

        return self._put(person, "prompt", draw, self._read, count=count, sampling=sampling)

    def draw_portrait(
        self, person: str, portrait: Portrait, *, count: int, seed: int, sampling: Sampling, refine: int
    ) -> Job:
        """Draw avatars that follow a portrait."""

        def draw(report: Callable[[Step], None]) -> list[Avatar]:
            return self.pipe(
                image=portrait, count=count, seed=seed, sampling=sampling, refine=refine, callback_on_step_end=report
            )

        return self._put(person, "portrait", draw, count=count, sampling=sampling, more=2 * refine)

    def surprise(self, person: str, *, count: int, seed: int, sampling: Sampling) -> Job:
        """Draw avatars from nothing."""

        def draw(report: Callable[[Step], None]) -> list[Avatar]:
            return self.pipe(count=count, seed=seed, sampling=sampling, callback_on_step_end=report)

        return self._put(person, "surprise", draw, count=count, sampling=sampling)

    def vary(self, person: str, record: Record, *, count: int, seed: int, sampling: Sampling) -> Job:
        """Draw the same person with other noise."""
        avatar = self._own(record)

        def draw(report: Callable[[Step], None]) -> list[Avatar]:
            return self.pipe(vary=avatar, count=count, seed=seed, sampling=sampling, callback_on_step_end=report)

        return self._put(person, "vary", draw, parent=record, count=count, sampling=sampling)

    def again(self, person: str, record: Record, *, sampling: Sampling) -> Job:
        """Draw the same avatar in other steps."""
        avatar = self._own(record)

        def draw(report: Callable[[Step], None]) -> list[Avatar]:
            return [self.pipe.redraw(avatar, sampling, report)]

        return self._put(
            person,
            "again",
            draw,
            self._as(record),
            parent=record,
            sampling=sampling,
            draws=1 + bool(avatar.drawing.refine),
        )

    def mix(self, person: str, first: Record, second: Record, part: float) -> Job:
        """Draw the avatar between two others."""
        ends = self._own(first), self._own(second)

        def draw(report: Callable[[Step], None]) -> list[Avatar]:
            return self.pipe.mix(*ends, [part], report)

        return self._put(
            person,
            "mix",
            draw,
            parent=first,
            edit=f"mixed with another, {round(100 * part)} %",
            sampling=ends[0].drawing.sampling,
            draws=2,
        )

    def edit(
        self,
        person: str,
        record: Record,
        *,
        prompt: str | None,
        colours: Mapping[str, str],
        strength: float | None,
    ) -> Job:
        """Change an avatar by words, by colours, or by both; colours alone are done when this returns."""
        avatar = self._own(record)
        parsed = parsed_colours(colours)
        if prompt is None:

            def recolour(job: Job) -> None:
                job.avatars.append(self.recolour(person, record, colours).id)

            job = Job("colours", person, recolour)
            self.queue.do_now(job)
            return job
        check_prompt(prompt)
        if self.pipe.understands:
            self.pipe.understand(prompt)
        if parsed:
            avatar.recoloured(parsed)  # what is wrong with them is said before anything is drawn

        def draw(report: Callable[[Step], None]) -> list[Avatar]:
            return [
                self.pipe.edit(avatar, prompt, colours=parsed or None, strength=strength, callback_on_step_end=report)
            ]

        words = "; ".join(filter(None, (prompt, _said(colours))))
        facts = {**self._as(record)(avatar), "understood": self._line(prompt)}
        return self._put(
            person,
            "edit",
            draw,
            lambda _: facts,
            parent=record,
            edit=words,
            sampling=avatar.drawing.sampling,
            draws=1 + bool(avatar.drawing.refine),
        )

    def recolour(self, person: str, record: Record, colours: Mapping[str, str]) -> Record:
        """The avatar in other colours, as a new one.

        Raises:
            UserError: a colour or its material is wrong, or the avatar has none.
        """
        self._check_room()
        parsed = parsed_colours(colours)
        avatar = self.history.avatar(record.id).recoloured(parsed)
        return self.history.add(
            person,
            avatar,
            {**self._as(record)(avatar), "kind": "colours", "parent": record.id, "edit": _said(colours)},
        )

    def _put(
        self,
        person: str,
        kind: str,
        draw: Draw,
        facts_of: FactsOf | None = None,
        *,
        sampling: Sampling,
        parent: Record | None = None,
        edit: str | None = None,
        count: int = 1,
        draws: int | None = None,
        more: int = 0,
    ) -> Job:
        """Let a drawing wait for its turn.

        Args:
            draws: how often an avatar is drawn for it; `count` times if None.
            more: steps beside those of the sampling.
        """
        self._check_room()
        self.pipe.check_numbers(count, 0, 0, sampling)

        def work(job: Job) -> None:
            job.advance("latent", step=False)
            avatars = draw(lambda step: self._show(job, step, count))
            job.advance("picture", step=False)
            for avatar in avatars:
                facts = dict(facts_of(avatar)) if facts_of is not None else _UNREAD
                own = {"kind": kind, "parent": None if parent is None else parent.id, "edit": edit}
                job.avatars.append(self.history.add(person, avatar, {**facts, **own}).id)

        rounds = 1 if draws is None else draws
        steps = rounds * sampling.steps + (count if draws is None else draws) * sampling.upsampling_steps + more
        job = Job(kind, person, work, steps=steps)
        self.queue.put(job)
        return job

    def _show(self, job: Job, step: Step, count: int) -> None:
        """Tell of a step, with a picture of what there is."""
        if job.unwanted:
            job.advance(step.stage)
        views = self.pipe.preview(step, PREVIEW_SIZE)[:count]
        job.advance(step.stage, preview=png_bytes(torch.cat(views, dim=1)) if views else None)

    def _check_room(self) -> None:
        if self.history.full:
            raise UserError(f"the history is full ({self.limits.avatars} avatars); delete some")

    def _own(self, record: Record) -> Avatar:
        """An avatar that this model has drawn.

        Raises:
            UserError: another has, or its file is damaged.
        """
        avatar = self.history.avatar(record.id)
        if avatar.model_hash != self.pipe.model_hash:
            raise UserError("avatar: another model drew it; start the studio with that one, or draw a new avatar")
        return avatar

    # ---- what is noted

    def _read(self, avatar: Avatar) -> Mapping[str, Any]:
        """What was made of the words an avatar was drawn for."""
        drawing = avatar.drawing
        if drawing.literal or not self.pipe.understands:
            return {"understood": LITERAL, "drawn": {}, "unread": self.pipe.unread(drawing.prompt)}
        found = self.pipe.understand(drawing.prompt, drawing.seed)
        return {
            "understood": found.understanding.line(),
            "drawn": found.drawn,
            "unread": found.understanding.unread,
        }

    def _as(self, record: Record) -> FactsOf:
        return lambda _: {"understood": record.understood, "drawn": record.drawn, "unread": record.unread}

    def _line(self, prompt: str) -> str:
        return str(read_prompt(self.pipe, prompt, 0)["line"])

    # ---- files

    def picture(
        self, record: Record, size: int, azimuth: float, elevation: float, background: tuple[float, float, float] | None
    ) -> bytes:
        """A view of an avatar as PNG, transparent where no background is given."""
        seen = self.history.avatar(record.id).render(camera_at(azimuth, elevation, size=size))
        if background is not None:
            seen = over(seen, seen.new_tensor(background))
        return png_bytes(seen)

    def web_file(self, record: Record) -> bytes:
        """An avatar for the viewer."""
        return web_bytes(self.history.avatar(record.id), record.prompt or TITLE)

    def file(self, record: Record, kind: Format, options: FileOptions) -> Path:
        """Where an avatar's file in a format lies once it is made."""
        said = json.dumps([kind, asdict(options)])
        return self._files / f"{record.id}-{hashlib.sha256(said.encode()).hexdigest()[:16]}.{suffix_of(kind)}"

    def make_file(self, person: str, record: Record, kind: Format, options: FileOptions, url: str) -> Job:
        """Make an avatar's file in a format, unless it is there or being made.

        Args:
            url: from which it can be fetched then.
        """
        options.check(kind)
        path = self.file(record, kind, options)
        with self._lock:
            running = self._making.get((person, path))
            if running is not None and not running.over and not running.unwanted:
                return running

            def work(job: Job) -> None:
                job.advance("picture", step=False)
                if not path.is_file():
                    write_file(path, self.history.avatar(record.id), kind, options, lambda: job.advance("picture"))
                    self._forget_files(path)
                job.step, job.file = job.steps, url

            job = Job("file", person, work, steps=steps_of(kind) + 1)
            if path.is_file():
                path.touch()
                self.queue.do_now(job)
            else:
                self.queue.put(job)
                self._making = {key: one for key, one in self._making.items() if not one.over}
                self._making[person, path] = job
            return job

    def remove(self, record: Record) -> None:
        """Delete an avatar, and what was made of it."""
        self.history.remove(record.id)
        for path in self._files.glob(f"{record.id}-*"):
            path.unlink(missing_ok=True)

    def _forget_files(self, newest: Path) -> None:
        """Delete the files that nobody has fetched for longest, so that all together stay within the limit."""
        room = self.limits.file_bytes
        for path in sorted(self._files.iterdir(), key=lambda one: -one.stat().st_mtime):
            room -= path.stat().st_size
            if room < 0 and path != newest:
                path.unlink()


_UNREAD: dict[str, Any] = {"understood": "", "drawn": {}, "unread": ()}


def new_seed() -> int:
    """One that nobody chose."""
    return secrets.randbelow(LARGEST_SEED // 2)


def chosen_sampling(base: Sampling, chosen: Mapping[str, Any]) -> Sampling:
    """A sampling with some numbers changed."""
    return replace(base, **chosen)


def parsed_colours(colours: Mapping[str, str]) -> dict[str, tuple[float, float, float]]:
    """Colours by material, of #rrggbb by material."""
    return {name: parse_colour(colour) for name, colour in colours.items()}


def png_bytes(picture: Tensor) -> bytes:
    """A picture [H, W, 3 or 4] in [0, 1] as PNG."""
    content = io.BytesIO()
    Image.fromarray(to_bytes(picture).numpy()).save(content, "PNG", compress_level=4)
    return content.getvalue()


def _said(colours: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {colour}" for name, colour in colours.items())
