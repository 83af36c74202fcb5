"""A prompt as words that mean something: normalised, typing errors mended, ages in years read, entries of the lexicon
found, the longest first. What the words say together is for `rodin.prompts.grammar`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import cache
from typing import TYPE_CHECKING

from rodin.prompts import lexicon

if TYPE_CHECKING:
    from spellchecker import SpellChecker

LEAST_LIKENESS = 0.8  # of a word and what it is taken for a slip of
SHORTEST_TYPO = 4  # letters; of shorter words too many are a letter apart
LIKENESS_OF_SHORT = 0.88  # of words of 4 letters
LIKENESS_OF_DENIALS = 0.9  # which turn all behind them into its opposite
LONGEST_ENTRY = 7  # words


class Kind(Enum):
    """What a piece of a prompt is."""

    PERSON = auto()
    PRONOUN = auto()
    AGE = auto()
    YEARS = auto()
    ORIGIN = auto()
    COLOUR = auto()
    HAIRED = auto()
    NOUN = auto()
    ADJECTIVE = auto()
    MARK = auto()
    ABSENT = auto()
    EXPRESSION = auto()
    FACE = auto()
    LIGHTING = auto()
    TRAIT = auto()
    NO = auto()  # denies the noun behind it
    NOT = auto()  # denies the next word that means something
    WITHOUT = auto()  # denies a list
    GONE = auto()  # denies the noun before it
    CHANGED = auto()  # another colour follows
    OR = auto()
    AND = auto()
    COMMA = auto()
    STOP = auto()
    BUT = auto()  # ends what is denied
    HAS = auto()  # ends it where something was denied already
    WORN = auto()  # as HAS; a colour behind it is of the clothes
    AS = auto()
    ARTICLE = auto()
    PART = auto()  # of the body or of clothes; its colour cannot be said
    FILLER = auto()
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Piece:
    """Some words of a prompt.

    Args:
        kind: what they are.
        key: their meaning, by the table that `kind` names.
        text: as they are spelt in the prompt, in lower case.
    """

    kind: Kind
    key: str
    text: str


_GRAMMAR = {
    Kind.NO: "no, zero, nor any, anything but, everything but, less, fewer, less of a, a lot less, much less",
    Kind.NOT: "not, never, no longer, not any more, hardly, nor",
    Kind.WITHOUT: """without, w/o, lacking, lacks, lack, minus, sans, remove, removes, removing, take off, takes off,
        taking off, took off, lose, loses, losing, lost, drop, ditch, get rid of, rid of, delete, erase, free of,
        free from, devoid of, shave, shave off, shaves off, shaved off, shaving off, instead of, rather than, neither,
        replace, replaces, swap, substitute, omit, leave out, skip, strip, strip off, wipe off, lacked, bare of, cut
        off, not have, not has, not wear, not wearing, not having, not got, not had, no sign of, no trace of, never
        wears, never wear, hide, undo, clear of, except, except for, apart from, take away, takes away, put away,
        drops, ditches, stop wearing, stopped wearing, stops wearing, no longer has, no longer have, no longer wears,
        no longer wearing, not with, not in, not give, not add, not put, not put on, not want, not need, not draw, not
        include, not show, not use, not need any, stop, stops, stopped, quit, quits, avoid, avoids, avoiding, exclude,
        excludes, excluding, excluded, eliminate, eliminates, banish, forget, forbid, no need for, no need of, refuses,
        used to have, used to wear, once had, once wore, formerly had, previously had, had once""",
    Kind.GONE: "removed, off, gone, missing, absent, taken off, none, erased, left out, lost",
    Kind.CHANGED: "to, into, dyed, turned, becomes, turns, bleached to, painted",
    Kind.OR: "or",
    Kind.AND: "and, plus",
    Kind.BUT: "but, although, though, yet, instead, add, adds, give, gives, however, except that, by, replaced, just",
    Kind.HAS: """with, may, might, has, have, having, who, whose, is, are, was, it, for, sports, sporting, got, gets,
        rocking, only""",
    Kind.WORN: "in, wears, wear, wearing, worn, dressed in, clad in, dressed, clad, clothed in, put on",
    Kind.AS: "as, like",
    Kind.ARTICLE: "a, an, the, his, her, their, its, any",
    Kind.UNKNOWN: "less hair, fewer hair, contact lenses, contact lens, contacts",  # not what their parts mean
    Kind.FILLER: """either, optional, optionally, not only, not just, no doubt, no one, nobody, with no doubt, off the
        shoulder""",
}


@cache
def _entries() -> dict[str, tuple[Kind, str]]:
    """What each entry of the lexicon is. Where two tables have it, the earlier counts: no two of the lexicon's do."""
    found: dict[str, tuple[Kind, str]] = {}
    tables: list[tuple[Kind, dict[str, str]]] = [
        (Kind.PERSON, lexicon.PEOPLE),
        (Kind.PRONOUN, lexicon.PRONOUNS),
        (Kind.AGE, lexicon.AGES),
        (Kind.ORIGIN, lexicon.ORIGINS),
        (Kind.HAIRED, lexicon.HAIRED),
        (Kind.NOUN, {entry: entry for entry in lexicon.NOUNS}),
        (Kind.ADJECTIVE, {entry: entry for entry in lexicon.ADJECTIVES}),
        (Kind.MARK, lexicon.MARKS),
        (Kind.ABSENT, lexicon.ABSENT),
        (Kind.EXPRESSION, lexicon.EXPRESSIONS),
        (Kind.FACE, lexicon.FACES),
        (Kind.LIGHTING, lexicon.LIGHTINGS),
        (Kind.TRAIT, lexicon.TRAITS),
        (Kind.COLOUR, lexicon.HUES),
        *((kind, {" ".join(one.split()): "" for one in words.split(",")}) for kind, words in _GRAMMAR.items()),
        (Kind.PART, dict.fromkeys(lexicon.PARTS, "")),
        (Kind.FILLER, dict.fromkeys(lexicon.FILLERS | lexicon.SHADES, "")),
    ]
    for kind, table in tables:
        for entry, key in table.items():
            found.setdefault(entry, (kind, key))
    return found


