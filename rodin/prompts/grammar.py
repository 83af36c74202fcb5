"""Reads prompts: a grammar of noun phrases and no more.

Colours and adjectives wait for the noun behind them; where none comes they are of the noun before. A denial reaches as
far as English lets it: "no" to its noun, "without" to the end of its list, both over "or", neither over "but".
"""

from __future__ import annotations

from collections.abc import Callable, Container

from rodin.prompts import lexicon
from rodin.prompts.choices import REMOVABLE, is_removable, without_choices
from rodin.prompts.lexicon import NOUNS, Thing
from rodin.prompts.said import EXACT, PLAIN, WEAK, Said
from rodin.prompts.tokens import Kind, Piece, pieces_of
from rodin.prompts.understanding import NONE, VALUES, YES, Understanding
from rodin.synth import recipe


def understand(prompt: str, translate: Callable[[str], str | None] | None = None) -> Understanding:
    """Read a prompt.

    Args:
        translate: a known entry for a word that no entry has, or None; see `rodin.prompts.tokens.pieces_of`.
    """
    reading = _Reading(without_choices(pieces_of(prompt, translate)))
    return reading.result(prompt)


_BEFORE_NOUNS = (Kind.COLOUR, Kind.ADJECTIVE, Kind.OR, Kind.AND)
_OF_A_NOUN = (Kind.COLOUR, Kind.ADJECTIVE, Kind.NOUN, Kind.PERSON, Kind.UNKNOWN)
_ALL_OF = {"beard": ("full beard", "chin beard"), "glasses": recipe.GLASSES, "hat": recipe.HATS}


