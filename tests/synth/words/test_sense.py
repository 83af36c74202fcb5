"""Contract: no caption and no paraphrase contradicts itself, says a thing twice, or names what cannot be seen.

The opposites and the nouns are written down here once more, independently of the tables that the words come from.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable

import pytest

from rodin.synth.recipe import VERSION, AvatarRecipe, make_recipe
from rodin.synth.words import WORDS_VERSION
from rodin.synth.words.caption import make_caption
from rodin.synth.words.paraphrase import paraphrases

COUNT = 200

#: Of each row at most one may be said of anybody. Rows are words that exclude each other, whatever noun they go with.
OPPOSITES = (
    (
        "young|youthful|twenties|thirties",
        "(?<!year-)old|elderly|aged|senior|sixties|seventies|eighties",
        "boy|girl|child|kid",
    ),
    ("man|guy|gentleman|male|boy|he", "woman|lady|female|girl|she"),
    ("smil[a-z]+", "grin[a-z]*", "frown[a-z]*", "sad|unhappy", "surprised|amazed", "calm|neutral|blank"),
    ("bald|hairless|no hair", "(?<!no )hair|[a-z-]+-haired|curls|waves|afro|bun|bob|ponytail|mohawk|quiff|braids"),
    (
        "short (curly )?([a-z-]+ ){0,2}(hair|curls)|hair cut short|cropped|buzz cut",
        "long (?!face|narrow)([a-z-]+ ){0,3}(hair|waves)|braids|plaits|ponytail|bun",
    ),
    ("straight", "wavy|waves", "curly|curls"),
    ("fringe|bangs", "beanie|cap|fedora|hat|quiff|mohawk|afro|buzz cut|bald"),
    ("studio", "soft light|flat light", "warm light|evening sun", "cool light|cold light", "the side|side light"),
    ("hollow cheeks|sunken cheeks", "(chubby|full|plump) cheeks"),
    ("hollow cheeks|sunken cheeks", "round face"),
    ("sunglasses|shades", "eyes|[a-z]+-eyed"),
    ("sunglasses|shades", "(?<!sun)glasses"),
    ("hoodie|hooded sweatshirt|turtleneck|polo-neck", "(?<!V-)(?<!crew-)neck"),
    ("full ([a-z-]+ ){0,2}beard", "cheeks"),
)  # fmt: skip

#: Words before a noun that exclude each other; a row is a noun and its sides.
SIDES = (
    ("nose", "big|large|long", "small|little|short"),
    ("nose", "wide|broad", "narrow|thin"),
    ("lips", "full|plump", "thin"),
    ("eyes", "large|big", "small"),
    ("eyebrows|brows", "thick|bushy|heavy", "thin|fine"),
    ("ears", "big|large", "small|little"),
    ("neck", "thick|broad", "slender|slim|thin"),
    ("face", "oval", "round", "square", "heart-shaped", "long", "diamond-shaped"),
    ("skin|complexion", "pale|fair|very light", "tan|tanned|olive", "dark|deep"),
    ("beard", "full", "small|short|chin"),
)

#: What one avatar has once: no text may name it twice.
ONCE = (
    r"\bnose\b", r"\blips\b", r"\beyes\b|-eyed\b", r"\b(eye)?brows\b", r"\bears\b", r"\bcheeks\b", r"\bface\b",
    r"(?<!V-)(?<!crew-)(?<!polo-)\bneck\b", r"\bskin\b|\bcomplexion\b|-skinned\b", r"\bfreckle", r"\bearrings\b",
    r"\bbeard\b|\bmou?stache\b", r"glasses\b|\bshades\b", r"\bhair\b|-haired\b|\bbald\b|\bhairless\b",
    r"\bwear|\bdressed\b",
    r"\b(T-shirt|tee|shirt|hoodie|hooded sweatshirt|turtleneck|jumper|pullover|(?<!turtleneck )(?<!neck )sweater)\b",
    r"\b(beanie|cap|fedora|hat)\b",
    r"\b(smil|grin|frown|sad|unhappy|surprised|amazed|calm|neutral|blank)",
    r"\bstudio( light)?\b|\b(soft|flat|warm|cool|cold|side) light\b|\bsun\b|\bthe side\b",
)  # fmt: skip

#: What hides what: words that may not be said, and of whom.
HIDDEN: dict[str, Callable[[AvatarRecipe], bool]] = {
    r"\bears\b": lambda r: r.hair in ("bob", "long straight", "long wavy", "curly", "afro") or r.hat == "beanie",
    r"\bearrings\b": lambda r: r.hair in ("bob", "long straight", "long wavy", "curly", "afro"),
    r"\b(eye)?brows\b": lambda r: r.fringe,
    r"\beyes\b|-eyed\b": lambda r: r.glasses == "sunglasses",
    r"\bcheeks\b": lambda r: r.beard == "full beard",
    r"\b(slender|slim|thin|thick|broad) neck\b": lambda r: (
        r.top in ("hoodie", "turtleneck") or r.hair in ("bob", "long straight", "long wavy")
    ),
}


MISSING = re.compile(
    r"\bno (beard|glasses|hat)|\b(clean-shaven|beardless|bare-headed) ?|\bwithout ((a beard|glasses|a hat)(, | or )?)+"
)


def affirmed(text: str) -> str:
    """A text without what it says is missing."""
    return MISSING.sub("", text)


def any_of(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])({words})(?![\w-])", re.IGNORECASE)


@pytest.fixture(scope="module")
def said() -> list[tuple[AvatarRecipe, list[str]]]:
    """Recipes with their caption and all their paraphrases."""
    people = [make_recipe(99, index) for index in range(COUNT)]
    return [(recipe, [make_caption(recipe), *paraphrases(recipe)]) for recipe in people]


@pytest.mark.parametrize("row", OPPOSITES, ids=lambda row: row[0])
def test_no_opposites(said: list[tuple[AvatarRecipe, list[str]]], row: tuple[str, ...]) -> None:
    sides = [any_of(words) for words in row]
    for _, texts in said:
        for text in texts:
            assert sum(bool(side.search(affirmed(text))) for side in sides) <= 1, text


@pytest.mark.parametrize("row", SIDES, ids=lambda row: f"{row[0]} {row[1]}")
def test_no_opposites_before_one_noun(said: list[tuple[AvatarRecipe, list[str]]], row: tuple[str, ...]) -> None:
    """In all that is said of one avatar, not in one text alone."""
    noun, *sides = row
    found = [any_of(rf"({words})( [\w-]+){{0,2}} ({noun})") for words in sides]
    met: Counter[int] = Counter()
    for _, texts in said:
        # What stands between two commas is one phrase; so is what "and" or "with" begins.
        phrases = re.split(r", |\. | and | with ", " , ".join(texts))
        here = {number for number, side in enumerate(found) if any(side.search(phrase) for phrase in phrases)}
        assert len(here) <= 1, texts
        met.update(here)
    assert len(met) == len(sides), "else the test could not fail"


@pytest.mark.parametrize("thing", ONCE)
def test_nothing_is_said_twice(said: list[tuple[AvatarRecipe, list[str]]], thing: str) -> None:
    pattern = re.compile(thing, re.IGNORECASE)
    counts = [(len(pattern.findall(affirmed(text))), text) for _, texts in said for text in texts]
    assert max(counts)[0] == 1, max(counts)


def test_what_is_missing_is_not_there(said: list[tuple[AvatarRecipe, list[str]]]) -> None:
    """No text says that a thing is there and that it is missing."""
    for _, texts in said:
        for text in texts:
            missing = " ".join(found[0] for found in MISSING.finditer(text))
            for thing in ("beard", "glasses", "hat"):
                assert thing not in missing or not re.search(rf"(?<!-)\b{thing}\b", affirmed(text)), text


@pytest.mark.parametrize("words", HIDDEN)
def test_what_cannot_be_seen_is_not_said(said: list[tuple[AvatarRecipe, list[str]]], words: str) -> None:
    pattern, hidden = re.compile(words), HIDDEN[words]
    assert any(hidden(recipe) for recipe, _ in said)
    assert any(pattern.search(text) for _, texts in said for text in texts)
    for recipe, texts in said:
        if hidden(recipe):
            assert not [text for text in texts if pattern.search(text)]


def test_no_word_follows_itself_and_no_article_is_wrong(said: list[tuple[AvatarRecipe, list[str]]]) -> None:
    stutter = re.compile(
        r"\b([\w-]+)[ -]\1\b|\b[Aa] [aeiou]|\b[Aa]n (?!8|11|18)[^aeiou]|\ban? (an?|the)\b|\b(a|an|no|two) ?[,.]"
    )
    plural = re.compile(
        r"\ba ([\w-]+ ){0,2}(eyes|lips|ears|brows|eyebrows|cheeks|braids|plaits|curls|waves|freckles)\b"
    )
    for _, texts in said:
        for text in texts:
            assert not stutter.search(text), text
            assert not plural.search(re.sub(r" with .*| and .*|,.*", "", text)), text


def test_words_have_a_version(said: list[tuple[AvatarRecipe, list[str]]]) -> None:
    """Another digest under the same versions: raise WORDS_VERSION, so that `rodin synth-words` finds work to do."""
    digest = hashlib.sha256("\n".join(text for _, texts in said for text in texts).encode()).hexdigest()[:16]
    assert (VERSION, WORDS_VERSION, digest) == ("4", "2", "db90a43b7a985cc0")
