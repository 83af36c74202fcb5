"""The recipe: a seed becomes the words and numbers that describe one avatar. Pure numpy; no geometry here.

Subject `index` of seed `seed` draws from generators of its own, so its recipe depends neither on how many subjects are
made nor on which worker makes them. Each attribute has a stream to itself, so that a change of one leaves the others as
they were. What is drawn is part of the format: `VERSION` changes when a draw changes, here or in `rodin.synth.body`.

Attributes are named as published sets have them, hair_color among them; all else is spelt as in the rest of the code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

VERSION = "4"


class Stream(IntEnum):
    """What draws at random for a subject: each from numbers of its own, so that a change of one moves no other.

    A number is never used again for anything else: 0 and 1 drew all of a recipe and all of its hair up to version 3.
    """

    WORDS = 2
    CAMERAS = 3
    # Geometry that no word names.
    FACE = 4
    ANCESTRY = 5
    FRECKLES = 6
    PARTING = 7
    HAIR_STRANDS = 8
    FRINGE_STRANDS = 9
    BEARD_STRANDS = 10
    BROW_STRANDS = 11
    # The recipe's attributes.
    SEX = 20
    AGE = 21
    FACE_SHAPE = 22
    SKIN = 23
    EYES = 24
    HAIR = 25
    HAIR_COLOR = 26
    FRINGE = 27
    BEARD = 28
    GLASSES = 29
    GLASSES_COLOR = 30
    HAT = 31
    HAT_COLOR = 32
    TOP = 33
    TOP_COLOR = 34
    EXPRESSION = 35
    FRECKLED = 36
    EARRINGS = 37
    LIGHTING = 38
    # Its traits, named as the fields of `Traits` are.
    NOSE_LENGTH = 50
    NOSE_WIDTH = 51
    LIP_FULLNESS = 52
    MOUTH_WIDTH = 53
    EYE_SIZE = 54
    EYE_SPACING = 55
    EYE_TILT = 56
    BROW_THICKNESS = 57
    EAR_SIZE = 58
    CHEEK_FULLNESS = 59
    CHIN = 60
    WEIGHT = 61
    NECK_WIDTH = 62


def generator(seed: int, index: int, stream: Stream) -> np.random.Generator:
    """The numbers of one stream of subject `index` in the set of `seed`."""
    return np.random.default_rng([seed, index, int(stream)])


#: Colours by their caption word, as sRGB. Fewer and further apart than people's: a word should be readable off a
#: picture under every light, and a model that sees a thousand subjects should see each word a hundred times.
SKIN_TONES = {
    "pale": "#f3d3c1",
    "light": "#e3ac88",
    "tan": "#bd8355",
    "brown": "#885739",
    "dark": "#5a3927",
}
HAIR_COLOURS = {
    "black": "#17130f",
    "brown": "#5a3a25",
    "red": "#b04a1c",
    "blond": "#cfa15b",
    "grey": "#8d8b88",
    "white": "#e4e1da",
    "pink": "#dc6a9c",
    "blue": "#2f5fb4",
    "green": "#2d8a5b",
    "purple": "#6f3c9c",
}
NATURAL = ("black", "brown", "red", "blond", "grey", "white")
DYES = ("pink", "blue", "green", "purple")
EYE_COLOURS = {"brown": "#5b3319", "hazel": "#8a6a2c", "green": "#4f8a45", "blue": "#3f7fbf", "grey": "#7c8d98"}
CLOTH_COLOURS = {
    "red": "#b3262a",
    "orange": "#d9702a",
    "yellow": "#e6c648",
    "green": "#3d7f4c",
    "blue": "#2c5cae",
    "purple": "#623a86",
    "pink": "#e58fae",
    "white": "#e9e7e1",
    "grey": "#85888c",
    "black": "#202124",
    "brown": "#6b4830",
}
FRAME_COLOURS = {"black": "#17171a", "brown": "#5a3722", "gold": "#c79a45", "silver": "#a9adb3", "red": "#9c2026"}

SEXES = ("man", "woman")
AGES = ("child", "young", "elderly")
FACE_SHAPES = ("oval", "round", "square", "heart-shaped", "long", "diamond-shaped")
EXPRESSIONS = ("neutral", "smiling", "grinning", "frowning", "sad", "surprised")
TOPS = ("crew-neck sweater", "T-shirt", "V-neck sweater", "turtleneck", "hoodie", "collared shirt")
HAIR = ("bald", "buzz cut", "short", "quiff", "mohawk", "curly", "afro", "bob", "long straight", "long wavy",
        "ponytail", "bun", "braids")  # fmt: skip
HATS = ("beanie", "baseball cap", "fedora")
GLASSES = ("round glasses", "square glasses", "sunglasses")
BEARDS = ("full beard", "moustache", "chin beard")
LIGHTINGS = ("studio", "soft", "warm", "cool", "side")

#: Styles that stand too high or too far back for any hat.
NO_HAT = ("quiff", "mohawk", "bun", "ponytail", "afro")
#: Styles under which the ears, and so earrings, show.
SHOWS_EARS = ("bald", "buzz cut", "short", "quiff", "mohawk", "ponytail", "bun", "braids")
FRINGE_STYLES = ("bob", "long straight", "long wavy", "ponytail")


@dataclass(frozen=True, kw_only=True, slots=True)
class Traits:
    """Numbers of the head's shape, each a standard score: 0 is the mean, +-2 the visible extreme."""

    nose_length: float
    nose_width: float
    lip_fullness: float
    mouth_width: float
    eye_size: float
    eye_spacing: float
    eye_tilt: float
    brow_thickness: float
    ear_size: float
    cheek_fullness: float
    chin: float
    weight: float
    neck_width: float


