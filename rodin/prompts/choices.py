"""What a prompt leaves open in so many words: "with or without a beard", "hat or no hat", "glasses optional".

Neither is asked for, and neither denied; so the words are taken out before the grammar reads the rest.
"""

from __future__ import annotations

from dataclasses import replace

from rodin.prompts.lexicon import NOUNS, Thing
from rodin.prompts.tokens import Kind, Piece

REMOVABLE = (Thing.BEARD, Thing.GLASSES, Thing.HAT)
_DENIALS = (Kind.NO, Kind.NOT, Kind.WITHOUT)
_BEFORE_NOUNS = (Kind.ARTICLE, Kind.COLOUR, Kind.ADJECTIVE, Kind.AGE)
_ENDS = (Kind.COMMA, Kind.STOP, Kind.AND, Kind.BUT, Kind.HAS, Kind.WORN)


def is_removable(piece: Piece) -> bool:
    """Whether it is something that a head has or has not."""
    return piece.kind is Kind.MARK or (piece.kind is Kind.NOUN and NOUNS[piece.key].thing in REMOVABLE)


def without_choices(pieces: list[Piece]) -> list[Piece]:
    """The pieces of a prompt, those of choices left to us being fillers."""
    found = list(pieces)
    for at, piece in enumerate(pieces):
        if piece.kind is Kind.OR:
            first, last = _choice(pieces, at)
        elif piece.kind is Kind.FILLER and piece.text == "optional" and at and is_removable(pieces[at - 1]):
            first, last = _phrase(pieces, at - 1), at + 1
        else:
            continue
        found[first:last] = [replace(one, kind=Kind.FILLER, key="") for one in pieces[first:last]]
    return found


def _choice(pieces: list[Piece], at: int) -> tuple[int, int]:
    """Where what the "or" at `at` leaves open begins and ends; nowhere if it joins or denies."""
    comma = at > 0 and pieces[at - 1].kind is Kind.COMMA
    before, behind = at - 1 - comma, at + 1
    if before < 0:
        return at, at
    one = pieces[before]
    other = _get(pieces, behind)
    if one.kind is Kind.HAS and other is not None and other.kind is Kind.HAS:  # may or may not
        behind += 1
        other = _get(pieces, behind)
    if other is None:
        return at, at
    if {one.kind, other.kind} in ({Kind.HAS, Kind.WITHOUT}, {Kind.HAS, Kind.NO}):  # with or without
        return before, _end_of_list(pieces, behind + 1)
    if one.kind is Kind.NOUN and other.kind is Kind.ABSENT and NOUNS[one.key].attribute == other.key:
        return _phrase(pieces, before), behind + 1  # bearded or clean-shaven
    if not is_removable(one):
        return at, at
    first, last = _phrase(pieces, before), _behind(pieces, behind, (*_BEFORE_NOUNS, Kind.HAS, *_DENIALS))
    same = last < len(pieces) and _is_same(pieces[last], one)
    if other.kind in _DENIALS:
        if same:  # a hat or no hat
            return first, last + 1
        if last == len(pieces) or (last == behind + 1 and pieces[last].kind in _ENDS):  # a hat or not
            return first, last
    elif same and first and pieces[first - 1].kind in _DENIALS:  # no hat or a hat
        return first - 1, last + 1
    return at, at


def _end_of_list(pieces: list[Piece], at: int) -> int:
    """The end of a list of things from `at` on; behind the first one it goes on with what can be left out as well."""
    end = _behind(pieces, at, (*_BEFORE_NOUNS, Kind.FILLER))
    if end == len(pieces) or pieces[end].kind not in (Kind.NOUN, Kind.MARK):
        return at
    while end + 1 < len(pieces) and pieces[end + 1].kind in (Kind.OR, Kind.AND):
        following = _behind(pieces, end + 2, _BEFORE_NOUNS)
        if following == len(pieces) or not is_removable(pieces[following]):
            break
        end = following
    return end + 1


def _behind(pieces: list[Piece], at: int, kinds: tuple[Kind, ...]) -> int:
    """The first place from `at` on where there is none of these kinds."""
    while at < len(pieces) and pieces[at].kind in kinds:
        at += 1
    return at


def _phrase(pieces: list[Piece], at: int) -> int:
    """Where the phrase of the noun at `at` begins."""
    while at and pieces[at - 1].kind in _BEFORE_NOUNS:
        at -= 1
    return at


def _is_same(one: Piece, other: Piece) -> bool:
    if one.kind is Kind.NOUN and other.kind is Kind.NOUN:
        return NOUNS[one.key].thing is NOUNS[other.key].thing
    return one.kind is other.kind is Kind.MARK and one.key == other.key


def _get(pieces: list[Piece], at: int) -> Piece | None:
    return pieces[at] if at < len(pieces) else None
