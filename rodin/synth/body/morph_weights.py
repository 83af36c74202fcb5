"""From a recipe to the weights of a morph model's targets, by MakeHuman's names; unknown targets are left out."""

from __future__ import annotations

from rodin.synth.recipe import AvatarRecipe, Stream

#: Shares of the ages that the morph model has, by the recipe's word.
_AGES = {
    "child": {"child": 0.9, "young": 0.1},
    "young": {"young": 1.0},
    "elderly": {"young": 0.1, "old": 0.9},
}

_FACE_SHAPES = {
    "oval": "head/head-oval",
    "round": "head/head-round",
    "square": "head/head-square",
    "heart-shaped": "head/head-invertedtriangular",
    "long": "head/head-rectangular",
    "diamond-shaped": "head/head-diamond",
}
_EXPRESSIONS = {
    "neutral": {"expr/mouth-corner-puller": 0.12},
    "smiling": {"expr/mouth-corner-puller": 0.75, "expr/mouth-retraction": 0.15},
    "grinning": {"expr/mouth-corner-puller": 0.8, "expr/mouth-retraction": 0.2, "expr/mouth-parling": 0.6,
                 "expr/eye-left-slit": 0.15, "expr/eye-right-slit": 0.15},
    "frowning": {"expr/mouth-depression": 0.5, "expr/mouth-compression": 0.3},
    "sad": {"expr/mouth-depression": 0.75},
    "surprised": {"expr/mouth-open": 0.6, "expr/eye-left-opened-up": 0.5, "expr/eye-right-opened-up": 0.5},
}  # fmt: skip
#: Target pairs (for scores below and above zero) and the weight of one standard deviation.
_TRAITS = {
    "nose_length": (("nose/nose-scale-vert-decr", "nose/nose-scale-vert-incr", 0.22),
                    ("nose/nose-scale-depth-decr", "nose/nose-scale-depth-incr", 0.22)),
    "nose_width": (("nose/nose-scale-horiz-decr", "nose/nose-scale-horiz-incr", 0.32),),
    "lip_fullness": (("mouth/mouth-lowerlip-volume-decr", "mouth/mouth-lowerlip-volume-incr", 0.35),
                     ("mouth/mouth-upperlip-volume-decr", "mouth/mouth-upperlip-volume-incr", 0.35)),
    "mouth_width": (("mouth/mouth-scale-horiz-decr", "mouth/mouth-scale-horiz-incr", 0.2),),
    "ear_size": (("ears/{s}-ear-scale-decr", "ears/{s}-ear-scale-incr", 0.4),),
    "cheek_fullness": (("cheek/{s}-cheek-volume-decr", "cheek/{s}-cheek-volume-incr", 0.4),),
    "chin": (("chin/chin-prominent-decr", "chin/chin-prominent-incr", 0.25),
             ("chin/chin-width-decr", "chin/chin-width-incr", 0.2)),
    "neck_width": (("neck/neck-scale-horiz-decr", "neck/neck-scale-horiz-incr", 0.35),),
    "eye_size": (("eyes/{s}-eye-scale-decr", "eyes/{s}-eye-scale-incr", 0.3),),
    "eye_spacing": (("eyes/{s}-eye-trans-in", "eyes/{s}-eye-trans-out", 0.2),),
    "eye_tilt": (("eyes/{s}-eye-corner2-down", "eyes/{s}-eye-corner2-up", 0.3),),
}  # fmt: skip


def _macro(recipe: AvatarRecipe) -> dict[str, float]:
    """Weights of the targets that blend sex, age, ancestry and build."""
    male = 1.0 if recipe.sex == "man" else 0.0
    heavy = 0.5 + 0.2 * recipe.traits.weight
    # A face of mixed ancestry, whatever its skin: neither is to stand for the other.
    shares = recipe.generator(Stream.ANCESTRY).dirichlet((0.8, 0.8, 0.8)).tolist()
    weights: dict[str, float] = {}
    for sex, by_sex in (("male", male), ("female", 1.0 - male)):
        for age, by_age in _AGES[recipe.age].items():
            for origin, share in zip(("african", "asian", "caucasian"), shares, strict=True):
                weights[f"macrodetails/{origin}-{sex}-{age}"] = by_sex * by_age * share
            builds = (
                ("min", max(1 - 2 * heavy, 0.0)),
                ("average", 1 - abs(2 * heavy - 1)),
                ("max", max(2 * heavy - 1, 0.0)),
            )
            for build, by_build in builds:
                name = f"macrodetails/universal-{sex}-{age}-averagemuscle-{build}weight"
                weights[name] = by_sex * by_age * by_build
    return weights


def morph_weights(recipe: AvatarRecipe, known: frozenset[str]) -> dict[str, float]:
    """Weight by target name for one recipe, of the targets that the model has."""
    weights = _macro(recipe)
    weights[_FACE_SHAPES[recipe.face_shape]] = 0.8
    for trait, pairs in _TRAITS.items():
        score = float(getattr(recipe.traits, trait))
        for low, high, scale in pairs:
            for side in "lr":
                weights[(high if score > 0 else low).format(s=side)] = abs(score) * scale
    rng = recipe.generator(Stream.FACE)
    for name in sorted(known):
        # A little of many details that no word names, so that equal recipes would still not be equal faces.
        if name.split("/")[0] in ("forehead", "nose", "chin") and name not in weights and "trans" not in name:
            weights[name] = float(abs(rng.normal(0.0, 0.15)))
    weights |= {"expr/eye-left-closure": 0.30, "expr/eye-right-closure": 0.30}
    weights |= _EXPRESSIONS[recipe.expression]
    return {name: weight for name, weight in weights.items() if name in known and abs(weight) > 1e-4}
