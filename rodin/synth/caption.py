"""The caption: one English phrase that names every attribute of a recipe that a picture shows."""

from __future__ import annotations

from rodin.synth.recipe import AvatarRecipe, Traits

#: Beyond this standard score a trait is visible enough to be named.
NAMED = 1.1

#: Styles hidden by a hat down to what hangs out of it keep their name; these are named as a whole.
_HAIR_PHRASES = {
    "bald": "a bald head",
    "buzz cut": "a {color} buzz cut",
    "short": "short {color} hair",
    "pixie cut": "a {color} pixie cut",
    "side-parted": "side-parted {color} hair",
    "quiff": "a {color} quiff",
    "curly": "short curly {color} hair",
    "afro": "{article} {color} afro",
    "mohawk": "a {color} mohawk",
    "bob": "a {color} bob",
    "long straight": "long straight {color} hair",
    "long wavy": "long wavy {color} hair",
    "long curly": "long curly {color} hair",
    "ponytail": "{color} hair in a ponytail",
    "bun": "{color} hair in a bun",
    "braids": "{color} hair in two braids",
}
_EXPRESSION_PHRASES = {
    "neutral": "with a neutral expression",
    "smiling": "smiling",
    "grinning": "grinning broadly",
    "frowning": "frowning",
    "sad": "looking sad",
    "surprised": "looking surprised",
}
_TRAIT_PHRASES = {
    "nose_length": ("a small nose", "a big nose"),
    "nose_width": ("a narrow nose", "a wide nose"),
    "lip_fullness": ("thin lips", "full lips"),
    "eye_size": ("small eyes", "large eyes"),
    "brow_thickness": ("thin eyebrows", "thick eyebrows"),
    "ear_size": ("small ears", "big ears"),
    "cheek_fullness": ("hollow cheeks", "chubby cheeks"),
    "neck_width": ("a slender neck", "a thick neck"),
}
#: Hair that covers the ears, where their size does not show.
_COVERS_EARS = ("bob", "long straight", "long wavy", "long curly", "afro", "curly")


def article(word: str) -> str:
    """'a' or 'an'."""
    return "an" if word[0].lower() in "aeiou" else "a"


def trait_phrases(traits: Traits, *, hidden: frozenset[str] = frozenset()) -> list[str]:
    """The traits far enough from the mean to be named, in a fixed order."""
    phrases = []
    for name, (low, high) in _TRAIT_PHRASES.items():
        score = getattr(traits, name)
        if name not in hidden and abs(score) >= NAMED:
            phrases.append(high if score > 0 else low)
    return phrases


def hair_phrase(recipe: AvatarRecipe) -> str:
    """The hair in words, with its fringe."""
    color = (
        f"{recipe.hair_color}-dyed" if recipe.hair_color in ("pink", "blue", "green", "purple") else recipe.hair_color
    )
    phrase = _HAIR_PHRASES[recipe.hair].format(color=color, article=article(color))
    phrase = phrase.replace("a auburn", "an auburn")
    return phrase + (" with a fringe" if recipe.fringe else "")


def hidden_traits(recipe: AvatarRecipe) -> frozenset[str]:
    """Traits that hair or glasses cover, which the caption therefore leaves out."""
    hidden: set[str] = set()
    if recipe.hair in _COVERS_EARS or recipe.hat == "beanie":
        hidden.add("ear_size")
    if recipe.glasses == "sunglasses":
        hidden |= {"eye_size"}
    if recipe.fringe:
        hidden.add("brow_thickness")
    if recipe.top in ("turtleneck", "hoodie"):
        hidden.add("neck_width")
    # A round face with hollow cheeks would be two words for opposite things; the shape's name stands.
    if recipe.face_shape == "round" and recipe.traits.cheek_fullness < 0:
        hidden.add("cheek_fullness")
    if recipe.beard == "full beard":
        hidden.add("cheek_fullness")
    return frozenset(hidden)


def make_caption(recipe: AvatarRecipe) -> str:
    """One phrase that names every visible attribute of the avatar."""
    face = f"{article(recipe.face_shape)} {recipe.face_shape} face"
    items = [hair_phrase(recipe)]
    if recipe.glasses != "sunglasses":
        items.append(f"{recipe.eyes} eyes")
    items += trait_phrases(recipe.traits, hidden=hidden_traits(recipe))
    if recipe.freckles:
        items.append("freckles")
    if recipe.beard == "stubble":
        items.append("stubble")
    elif recipe.beard != "none":
        items.append(f"{article(recipe.hair_color)} {recipe.hair_color} {recipe.beard}")
    if recipe.glasses != "none":
        items.append(f"{recipe.glasses_color} {recipe.glasses}")
    if recipe.earrings:
        items.append("earrings")
    wearing = f"wearing {article(recipe.top_color)} {recipe.top_color} {recipe.top}"
    if recipe.hat != "none":
        wearing += f" and {article(recipe.hat_color)} {recipe.hat_color} {recipe.hat}"
    subject = f"{article(recipe.age)} {recipe.age} {recipe.sex} with {face}, {recipe.skin} skin, {', '.join(items)}"
    return f"{subject}, {wearing}, {_EXPRESSION_PHRASES[recipe.expression]}"
