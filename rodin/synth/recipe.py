"""The recipe: a seed becomes the words and numbers that describe one avatar. Pure numpy; no geometry here.

Subject `index` of seed `seed` draws from its own generator, so its recipe depends neither on how many subjects are made
nor on which worker makes them. The order of the draws is part of the format: `VERSION` changes when a draw changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VERSION = "1"

#: Colours by their caption word, as sRGB.
SKIN_TONES = {
    "pale": "#f3d3c1",
    "fair": "#eec0a4",
    "light": "#e3ac88",
    "olive": "#cf9c6c",
    "tan": "#bd8355",
    "brown": "#94603c",
    "dark brown": "#754a2f",
    "deep brown": "#583626",
}
HAIR_COLORS = {
    "black": "#17130f",
    "dark brown": "#36221a",
    "brown": "#5a3a25",
    "chestnut": "#6f3820",
    "auburn": "#7d3018",
    "ginger": "#b4551f",
    "dark blond": "#9c7443",
    "blond": "#cfa15b",
    "platinum blond": "#e6d3a8",
    "grey": "#8d8b88",
    "white": "#dedbd4",
    "pink": "#dc6a9c",
    "blue": "#2f5fb4",
    "green": "#2d8a5b",
    "purple": "#6f3c9c",
    "red": "#a81a1c",
}
DYED = ("pink", "blue", "green", "purple", "red")
EYE_COLORS = {
    "dark brown": "#3a2013",
    "brown": "#6b3d1c",
    "amber": "#a8681d",
    "hazel": "#80662b",
    "green": "#4f8a45",
    "blue": "#3f7fbf",
    "grey": "#7c8d98",
}
CLOTH_COLORS = {
    "red": "#b3262a",
    "burgundy": "#6a1a2b",
    "orange": "#d9702a",
    "mustard": "#c9952c",
    "yellow": "#e6c648",
    "green": "#3d7f4c",
    "olive": "#676c38",
    "mint": "#98cdb2",
    "teal": "#23787f",
    "sky blue": "#7fb2dd",
    "blue": "#2c5cae",
    "navy": "#22304f",
    "purple": "#623a86",
    "lilac": "#b69bd0",
    "pink": "#dd8fa6",
    "white": "#e9e7e1",
    "cream": "#e4d4b2",
    "beige": "#c4a983",
    "brown": "#6b4830",
    "grey": "#8c8f93",
    "charcoal": "#3c3f44",
    "black": "#202124",
}
FRAME_COLORS = {"black": "#17171a", "brown": "#5a3722", "gold": "#c79a45", "silver": "#a9adb3", "red": "#9c2026"}

FACE_SHAPES = ("oval", "round", "square", "heart-shaped", "long", "diamond-shaped")
EXPRESSIONS = ("neutral", "smiling", "grinning", "frowning", "sad", "surprised")
TOPS = ("crew-neck sweater", "T-shirt", "V-neck sweater", "turtleneck", "hoodie", "collared shirt")
HATS = ("beanie", "baseball cap", "fedora", "sun hat")
GLASSES = ("round glasses", "square glasses", "cat-eye glasses", "sunglasses")
BEARDS = ("stubble", "full beard", "moustache", "goatee")

MALE_HAIR = {
    "bald": 0.09,
    "buzz cut": 0.11,
    "short": 0.19,
    "side-parted": 0.15,
    "quiff": 0.12,
    "curly": 0.12,
    "afro": 0.05,
    "mohawk": 0.03,
    "long straight": 0.04,
    "long wavy": 0.05,
    "bun": 0.05,
}
FEMALE_HAIR = {
    "pixie cut": 0.10,
    "curly": 0.09,
    "afro": 0.06,
    "bob": 0.16,
    "long straight": 0.14,
    "long wavy": 0.15,
    "long curly": 0.07,
    "ponytail": 0.10,
    "bun": 0.07,
    "braids": 0.06,
    "bald": 0.01,
    "buzz cut": 0.02,
}
#: Styles that stand too high or too far back for any hat.
NO_HAT = ("quiff", "mohawk", "bun", "ponytail", "afro")
#: Styles under which the ears, and so earrings, show.
SHOWS_EARS = ("bald", "buzz cut", "pixie cut", "ponytail", "bun", "braids")
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

    def generator(self) -> np.random.Generator:
        """A generator for the geometry's own scatter (strand roots, curls), independent of the recipe's draws."""
        return np.random.default_rng([self.seed, self.index, 1])

    def attributes(self) -> dict[str, object]:
        """The recipe as plain words and numbers for transforms.json."""
        words = {
            name: getattr(self, name)
            for name in AvatarRecipe.__dataclass_fields__
            if name not in ("seed", "index", "traits")
        }
        return {**words, **{name: getattr(self.traits, name) for name in Traits.__dataclass_fields__}}


def _pick(rng: np.random.Generator, weights: dict[str, float]) -> str:
    names = list(weights)
    share = np.array([weights[name] for name in names])
    return names[int(rng.choice(len(names), p=share / share.sum()))]


def _mix(a: str, b: str, share: float) -> str:
    """The sRGB hex colour between two others."""
    pairs = [(int(a[i : i + 2], 16), int(b[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(x + (y - x) * share):02x}" for x, y in pairs)


def _traits(rng: np.random.Generator, sex: str) -> Traits:
    scores = np.clip(rng.normal(0.0, 1.0, 13), -2.0, 2.0).round(3)
    female = 1.0 if sex == "woman" else 0.0
    shift = {"lip_fullness": 0.5 * female, "eye_size": 0.4 * female, "brow_thickness": 0.5 - 0.9 * female}
    values = dict(zip(Traits.__dataclass_fields__, scores.tolist(), strict=True))
    return Traits(**{name: round(float(np.clip(v + shift.get(name, 0.0), -2, 2)), 3) for name, v in values.items()})


def _skin(rng: np.random.Generator) -> tuple[str, str]:
    names = list(SKIN_TONES)
    tone = int(rng.integers(len(names)))
    toward = int(np.clip(tone + rng.choice([-1, 1]), 0, len(names) - 1))
    # At most a third of the way to the neighbour: the word stays true.
    return names[tone], _mix(SKIN_TONES[names[tone]], SKIN_TONES[names[toward]], float(rng.uniform(0, 0.33)))


def _hair_color(rng: np.random.Generator, age: str, skin: str) -> str:
    dark_skin = list(SKIN_TONES).index(skin) >= 5
    natural = {"black": 3.0, "dark brown": 3.0, "brown": 2.0, "chestnut": 1.0, "auburn": 0.8, "blond": 0.5}
    if not dark_skin:
        natural |= {"black": 1.5, "blond": 2.0, "dark blond": 1.5, "platinum blond": 0.7, "ginger": 1.3}
    grey = {"young": 0.01, "middle-aged": 0.2, "elderly": 0.85}[age]
    dyed = {"young": 0.14, "middle-aged": 0.05, "elderly": 0.03}[age]
    draw = rng.random()
    if draw < grey:
        return _pick(rng, {"grey": 0.55, "white": 0.45})
    if draw < grey + dyed:
        return _pick(rng, dict.fromkeys(DYED, 1.0))
    return _pick(rng, natural)


def _eyes(rng: np.random.Generator, skin: str) -> str:
    if list(SKIN_TONES).index(skin) >= 4:
        return _pick(rng, {"dark brown": 4, "brown": 4, "amber": 1, "hazel": 1, "green": 0.5})
    return _pick(rng, {"dark brown": 1, "brown": 2, "amber": 0.7, "hazel": 1.3, "green": 1.5, "blue": 2.5, "grey": 1})


def make_recipe(seed: int, index: int) -> AvatarRecipe:
    """The recipe of subject `index` in the set of `seed`; every draw is made whether or not it is used."""
    rng = np.random.default_rng([seed, index, 0])
    sex = str(rng.choice(["man", "woman"]))
    age = _pick(rng, {"young": 0.5, "middle-aged": 0.28, "elderly": 0.22})
    face_shape = str(rng.choice(FACE_SHAPES))
    skin, skin_color = _skin(rng)
    traits = _traits(rng, sex)
    eyes = _eyes(rng, skin)
    hair = _pick(rng, MALE_HAIR if sex == "man" else FEMALE_HAIR)
    hair_color = _hair_color(rng, age, skin)
    fringe = bool(rng.random() < 0.35) and hair in FRINGE_STYLES
    beard = _pick(rng, {"none": 0.45, "stubble": 0.15, "full beard": 0.2, "moustache": 0.1, "goatee": 0.1})
    glasses = _pick(rng, {"none": 0.66, "round glasses": 0.1, "square glasses": 0.1, "cat-eye glasses": 0.05,
                          "sunglasses": 0.09})  # fmt: skip
    glasses_color = str(rng.choice(list(FRAME_COLORS)))
    hat = _pick(rng, {"none": 0.8, "beanie": 0.07, "baseball cap": 0.05, "fedora": 0.04, "sun hat": 0.04})
    hat_color, top_color = (str(rng.choice(list(CLOTH_COLORS))) for _ in range(2))
    top = str(rng.choice(TOPS))
    expression = _pick(rng, {"neutral": 0.26, "smiling": 0.3, "grinning": 0.16, "frowning": 0.1, "sad": 0.07,
                             "surprised": 0.11})  # fmt: skip
    freckles = bool(rng.random() < 0.12) and skin in ("pale", "fair", "light")
    earrings = bool(rng.random() < 0.4) and sex == "woman"
    earrings = earrings and hair in SHOWS_EARS
    if hair in NO_HAT:
        hat = "none"
    if sex == "woman":
        beard = "none"
    elif glasses == "cat-eye glasses":
        glasses = "square glasses"
    if hat != "none":
        fringe = False
    return AvatarRecipe(
        seed=seed, index=index, sex=sex, age=age, face_shape=face_shape, skin=skin, skin_color=skin_color,
        traits=traits, eyes=eyes, hair=hair, hair_color=hair_color, fringe=fringe, beard=beard, glasses=glasses,
        glasses_color=glasses_color, hat=hat, hat_color=hat_color, top=top, top_color=top_color,
        expression=expression, freckles=freckles, earrings=earrings,
    )  # fmt: skip