@cache
def known_words() -> frozenset[str]:
    """Single words that stand in some entry."""
    return frozenset(word for entry in _entries() for word in entry.split())


_GRAMMATICAL = frozenset((*_GRAMMAR, Kind.PRONOUN))


def meaning_entries() -> tuple[str, ...]:
    """All entries of the lexicon that say something of an avatar."""
    return tuple(entry for entry, (kind, _) in _entries().items() if kind not in _GRAMMATICAL)


@cache
def _candidates() -> tuple[str, ...]:
    """Words that a typing error may have been meant for: those that say something of an avatar."""
    saying = {word for entry in meaning_entries() for word in entry.split()}
    return tuple(sorted(word for word in saying | _denying() if len(word) >= SHORTEST_TYPO))


@cache
def _english() -> SpellChecker:
    """The words of English. Read only where a prompt has a word that no entry has: it takes a third of a second."""
    from spellchecker import SpellChecker

    return SpellChecker("en", distance=1)


@cache
def _denying() -> frozenset[str]:
    """Words of denials."""
    denials = (entry for entry, (kind, _) in _entries().items() if kind in (Kind.NO, Kind.NOT, Kind.WITHOUT))
    return frozenset(word for entry in denials for word in entry.split())


_CONTRACTED = re.compile(r"\b(does|do|is|are|was|has|have|had|did|wo|ca|would|should|could)n'?t\b")
_SPLIT = re.compile(r"[^\W_]+(?:'[^\W_]+)?|[,;()/&+|]|[.!?\n]+")
_NUMBER = (
    r"\d{1,3}|(?:(?:twen|thir|for|fif|six|seven|eigh|nine)ty(?: (?:one|two|three|four|five|six|seven|eight|nine))?)"
)
_NUMBER = rf"(?<!=)(?:{_NUMBER}|{'|'.join(sorted(lexicon.NUMBERS, key=len, reverse=True))})"  # not of `years=70`
#: Ages in years, with the number as a group. A decade counts from its first year.
_YEARS = [
    re.compile(pattern)
    for pattern in (
        rf"\b(?:aged? )?({_NUMBER}) ?(?:years?|yrs?|yr) (?:old|of age|young)\b",
        rf"\b({_NUMBER}) ?(?:yo|y o|y , o|yr old|y old|years)\b(?!=)",
        rf"\b(?:aged?|age of|at the age of|about|around) ({_NUMBER})\b",
        rf"\bof ({_NUMBER})\b(?= (?:with|in|who|wearing)\b|\s*(?:[,.]|$))",
        rf"(?:^|,) ({_NUMBER})(?=\s*(?:,|$|\.))",
    )
]
_MONTHS = re.compile(rf"\b(?:{_NUMBER}) ?(?:months?|weeks?|days?) old\b")
_DECADE = re.compile(
    r"\b(?:in (?:his|her|their|the|my|its) )?(?:(?:early|mid|late|middle) )?"
    rf"(?:(?<!=)(\d0) ?s|({'|'.join(lexicon.DECADES)}))\b(?! (?:style|hair|look|fashion))"
)
_SOMETHING = re.compile(r"\b(?<!=)(\d0|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety) ?(?:something|ish)\b")


