"""What a prompt has said so far: of each attribute what is asked for, what is ruled out, and by which words.

The last word counts: what is asked for is not ruled out any more, and the other way round.
"""

from __future__ import annotations

from collections.abc import Iterable

from rodin.prompts.understanding import NONE, VALUES

# How much of an age a word says: a man may be young or old, a boy is a child, years are years.
WEAK, PLAIN, EXACT = range(3)


class Said:
    """Nothing at first."""

    def __init__(self) -> None:
        self.asked: dict[str, tuple[str, ...]] = {}
        self.denied: dict[str, tuple[str, ...]] = {}
        self.words: dict[str, str] = {}
        self._age_strength = -1

    def ask(self, name: str, values: tuple[str, ...], words: str) -> None:
        """Something is asked for; what was asked before it of the same attribute gives way."""
        if name == "beard" and values == ("moustache",) and name in self.asked and NONE not in self.asked[name]:
            return  # a beard with a moustache is a beard
        kept = tuple(value for value in values if value not in self.denied.get(name, ()))
        if not kept:
            del self.denied[name]
        self.asked[name] = kept or values
        self.words[name] = words

    def deny(self, name: str, values: Iterable[str], words: str) -> None:
        """Something is ruled out, and of what was asked for the same."""
        values = tuple(values)
        if name == "beard" and values == ("moustache",) and name in self.asked:
            values = ("moustache", "full beard")  # which has one: what is left of a beard is that of the chin
        self.denied[name] = tuple(dict.fromkeys((*self.denied.get(name, ()), *values)))
        self.words.setdefault(name, words)
        if name in self.asked:
            kept = tuple(value for value in self.asked[name] if value not in self.denied[name])
            self.asked.pop(name)
            if kept:
                self.asked[name] = kept
            else:
                self.words[name] = words
        if len(set(self.denied[name])) >= len(VALUES[name]):  # everything: the last word counts
            self.denied[name] = values

    def say(self, name: str, values: tuple[str, ...], words: str, denied: bool) -> None:
        """Ask for something, or rule it out."""
        (self.deny if denied else self.ask)(name, values, words)

    def say_age(self, values: tuple[str, ...], words: str, strength: int, denied: bool) -> None:
        """An age; the word that says it most exactly counts, and of equals the last.

        Args:
            strength: WEAK, PLAIN or EXACT.
        """
        if denied:
            self.deny("age", values, words)
        elif strength >= self._age_strength:
            if strength == WEAK and "age" in self.denied:
                return
            self._age_strength = strength
            self.ask("age", values, words)