@dataclass(frozen=True, kw_only=True, slots=True)
class AvatarRecipe:
    """Everything that is known of one avatar before its geometry; words are caption words."""

    seed: int
    index: int
    sex: str
    age: str
    face_shape: str
    skin: str
    skin_color: str
    traits: Traits
    eyes: str
    hair: str
    hair_color: str
    fringe: bool
    beard: str
    glasses: str
    glasses_color: str
    hat: str
    hat_color: str
    top: str
    top_color: str
    expression: str
    freckles: bool
    earrings: bool
    lighting: str

    def generator(self, stream: Stream) -> np.random.Generator:
        """The numbers of one of its streams."""
        return generator(self.seed, self.index, stream)

    def attributes(self) -> dict[str, object]:
        """The recipe as plain words and numbers for transforms.json."""
        words = {
            name: getattr(self, name)
            for name in AvatarRecipe.__dataclass_fields__
            if name not in ("seed", "index", "traits")
        }
        return {**words, **{name: getattr(self.traits, name) for name in Traits.__dataclass_fields__}}


def _one_of(rng: np.random.Generator, words: Sequence[str]) -> str:
    """Each word as likely as the others."""
    return words[int(rng.integers(len(words)))]


def _some(rng: np.random.Generator, share: float, words: Sequence[str]) -> str:
    """In `share` of the draws one of the words, else "none"."""
    word = _one_of(rng, words)
    return word if rng.random() < share else "none"


def _mix(a: str, b: str, share: float) -> str:
    """The sRGB hex colour between two others."""
    pairs = [(int(a[i : i + 2], 16), int(b[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(x + (y - x) * share):02x}" for x, y in pairs)


def _traits(draw: Callable[[Stream], np.random.Generator]) -> Traits:
    scores = {name: draw(Stream[name.upper()]).normal() for name in Traits.__dataclass_fields__}
    return Traits(**{name: round(float(np.clip(score, -2.0, 2.0)), 3) for name, score in scores.items()})


def _skin(rng: np.random.Generator) -> tuple[str, str]:
    names = list(SKIN_TONES)
    tone = int(rng.integers(len(names)))
    toward = int(np.clip(tone + rng.choice([-1, 1]), 0, len(names) - 1))
    # At most a quarter of the way to the neighbour: the word stays true.
    return names[tone], _mix(SKIN_TONES[names[tone]], SKIN_TONES[names[toward]], float(rng.uniform(0, 0.25)))


def _hair_color(rng: np.random.Generator) -> str:
    """Seven in ten have a natural colour."""
    natural = rng.random() < 0.7
    return _one_of(rng, NATURAL if natural else DYES)


def make_recipe(seed: int, index: int) -> AvatarRecipe:
    """The recipe of subject `index` in the set of `seed`; nothing is drawn from the stream of another attribute.

    Attributes are independent of each other but for what cannot be: only grown men have beards; a fringe, a hat or
    earrings go with some hair styles alone. Nobody's age or skin says anything about hair, eyes or face.
    """

    def draw(stream: Stream) -> np.random.Generator:
        return generator(seed, index, stream)

    sex, age = _one_of(draw(Stream.SEX), SEXES), _one_of(draw(Stream.AGE), AGES)
    skin, skin_color = _skin(draw(Stream.SKIN))
    hair = _one_of(draw(Stream.HAIR), HAIR)
    hat = "none" if hair in NO_HAT else _some(draw(Stream.HAT), 0.3, HATS)
    fringed = hair in FRINGE_STYLES and hat == "none"
    bearded = sex == "man" and age != "child"
    return AvatarRecipe(
        seed=seed,
        index=index,
        sex=sex,
        age=age,
        face_shape=_one_of(draw(Stream.FACE_SHAPE), FACE_SHAPES),
        skin=skin,
        skin_color=skin_color,
        traits=_traits(draw),
        eyes=_one_of(draw(Stream.EYES), tuple(EYE_COLOURS)),
        hair=hair,
        hair_color=_hair_color(draw(Stream.HAIR_COLOR)),
        fringe=fringed and bool(draw(Stream.FRINGE).random() < 0.4),
        beard=_some(draw(Stream.BEARD), 0.7, BEARDS) if bearded else "none",
        glasses=_some(draw(Stream.GLASSES), 0.45, GLASSES),
        glasses_color=_one_of(draw(Stream.GLASSES_COLOR), tuple(FRAME_COLOURS)),
        hat=hat,
        hat_color=_one_of(draw(Stream.HAT_COLOR), tuple(CLOTH_COLOURS)),
        top=_one_of(draw(Stream.TOP), TOPS),
        top_color=_one_of(draw(Stream.TOP_COLOR), tuple(CLOTH_COLOURS)),
        expression=_one_of(draw(Stream.EXPRESSION), EXPRESSIONS),
        freckles=bool(draw(Stream.FRECKLED).random() < 0.15),
        earrings=hair in SHOWS_EARS and bool(draw(Stream.EARRINGS).random() < 0.35),
        lighting=_one_of(draw(Stream.LIGHTING), LIGHTINGS),
    )