def pieces_of(prompt: str, translate: Callable[[str], str | None] | None = None) -> list[Piece]:
    """The pieces of a prompt, in their order.

    Args:
        translate: a known entry for a word that none has, or None.
    """
    text = _normalised(prompt)
    words = text.split()
    found: list[Piece] = []
    at = 0
    while at < len(words):
        piece, length = _piece_at(words, at)
        found.append(piece)
        at += length
    unknown = [piece for piece in found if piece.kind is Kind.UNKNOWN]
    meant = [piece for piece in found if piece.kind not in (Kind.UNKNOWN, Kind.COMMA, Kind.STOP)]
    if unknown and len(unknown) <= len(meant):  # else it is another language, where nearly every word looks like a slip
        mended = [_mended(word) for word in words]
        if mended != words:
            return [replace(piece, text=_original(piece.text, words, mended)) for piece in _scan(mended, translate)]
    return _scan(words, translate)


def _scan(words: list[str], translate: Callable[[str], str | None] | None) -> list[Piece]:
    found: list[Piece] = []
    at = 0
    while at < len(words):
        piece, length = _piece_at(words, at)
        if piece.kind is Kind.UNKNOWN and translate is not None and (entry := translate(piece.text)):
            kind, key = _entries()[entry]
            piece = Piece(kind, key, piece.text)
        found.append(piece)
        at += length
    return found


def _original(text: str, words: list[str], mended: list[str]) -> str:
    """A piece's words as they were typed."""
    back = {new: old for old, new in zip(words, mended, strict=True) if old != new}
    return " ".join(back.get(word, word) for word in text.split())


def _mended(word: str) -> str:
    """A word with its typing error mended: the known word that is nearest and begins alike, else itself.

    What is a word of English is no slip: a teacher has no tache.
    """
    if len(word) < SHORTEST_TYPO or not word.isalpha() or _lookup(word) or word in known_words() or word in _english():
        return word
    swapped = [word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in range(1, len(word) - 1)]
    if found := next((one for one in swapped if one in _candidates()), None):
        return found
    least = LIKENESS_OF_SHORT if len(word) == SHORTEST_TYPO else LEAST_LIKENESS
    near = difflib.get_close_matches(word, _candidates(), n=1, cutoff=least)
    if not near or near[0][0] != word[0]:
        return word
    sure = near[0] not in _denying() or difflib.SequenceMatcher(None, word, near[0]).ratio() >= LIKENESS_OF_DENIALS
    return near[0] if sure else word