class _Reading:
    """The state of reading one prompt."""

    def __init__(self, pieces: list[Piece]) -> None:
        self.pieces = pieces
        self.said = Said()
        self.unread: list[str] = []
        # Of the phrase that is being read.
        self.colours: list[tuple[Piece, bool]] = []  # with whether each is denied
        self.adjectives: list[tuple[Piece, bool]] = []
        self.age_words: list[tuple[Piece, bool]] = []
        self.choice = False  # among the colours
        self.last: Piece | None = None  # the noun or person behind which colours may come
        self.last_coloured = False
        self.heads: dict[Thing, Piece] = {}  # of the sentence
        self.worn = self.changed = False
        # Of the denial.
        self.denial: Kind | None = None
        self.used = False
        self.at = 0
        for self.at, piece in enumerate(pieces):
            self._read(self.at, piece)
        self._flush()
        self._end_unused_denial()

    def result(self, prompt: str) -> Understanding:
        order = {word: place for place, word in reversed(list(enumerate(piece.text for piece in self.pieces)))}
        unread = sorted(dict.fromkeys(self.unread), key=lambda word: order.get(word, 0))
        return Understanding(prompt, self.said.asked, self.said.denied, self.said.words, tuple(unread))

    # ---- denials

    @property
    def _denies(self) -> bool:
        return self.denial is not None

    def _use_denial(self, negated: bool) -> None:
        self.used |= negated
        following = self.pieces[self.at + 1 : self.at + 2]
        if negated and self.denial is Kind.NOT and not (following and following[0].kind is Kind.OR):
            self._end_denial()

    def _begin_denial(self, kind: Kind) -> None:
        if self.denial is Kind.NOT and kind is Kind.WITHOUT and not self.used:
            self.denial = None  # "not without"
        else:
            self.denial, self.used = kind, False

    def _end_denial(self) -> None:
        self.denial, self.used = None, False

    def _list_goes_on(self, at: int) -> bool:
        """Whether a denied list goes on behind its comma: it ends with "or", or it is bare things joined by "and"."""
        if self.denial not in (Kind.WITHOUT, Kind.NO):
            return False
        joined = False
        for piece in self.pieces[at + 1 :]:
            if piece.kind is Kind.OR:
                return True
            if piece.kind is Kind.AND:
                joined = True
            elif piece.kind is Kind.NOUN:
                if NOUNS[piece.key].thing not in REMOVABLE:
                    return False
            elif piece.kind not in (Kind.MARK, Kind.ARTICLE, Kind.COMMA, Kind.FILLER):
                break
        return joined and self.denial is Kind.WITHOUT

    def _joins(self, at: int) -> bool:
        """Whether "and" carries a denial on: always behind "without"; behind "no" to a bare thing alone."""
        if self.denial is Kind.WITHOUT:
            following = next((one for one in self.pieces[at + 1 :] if one.kind is not Kind.FILLER), None)
            return following is not None and following.kind not in (Kind.HAS, Kind.WORN, Kind.BUT)
        if self.denial is Kind.NO and self.last is not None and at + 1 < len(self.pieces):
            return is_removable(self.last) and is_removable(self.pieces[at + 1])  # who has no hair may have earrings
        return False

    # ---- pieces

    def _read(self, at: int, piece: Piece) -> None:
        kind = piece.kind
        if kind is Kind.UNKNOWN:
            if self._is_coloured(at):
                self._drop()
            self.unread.append(piece.text)
        elif kind in (Kind.NO, Kind.NOT, Kind.WITHOUT):
            if self.used or kind is not Kind.WITHOUT:
                self._flush()
            self._begin_denial(kind)
        elif kind is Kind.GONE:
            if self.last is not None and self.last.kind is Kind.MARK:
                self.said.deny(self.last.key, (YES,), self.last.text)
            elif self.last is not None and (self.last.key == "hair" or is_removable(self.last)):
                self._noun_alone(self.last, True)
        elif kind in (Kind.COMMA, Kind.STOP):
            self._flush()
            if kind is Kind.STOP or not self._list_goes_on(at):
                self._end_unused_denial()
                self._end_denial()
            self.last = None
            if kind is Kind.STOP:
                self.heads = {}
        elif kind is Kind.AND:
            self._and(at)
        elif kind is Kind.OR:
            if self._more_colours(at):
                self.choice = True
            else:
                self._flush()
        elif kind in (Kind.BUT, Kind.HAS, Kind.WORN):
            verb = kind is Kind.HAS and piece.text in ("is", "are", "was", "it")
            if not verb:
                self._flush()
            if kind is Kind.BUT or self.used:
                self._end_unused_denial()
                self._end_denial()
            self.worn = kind is Kind.WORN
        elif kind is Kind.CHANGED:
            self.changed = True
            if piece.text in ("to", "into"):
                self.colours = []  # those from which it changes
        elif kind is Kind.AS:
            self._simile(at)
        elif kind is Kind.COLOUR:
            self._colour(at, piece)
        elif kind is Kind.ADJECTIVE:
            self.adjectives.append((piece, self._denies))
        elif kind is Kind.AGE:
            self.age_words.append((piece, self._denies))
        elif kind is Kind.PART:
            if self.colours or self.adjectives:
                self._drop()
                self.unread.append(piece.text)
        elif kind not in (Kind.ARTICLE, Kind.FILLER):
            self._meaning(piece)

    def _end_unused_denial(self) -> None:
        """A denial that met nothing behind it is of the noun before it: "the beard shaved off"."""
        last = self.last if self.denial in (Kind.WITHOUT, Kind.NO) and not self.used else None
        if last is not None and last.kind is Kind.NOUN and NOUNS[last.key].thing in REMOVABLE:
            self._noun_alone(last, True)

    def _and(self, at: int) -> None:
        if self._more_colours(at):
            return
        self._flush()
        if self._denies and self.used and not self._joins(at):
            self._end_denial()

    def _more_colours(self, at: int) -> bool:
        """Whether what joins here are colours of one thing: "a black and white shirt"."""
        if not self.colours or [piece.kind for piece in self.pieces[at + 1 : at + 2]] != [Kind.COLOUR]:
            return False
        behind = next((one.kind for one in self.pieces[at + 1 :] if one.kind not in _BEFORE_NOUNS), None)
        return self.last is None or behind is Kind.NOUN

    def _simile(self, at: int) -> None:
        """ "as black as coal": what it is like is not asked for."""
        before = self.pieces[at - 1] if at else None
        if before is None or before.kind not in (Kind.COLOUR, Kind.ADJECTIVE, Kind.NOUN, Kind.AGE):
            return
        if before.kind is Kind.NOUN and NOUNS[before.key].values != ("bald",):
            return
        for place in range(at + 1, min(at + 4, len(self.pieces))):
            if self.pieces[place].kind not in (Kind.ARTICLE, Kind.FILLER):
                self.pieces[place] = Piece(Kind.FILLER, "", self.pieces[place].text)
                return

    def _is_coloured(self, at: int) -> bool:
        """Whether the colours before an unknown word are its own, and not of the noun that came earlier: "a hat with a
        red band". Of what is worn, they are of the clothes."""
        if not self.colours or self.last is None or self.worn:
            return False
        if [one for one in self.pieces[at + 1 : at + 2] if one.kind in _OF_A_NOUN]:
            return False
        before = next((one for one in self.pieces[:at][::-1] if one.kind not in _BEFORE_NOUNS), None)
        return before is not None and (before.kind is Kind.ARTICLE or before.text in ("with", "has", "have", "having"))

    def _colour(self, at: int, piece: Piece) -> None:
        following = self.pieces[at + 1] if at + 1 < len(self.pieces) else None
        shade = all(word in lexicon.SHADES for word in piece.text.split())
        if shade and following is not None and following.kind is Kind.COLOUR:
            return
        self.colours.append((piece, self._denies))

    def _meaning(self, piece: Piece) -> None:
        kind, denied = piece.kind, self._denies
        if kind is Kind.PERSON:
            self._person(piece)
            return
        if kind is Kind.NOUN:
            self._noun(piece)
            return
        self._use_denial(denied)
        if kind is Kind.PRONOUN:
            self.said.ask("sex", (lexicon.PRONOUNS[piece.text],), piece.text)
            self.used = False
        elif kind is Kind.YEARS:
            years = int(piece.key)
            age = next(name for name, last in lexicon.LAST_YEARS.items() if years <= last or name == "elderly")
            self.said.say_age((age,), piece.text, EXACT, denied)
        elif kind is Kind.ORIGIN:
            self.said.say("skin", tuple(piece.key.split(", ")), piece.text, denied)
        elif kind is Kind.HAIRED:
            self.said.say("hair_color", (piece.key,), piece.text, denied)
        elif kind is Kind.MARK:
            self._drop()
            self.said.say(piece.key, (YES,), piece.text, denied)
            self.last = piece
        elif kind is Kind.ABSENT:
            values = tuple(one for one in VALUES[piece.key] if one != NONE)
            self.said.say(piece.key, values, piece.text, not denied)
        elif kind is Kind.EXPRESSION:
            kin = {"smiling": ("smiling", "grinning")}.get(piece.key, (piece.key,)) if denied else (piece.key,)
            self.said.say("expression", kin, piece.text, denied)
        elif kind is Kind.FACE:
            self.said.say("face_shape", (piece.key,), piece.text, denied)
        elif kind is Kind.LIGHTING:
            self.said.say("lighting", (piece.key,), piece.text, denied)
        elif kind is Kind.TRAIT:
            self.adjectives = []  # of what is named here as a whole
            names = piece.key.split()
            for name, sign in zip(names[::2], names[1::2], strict=True):
                self.said.say(name, (sign,), piece.text, denied)

    # ---- nouns

    def _noun(self, piece: Piece) -> None:
        noun, denied = NOUNS[piece.key], self._denies
        for word, _ in self.age_words:  # an old hat makes nobody old
            if noun.thing not in (Thing.HAIR, Thing.SKIN, Thing.EYES):
                self.unread.append(word.text)
        if noun.thing not in (Thing.HAIR, Thing.SKIN, Thing.EYES):
            self.age_words = []
        qualified = bool(self.colours or self.adjectives)
        if denied and noun.thing in REMOVABLE:
            self._noun_alone(piece, True)
        elif denied and qualified and not (noun.values and noun.thing is Thing.HAIR):
            pass  # of "no red hair" the colour is denied, not the hair
        else:
            self._noun_alone(piece, denied)
        if not (denied and noun.thing in REMOVABLE):
            self._dress(piece)
        self.colours, self.adjectives, self.choice = [], [], False
        self._use_denial(denied)
        self.last, self.last_coloured = piece, qualified and self.last_coloured
        self.heads[noun.thing] = piece

    def _noun_alone(self, piece: Piece, denied: bool) -> None:
        """What a noun says without the words before it."""
        noun = NOUNS[piece.key]
        if denied and noun.thing in REMOVABLE:
            values = noun.values if noun.thing is Thing.BEARD and noun.values else _ALL_OF[noun.attribute]
            if set(self.said.asked.get(noun.attribute, ())) - set(noun.values):
                values = noun.values or values  # glasses, but no sunglasses
            self.said.deny(noun.attribute, values, piece.text)
        elif denied and noun.thing is Thing.HAIR and not noun.values:
            self.said.ask("hair", ("bald",), f"no {piece.text}")
        elif noun.values:
            self.said.say(noun.attribute, noun.values, piece.text, denied)
        elif noun.thing is Thing.HAT and noun.attribute not in self.said.asked:
            self.said.ask("hat", recipe.HATS, piece.text)

    def _dress(self, piece: Piece) -> None:
        """Give a noun the colours and adjectives that stand before it."""
        noun = NOUNS[piece.key]
        self.last_coloured = False
        self._style(noun.thing, [one for one in self.adjectives if noun.thing in lexicon.ADJECTIVES[one[0].key]], noun)
        if self.colours:
            self._paint(noun.thing, self.colours, piece.text)

    def _style(
        self, thing: Thing, adjectives: list[tuple[Piece, bool]], noun: lexicon.Noun | None, late: bool = False
    ) -> None:
        """A style or kind by adjectives: what they have in common, or else the last but long and short, which many
        styles are."""
        if not adjectives or (noun is not None and noun.values and len(noun.values) == 1):
            return
        chosen: tuple[str, ...] = ()
        denied = adjectives[0][1]
        words = [one.key for one, _ in adjectives]
        for piece, _ in adjectives:
            values = lexicon.ADJECTIVES[piece.key][thing]
            common = tuple(value for value in chosen if value in values)
            if not chosen or common:
                chosen = common or values
            elif piece.key not in ("long", "short", "flowing"):
                chosen = values
        if thing is Thing.HAIR and "curly" in chosen and {"long", "flowing", "waist length"} & set(words):
            chosen = ("long wavy",)
        attribute = {Thing.HAIR: "hair", Thing.BEARD: "beard", Thing.GLASSES: "glasses", Thing.HAT: "hat"}.get(
            thing, "top"
        )
        said = noun.values if noun is not None else ()
        said = said or self.said.asked.get(attribute, ()) if late else said
        chosen = tuple(value for value in said if value in chosen) or (chosen if late else said or chosen)
        noun_words = {Thing.HAIR: "hair"}.get(thing, "")
        self.said.say(
            attribute, chosen, " ".join(filter(None, (*[one.text for one, _ in adjectives], noun_words))), denied
        )

    def _paint(self, thing: Thing, colours: list[tuple[Piece, bool]], words: str) -> bool:
        """A thing's colour: the last of adjacent ones that can be said of it; the others were not read."""
        name = "hair_color" if thing is Thing.BEARD else thing.value
        hues = lexicon.HUES_OF[name]
        fitting = [one for one in colours if one[0].key in hues]
        self.unread += [piece.text for piece, _ in colours if piece.key not in hues]
        if not fitting:
            return False
        piece, denied = fitting[0]
        values, said = hues[piece.key], piece.text
        if self.choice:
            values = tuple(dict.fromkeys(value for one, _ in fitting for value in hues[one.key]))
            said = " or ".join(one.text for one, _ in fitting)
        if thing is Thing.BEARD and Thing.HAIR in self.heads and "hair_color" in self.said.asked and not denied:
            if not set(self.said.asked["hair_color"]) & set(values):
                self.unread.append(piece.text)  # a beard has the colour of the hair
            return False
        # "dark" of hair beside no other colour is black or brown; a person who says so of skin means dark.
        self.said.say(name, values, said, denied)
        self.last_coloured = not denied
        return True

    def _person(self, piece: Piece) -> None:
        denied = self._denies and not self.used  # a no-beard man is one
        meanings = lexicon.PERSON_MEANINGS[piece.key]
        if piece.key == "of a kind":
            self.unread.append(piece.text)
        described = bool(self.colours or self.age_words or self.adjectives)
        self._ages()
        self._people_colours()
        self.unread += [one.text for one, _ in self.adjectives]
        self.adjectives = []
        aged = any(name == "age" and len(values) == 1 for name, values in meanings)
        for name, values in meanings:
            if denied and not described and (name == "age") == aged:  # not an old woman: not old
                self.said.deny(name, values, piece.text)
            elif denied and name == "age":
                continue
            elif name == "age":
                self.said.say_age(values, piece.text, WEAK if len(values) > 1 else PLAIN, False)
                if len(values) > 1 and self.said.words.get("age") == piece.text:
                    del self.said.words["age"]
            else:
                self.said.ask(name, values, piece.text)
        if denied:
            self._end_denial()
        self.last, self.last_coloured = piece, False

    def _ages(self) -> None:
        for piece, denied in self.age_words:
            self.said.say_age((piece.key,), piece.text, PLAIN, denied)
            self._use_denial(denied)
        self.age_words = []

    def _people_colours(self) -> None:
        """Colours beside a person: a black woman, a ginger lass."""
        for piece, denied in self.colours:
            people = {
                "black": lexicon.BLACK_PEOPLE, "white": lexicon.WHITE_PEOPLE, "brown": lexicon.BROWN_PEOPLE,
            }.get(piece.key if piece.text in ("black", "white", "brown") else "")  # fmt: skip
            if people and Thing.SKIN in self.heads:
                self.unread.append(piece.text)  # a light-skinned black woman
            elif people:
                self.said.say("skin", people, piece.text, denied)
            else:
                self._of_hair_or_skin(piece, denied, hair=lexicon.HAIR_OF_PEOPLE, skin=lexicon.SKIN_HUES)
            self._use_denial(denied)
        self.colours = []

    def _of_hair_or_skin(self, piece: Piece, denied: bool, *, hair: Container[str], skin: Container[str]) -> None:
        """A colour without a noun, of the hair or the skin if its hue is among those that say so."""
        if piece.key in hair:
            self.said.say("hair_color", lexicon.HAIR_HUES[piece.key], piece.text, denied)
        elif piece.key in skin:
            self.said.say("skin", lexicon.SKIN_HUES[piece.key], piece.text, denied)
        else:
            self.unread.append(piece.text)

    # ---- the end of a phrase

    def _drop(self) -> None:
        """Words before what takes neither colour nor kind: gold earrings."""
        self.unread += [piece.text for piece, _ in (*self.colours, *self.adjectives)]
        self.colours, self.adjectives = [], []

    def _flush(self) -> None:
        """What waited for a noun that did not come."""
        self._ages()
        for piece, denied in self.adjectives:
            things = [thing for thing in lexicon.ADJECTIVES[piece.key] if thing in self.heads]
            if things:
                thing = things[0]
                head = NOUNS[self.heads[thing].key]
                if len(head.values) != 1:
                    self._style(thing, [(piece, denied)], head, late=True)
            elif Thing.HAIR in lexicon.ADJECTIVES[piece.key] and piece.key in ("curly", "wavy", "permed"):
                self._style(Thing.HAIR, [(piece, denied)], None)
            elif piece.key not in lexicon.FILLERS:
                self.unread.append(piece.text)
            self._use_denial(denied)
        self.adjectives = []
        if self.colours:
            self._late_colours()
        self.colours, self.worn, self.changed, self.choice = [], False, False, False

    def _late_colours(self) -> None:
        last = self.last
        if self.worn and not (last is not None and last.kind is Kind.NOUN and self.changed):
            self._paint(Thing.TOP, self.colours, "")
        elif last is not None and last.kind is Kind.NOUN and (self.changed or not self.last_coloured):
            self._paint(NOUNS[last.key].thing, self.colours, last.text)
        elif last is not None and last.kind is Kind.PERSON:
            self._people_colours()
        else:
            for piece, denied in self.colours:
                self._of_hair_or_skin(piece, denied, hair=lexicon.OF_HAIR_ALONE, skin=lexicon.OF_SKIN_ALONE)
        for _, denied in self.colours:
            self._use_denial(denied)
