"""From words, a portrait or nothing to latents, and so to avatars; and avatars changed by words (Rodin, Fig. 2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from rodin import framing
from rodin.avatars.avatar import Avatar
from rodin.avatars.colour_words import coloured_materials
from rodin.avatars.description import Describer
from rodin.avatars.drawer import Drawer
from rodin.avatars.drawing import Drawing, Sampling
from rodin.avatars.edited_colours import colours_said, edited_palette, moved_palette
from rodin.avatars.inversion import GUIDING_DETAIL, Inversion, guided_steps
from rodin.avatars.photo import Photo, frame_photo
from rodin.avatars.portrait import Portrait, read_portrait
from rodin.avatars.pose import search_pose
from rodin.avatars.prompt_meaning import PromptMeaning, check_prompt
from rodin.avatars.seeds import Stream, seeded
from rodin.avatars.step import Callback, Step
from rodin.avatars.vocabulary import Translator
from rodin.errors import UserError
from rodin.models.clip import Encoder
from rodin.models.folder import Model, load_model, save_model
from rodin.models.index import shipped_folder
from rodin.models.perceptual import load_features
from rodin.models.prior import sample_latents
from rodin.models.sentence import SentenceEncoder
from rodin.models.text import TextCondition, TextReader
from rodin.prompts.completion import Completion, kinds_absent
from rodin.prompts.understanding import Understanding
from rodin.synth.recipe import AvatarRecipe

PRIOR_STEPS = 20
EDIT_STRENGTH = 1.25  # how far z goes where nothing else is said: what is asked for is then there, see docs/training.md
EDIT_DRAWS = 16  # of the prior, whose means are compared
# At a guidance of 1 these draws lie so near together that clothes and ages hardly change.
EDIT_SAMPLING = Sampling(prior_guidance_scale=4.0, candidates=1)
#: What the base model draws fainter than its latents have it: a face's shape, which moves few texels.
FAINT = ("sex", "age", "beard")
DEFAULT_SAMPLING = Sampling()
FRONTAL_POSE = (framing.AZIMUTH_DEG, framing.ELEVATION_DEG)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Change:
    """What words change of an avatar.

    Args:
        direction: [512], from what it has to what is asked for.
        said: what was understood of the words; nothing where the model reads them as they stand.
        target: the avatar as it is to be; None where words are not understood.
    """

    direction: Tensor
    said: Understanding
    target: AvatarRecipe | None


class RodinPipeline(Drawer):
    """Draws avatars.

        pipe = RodinPipeline.from_pretrained()                # or of a model folder
        avatar = pipe("an old man with a white beard")[0]     # from words
        avatar = pipe(image="portrait.png", refine=50)[0]     # from a portrait
        avatar = pipe(seed=3)[0]                              # from nothing
        hat = pipe.edit(avatar, "a red hat and no beard")
        print(pipe.understand("an old man with a white beard", seed=0).line())

    An avatar depends on the model, its condition and its seed alone, whatever is drawn beside it. How the networks are
    sampled is one value: `pipe("a bald man", sampling=Sampling(steps=20, sampler="ddim"))`.

    It looks like diffusers' pipelines but is none: their class would read all parts at once, CLIP too, and is itself
    three seconds of imports.
    """

    def __init__(self, model: Model, *, sentences: bool = False) -> None:
        """Make a pipeline of a model.

        Args:
            sentences: words that are not known are translated to the nearest known ones by a general sentence encoder;
                wants the extra `words`. Prompts of known words alone draw the same avatars as without.

        Raises:
            UserError: the model reads by its encoder's text tower, which takes no translation.
        """
        super().__init__(model)
        if sentences and model.words is None:
            raise UserError(
                "sentences: this model reads prompts by its encoder's text tower, and translates nothing; leave it out"
            )
        self.sentences = sentences
        encoder = SentenceEncoder() if sentences else None
        self.words = model.words.translating(encoder) if encoder and model.words else model.words
        self._meaning = PromptMeaning(model.words, Translator(encoder) if encoder else None)
        self.prior, self.prior_diffusion = model.prior, model.prior_diffusion

    @classmethod
    def from_pretrained(cls, folder: str | Path | None = None, *, sentences: bool = False) -> RodinPipeline:
        """Read a model folder, or the model that comes with the package.

        Args:
            sentences: see the constructor.

        Raises:
            UserError: it is missing, of another schema, or a part of it is missing or damaged.
        """
        return cls(load_model(shipped_folder() if folder is None else Path(folder)), sentences=sentences)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a model folder, whole or not at all."""
        save_model(replace(self.model, scheduler=self.scheduler), Path(folder))

    @cached_property
    def encoder(self) -> Encoder:
        """Frozen CLIP; read when it is first needed, for words or a picture."""
        return self.model.encoder().to(self.device)

    @property
    def text_reader(self) -> TextReader:
        """What reads prompts: the known phrases, or the encoder's text tower."""
        return self.encoder if self.words is None else self.words.to(self.device)

    def to(self, device: torch.device | str) -> RodinPipeline:
        """Move all parts, and return the pipeline. Avatars come out on the CPU wherever they were drawn."""
        parts = [self.prior, self.base, self.upsampler, self.statistics, self.decoder, self.base_statistics]
        for part in filter(None, [*parts, self.palette]):
            part.to(device)
        if "encoder" in self.__dict__:  # else it goes there when it is read
            self.encoder.to(device)
        return self

    # ---- drawing

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | None = None,
        image: Portrait | Tensor | Image.Image | str | Path | None = None,
        *,
        vary: Avatar | None = None,
        count: int = 1,
        seed: int = 0,
        sampling: Sampling = DEFAULT_SAMPLING,
        refine: int = 0,
        pose: tuple[float, float] = FRONTAL_POSE,
        literal: bool = False,
        callback_on_step_end: Callback | None = None,
    ) -> list[Avatar]:
        """Draw avatars from one of: a prompt, a portrait, another avatar's latent, nothing.

        Args:
            prompt: what they shall look like; each is drawn with its own latent from the prior. What it leaves open is
                drawn by the seed; `understand` says what.
            image: a portrait as [H, W, 3 or 4] in [0, 1], a PIL image, a file, or one that `read_portrait` has read.
            vary: the avatar whose latent they share; only the noise is new.
            count: how many avatars.
            seed: avatar k is drawn with seed + k, whatever is drawn beside it.
            sampling: of the networks.
            refine: gradient steps towards the portrait while sampling, and as many in the fit that follows; 0 = what
                the encoder makes of it.
            pose: azimuth and elevation in degrees from where the portrait was taken, for `refine`.
            literal: the model reads the prompt's own words, as they stand: nothing is understood, nothing that they
                leave open is drawn, and "without glasses" has the word glasses in it; see `understand`.
            callback_on_step_end: called with each `Step`; `preview` shows what there is so far.

        Raises:
            UserError: an argument is out of range, two conditions are given, the image cannot be read, or the avatar to
                vary is another model's.
        """
        if sum(given is not None for given in (prompt, image, vary)) > 1:
            raise UserError("prompt, image, vary: more than one is given; choose one, and edit what it draws")
        self.check_numbers(count, seed, refine, sampling)
        if refine and image is None:
            raise UserError(f"refine: {refine} steps towards no portrait; give image, or 0 steps")
        if pose != FRONTAL_POSE and not refine:
            raise UserError(f"pose: {pose} is used by refine alone; give steps to refine, or leave it out")
        if not all(map(math.isfinite, pose)):
            raise UserError(f"pose: {pose}; choose azimuth and elevation in degrees")
        seeds = [seed + k for k in range(count)]
        portrait, palettes = None, None
        if vary is not None:
            self._check_own(vary)
            latents, palettes = vary.latent.expand(count, -1), count * [vary.palette]
        elif image is not None:
            portrait = image if isinstance(image, Portrait) else read_portrait(image)
            latents = self.encoder.encode_images(portrait.pixels[None].to(self.device)).cpu().expand(count, -1)
        else:
            drawn = self._drawn(prompt, seeds, literal)
            latents = self._latents_of(prompt, drawn, seeds, sampling)
            palettes = self._palettes(latents, [colours_said(one.recipe) for one in drawn])
        sampling = replace(sampling, sampler=sampling.sampler or self.scheduler.kind)
        drawings = [
            Drawing(seed=one, prompt=prompt or "", literal=literal, sampling=sampling, refine=refine) for one in seeds
        ]
        noise = self._base_noise(seeds, sampling.temperature)
        if refine and portrait is not None:
            sides = GUIDING_DETAIL * self.base.config.size, self.statistics.config.height
            small, photo = (frame_photo(portrait.pixels, side, *pose) for side in sides)
            return [
                self._invert(
                    small, photo, latents[k], noise[k : k + 1], drawing=drawings[k], callback=callback_on_step_end
                )
                for k in range(count)
            ]
        return self._draw(latents, noise, drawings, callback_on_step_end, palettes)

    def draw_latents(
        self, prompt: str | None, seeds: list[int], sampling: Sampling = DEFAULT_SAMPLING, *, literal: bool = False
    ) -> Tensor:
        """Latents [B, 512] of unit length from the prior, one a seed; from nothing without a prompt.

        Args:
            literal: see `__call__`.

        Raises:
            UserError: the prompt is empty, too long, or nothing of it is understood.
        """
        return self._latents_of(prompt, self._drawn(prompt, seeds, literal), seeds, sampling)

    def _latents_of(
        self, prompt: str | None, drawn: Sequence[Completion], seeds: list[int], sampling: Sampling
    ) -> Tensor:
        """Latents [B, 512] of what is drawn for each seed, else of the prompt as it stands, else of nothing."""
        if prompt is None:
            return self._sample_latents(None, seeds, sampling)
        if not drawn:
            check_prompt(prompt)
            return self._sample_latents([prompt] * len(seeds), seeds, sampling)
        texts = [one.caption(absences=self._meaning.says_absences) for one in drawn]
        return self._sample_latents(texts, seeds, sampling, [one.recipe for one in drawn])

    def _drawn(self, prompt: str | None, seeds: list[int], literal: bool) -> list[Completion]:
        """What is drawn for a prompt and each seed; nothing where it is read as it stands."""
        if prompt is None or literal or not self.understands:
            return []
        return [self.understand(prompt, seed) for seed in seeds]

    def _sample_latents(
        self,
        texts: list[str] | None,
        seeds: list[int],
        sampling: Sampling,
        recipes: Sequence[AvatarRecipe] | None = None,
    ) -> Tensor:
        """Latents [B, 512] for a text each, read as it stands, or for none.

        Args:
            recipes: what the texts are captions of.
        """
        text: TextCondition | None = None
        if texts is not None and recipes is not None and self.words is not None:
            missing = [() if self._meaning.says_absences else kinds_absent(one) for one in recipes]
            text = self.words.to(self.device).read(texts, missing)
        elif texts is not None:
            text = self.text_reader.read(texts)
        if text is not None and texts is not None and not text.mask.any(dim=1).all():
            raise UserError(f"prompt: {texts[0]!r} has no word that the model knows; say it in other words")
        drawn = sample_latents(
            self.prior,
            self.prior_diffusion,
            text,
            seeded(seeds, Stream.PRIOR),
            guidance_scale=1.0 if text is None else sampling.prior_guidance_scale,
            steps=PRIOR_STEPS,
            candidates=sampling.candidates,
        )
        if recipes is not None and sampling.emphasis:
            faint = {one: self._faint(one) for one in dict.fromkeys(recipes)}
            drawn = drawn + sampling.emphasis * torch.stack([faint[one] for one in recipes]).to(drawn)
            drawn = torch.nn.functional.normalize(drawn, dim=-1)
        return drawn.cpu()

    def _faint(self, recipe: AvatarRecipe) -> Tensor:
        """[D] what a recipe's sex, age and beard do to z."""
        return torch.stack([self._describer.effect(recipe, name) for name in FAINT]).sum(dim=0)

    # ---- what words mean

    @cached_property
    def _describer(self) -> Describer:
        """What turns recipes into latents and back; of a model that understands words."""
        assert self.words is not None
        return Describer(self.words, absences=self._meaning.says_absences)

    @property
    def understands(self) -> bool:
        """Whether the model was trained on the words of `rodin synth`. Prompts are then understood in their terms; any
        other model reads them as they stand."""
        return self._meaning.understands

    def understand(self, prompt: str, seed: int = 0) -> Completion:
        """What is drawn for a prompt and a seed: what was understood of the words, and what was drawn beside.

        Raises:
            UserError: the prompt is empty, too long, or nothing of it is understood; or the model reads prompts as they
                stand, see `understands`.
        """
        return self._meaning.complete(prompt, seed)

    def knows(self, prompt: str) -> bool:
        """Whether anything of a prompt is read; else it is refused."""
        if not self.understands:
            return bool(self.text_reader.read([prompt]).mask.any())
        return self._meaning.means_something(prompt)

    def unread(self, prompt: str) -> tuple[str, ...]:
        """The words of a prompt that mean nothing to the model; of a text tower nobody knows."""
        return self._meaning.unread(prompt)

    # ---- inversion

    @torch.enable_grad()
    def _invert(
        self,
        small: Photo,
        photo: Photo,
        latent: Tensor,
        noise: Tensor,
        drawing: Drawing,
        callback: Callback | None,
    ) -> Avatar:
        """The avatar of a latent [512] and x_T [1, 3, C, h, w], moved towards a photograph: while it is sampled towards
        the small one, after that towards the other."""
        free = self._sample_base(latent[None], noise, [drawing], self._palettes(latent[None]), callback)
        inversion = Inversion(
            base=self.base,
            config=self.diffusion,
            decoder=self.decoder,
            z=self._condition_of(latent[None]),
            free=self.base_statistics.denormalize(free)[0],
            features=load_features(self.encoder, None),
            generator=seeded([drawing.seed], Stream.STEPS)[0],
            colours=self._expected_colours(latent),
        )

        def report(_index: int, _loss: float) -> None:
            if callback is not None:
                callback(Step("inversion"))

        low = inversion.sample(
            self.base_statistics,
            small,
            noise,
            steps=guided_steps(drawing.refine, self.diffusion),
            guidance_scale=drawing.sampling.guidance_scale,
            progress=report,
        )
        enlarged = self._enlarge(low[None], latent[None], [drawing], callback)[0].to(self.device)
        planes = inversion.fit(enlarged, self.statistics, photo, steps=drawing.refine, progress=report)
        palettes = [inversion.palette(planes, photo)]
        return self._avatars(planes[None], latent[None], noise, [drawing], palettes=palettes)[0]

    def search_pose(self, portrait: Portrait, seed: int = 0) -> tuple[float, float, float]:
        """From where a portrait was taken, by comparing it with its avatar from many sides.

        Returns:
            azimuth and elevation in degrees, and the margin, see `rodin.avatars.pose.search_pose`: near 0 it is a
            guess.
        """
        avatar = self(image=portrait, seed=seed)[0]
        colours = self._expected_colours(avatar.latent)
        return search_pose(
            avatar.planes, avatar.decoder, portrait.pixels, colours=None if colours is None else colours.to("cpu")
        )

    # ---- from avatars to avatars

    @torch.no_grad()
    def edit(
        self,
        avatar: Avatar,
        prompt: str | None = None,
        *,
        colours: Mapping[str, Sequence[float]] | None = None,
        source_prompt: str | None = None,
        strength: float | None = None,
        callback_on_step_end: Callback | None = None,
    ) -> Avatar:
        """Change what the prompt names, and keep the rest: z is moved, the noise stays.

        A prompt that names colours alone, of materials that the avatar has, moves its palette alone: the person stays
        to the bit.

        The direction is the difference of two means of the prior: of the latents for two captions, which describe the
        avatar as its latent is read and differ in what the prompt names alone. Of a model that was not trained on the
        words of `rodin synth` they are the prompt's words, and `source_prompt` or nothing. (The paper moves CLIP's
        image latent by the difference of two text embeddings; images and texts lie apart in CLIP's space, and the prior
        is what maps between them.)

        Args:
            prompt: what shall be there or go, such as "red hair and no glasses"; None = colours alone change.
            colours: sRGB in [0, 1] by material, which are set after the words; see `Avatar.recoloured`.
            source_prompt: what is there now, such as "a man with glasses"; what of that the prompt does not name again
                goes.
            strength: how far to go; 0 draws the same avatar again, 1 is the whole difference, beyond 1 exaggerates,
                below 0 turns round. None is 1 for colours, and EDIT_STRENGTH for all else.
            callback_on_step_end: see `__call__`.

        Raises:
            UserError: there is nothing to change, a prompt is empty or too long, the strength is no number, a colour or
                its material is wrong, or the avatar is another model's.
        """
        if prompt is None and not colours:
            raise UserError("prompt, colours: nothing to change; give one of them")
        self._check_own(avatar)
        if strength is not None and not math.isfinite(strength):
            raise UserError(f"strength: {strength}; choose a number such as 1")
        edited = avatar
        if prompt is not None:
            edited = self._edit(avatar, prompt, source_prompt, strength, callback=callback_on_step_end)
        return edited.recoloured(colours) if colours else edited

    def _edit(
        self,
        avatar: Avatar,
        prompt: str,
        source_prompt: str | None,
        strength: float | None,
        *,
        callback: Callback | None,
    ) -> Avatar:
        named, shown = coloured_materials(prompt), avatar.materials_shown()
        change = self._change(avatar, prompt, source_prompt)
        drawing = self._said(avatar, prompt)
        if named and named <= shown:
            wanted = self._wanted_palette(avatar.latent + change.direction, change)
            assert avatar.palette is not None
            assert wanted is not None
            share = 1.0 if strength is None else strength
            return replace(
                avatar, palette=moved_palette(avatar.palette, wanted, dict.fromkeys(named, share)), drawing=drawing
            )
        strength = EDIT_STRENGTH if strength is None else strength
        latent = torch.nn.functional.normalize(avatar.latent + strength * change.direction, dim=-1)
        palette = self._moved_palette(avatar, latent)
        if palette is not None and change.target is not None:
            wanted = self._wanted_palette(latent, change)
            assert avatar.palette is not None
            assert wanted is not None
            palette = edited_palette(avatar.palette, palette, wanted, change.said, shown, strength)
        edited = self._draw(latent[None], avatar.noise[None], [drawing], callback, [palette])[0]
        return replace(edited, planes=edited.planes + self._beyond(avatar, avatar.drawing, callback))

    def _wanted_palette(self, latent: Tensor, change: _Change) -> Tensor | None:
        """The colours [K, 3] of a latent [512] that was moved by a change, and of the words that moved it."""
        said = [] if change.target is None else [colours_said(change.target)]
        return self._palettes(latent[None], said)[0]

    def _said(self, avatar: Avatar, prompt: str) -> Drawing:
        """How an avatar was drawn, and what was said of it since."""
        words = ", ".join(filter(None, (avatar.drawing.prompt, prompt)))
        return replace(avatar.drawing, prompt=words)

    def _change(self, avatar: Avatar, prompt: str, source_prompt: str | None) -> _Change:
        """What a prompt changes of an avatar: the difference of two means of the prior."""
        recipes: list[AvatarRecipe | None] = [None, None]
        texts: list[str | None] = [prompt, source_prompt]
        said = Understanding(prompt)
        if not self.understands:
            check_prompt(prompt)
        else:
            said = self._meaning.understand(prompt)
            if source_prompt is not None:
                said = said.beside(self._meaning.understand(source_prompt))
            source, target = self._describer.change(avatar.latent, said)
            recipes, texts = [target, source], [self._describer.caption(one) for one in (target, source)]
        seeds = list(range(EDIT_DRAWS))
        means = [
            self._sample_latents(
                None if text is None else [text] * EDIT_DRAWS,
                seeds,
                EDIT_SAMPLING,
                None if recipe is None else [recipe] * EDIT_DRAWS,
            ).mean(dim=0)
            for text, recipe in zip(texts, recipes, strict=True)
        ]
        return _Change(direction=means[0] - means[1], said=said, target=recipes[0])