def _normalised(prompt: str) -> str:
    """Words and marks apart by spaces, in lower case; contractions written out, ages as `<years>` and a number."""
    text = prompt.lower().replace("\u2019", "'")
    text = _CONTRACTED.sub(lambda found: f"{ {'ca': 'can', 'wo': 'will'}.get(found[1], found[1]) } not", text)
    text = re.sub(r"(?<!\S)-(?=[a-z])|\bw/o\b", "without ", text)
    text = re.sub(r"\b([a-z]+)-(?:free|less)\b", r"without \1", text)
    text = re.sub(r"\b(?:un|non)-(?=[a-z])", "not ", text)
    tokens = _SPLIT.findall(text.replace("-", " "))
    text = " ".join("." if re.fullmatch(r"[.!?\n]+", one) else "," if re.fullmatch(r"[,;()/|]", one) else one
                    for one in tokens)  # fmt: skip
    text = re.sub(r"[&+]", "and", text)
    text = re.sub(
        r"\b(\w+)'s\b", lambda found: found[1] if found[1] not in ("he", "she") else found[0][:-2] + " is", text
    )
    for pattern in _YEARS:
        text = pattern.sub(lambda found: f"{', ' if found[0].startswith(',') else ''}years={_number(found[1])}", text)
    text = _MONTHS.sub("years=0", text)
    text = _SOMETHING.sub(lambda found: f"years={_number(found[1])}", text)
    return _DECADE.sub(lambda found: f"years={found[1] or lexicon.DECADES[found[2]]}", text)


def _number(words: str) -> int:
    if words.isdigit():
        return int(words)
    tens, *ones = words.split()
    return lexicon.TENS.get(tens, lexicon.NUMBERS.get(tens, 0)) + sum(lexicon.NUMBERS[one] for one in ones)


def _lookup(entry: str) -> tuple[Kind, str] | None:
    """An entry, or its singular, or what a suffix makes of it."""
    entries = _entries()
    if entry in entries:
        return entries[entry]
    for ending in ("s", "es"):
        stem = entry.removesuffix(ending)
        if stem != entry and len(entry) > 4 and stem in entries and (ending == "s" or stem.endswith(_HISSING)):
            return entries[stem]
    return None


_HISSING = ("s", "x", "z", "ch", "sh", "o")  # a plural in es follows
_COMPARABLE = (Kind.ADJECTIVE, Kind.TRAIT, Kind.COLOUR)
_STEMS = (("er", ""), ("er", "e"), ("ier", "y"), ("gger", "g"), ("nner", "n"), ("tter", "t"), ("dder", "d"))


def _compared(entry: str) -> tuple[Kind, str] | None:
    """The entry of a comparative: bigger eyes are big."""
    first, *rest = entry.split()
    for ending, positive in _STEMS:
        found = _lookup(" ".join([first.removesuffix(ending) + positive, *rest])) if first.endswith(ending) else None
        if found is not None and (found[0] in _COMPARABLE or (rest and found[0] is Kind.NOUN)):
            return found
    return None


def _piece_at(words: list[str], at: int) -> tuple[Piece, int]:
    """The longest piece that begins at a word, and how many words it has."""
    word = words[at]
    if word in (",", "."):
        return Piece(Kind.COMMA if word == "," else Kind.STOP, "", word), 1
    if word.startswith("years="):
        return Piece(Kind.YEARS, word.removeprefix("years="), f"{word.removeprefix('years=')} years"), 1
    for length in range(min(LONGEST_ENTRY, len(words) - at), 0, -1):
        entry = " ".join(words[at : at + length])
        if found := _lookup(entry) or _compared(entry):
            return Piece(*found, entry), length
    if absent := _without_suffix(word):
        return Piece(Kind.ABSENT, absent, word), 1
    return Piece(Kind.UNKNOWN, "", word), 1


def _without_suffix(word: str) -> str:
    """What a word in -less says is not there."""
    stem = word.removesuffix("less")
    if stem == word or not (found := _lookup(stem) or _lookup(stem + "s") or _lookup(stem + "es")):
        return ""
    kind, key = found
    if kind is Kind.MARK:
        return key
    if kind is Kind.NOUN and lexicon.NOUNS[key].attribute in ("beard", "glasses", "hat"):
        return lexicon.NOUNS[key].attribute
    return ""
