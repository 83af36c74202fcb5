"""Prompts that name colours and nothing else, such as "red hair and a navy top": an avatar of materials takes them by
its palette alone, so that the person stays as it is."""

from __future__ import annotations

import re

from PIL import ImageColor

#: What people call the materials whose colours they name. Earrings, lashes and teeth they do not ask for.
_NOUNS = {
    "hair": "hair beard moustache mustache goatee brows eyebrows braids bun ponytail bob afro mohawk quiff curls "
    "fringe",
    "skin": "skin complexion",
    "lips": "lips lipstick mouth",
    "iris": "eyes eye iris irises",
    "top": "top shirt t-shirt tshirt tee sweater jumper pullover hoodie turtleneck clothes collar",
    "hat": "hat cap beanie fedora",
    "frame": "glasses spectacles frame frames rims",
}
_OTHER_COLOURS = "blond blonde ginger auburn brunette golden pale light dark tanned bright hazel"
_FILLERS = "a an the with and or of in wearing has have his her their its dyed coloured colored"

MATERIAL_OF = {noun: material for material, nouns in _NOUNS.items() for noun in nouns.split()}
COLOURS = frozenset(ImageColor.colormap) | set(_OTHER_COLOURS.split())
KNOWN = COLOURS | set(_FILLERS.split()) | set(MATERIAL_OF)


def coloured_materials(prompt: str) -> set[str]:
    """The materials whose colours a prompt names; empty where it says anything else, or names no colour."""
    words = re.findall(r"[\w'-]+", prompt.lower())
    words = [part for word in words for part in ([word] if word in MATERIAL_OF else word.split("-"))]
    found = {MATERIAL_OF[word] for word in words if word in MATERIAL_OF}
    return found if KNOWN.issuperset(words) and COLOURS.intersection(words) else set()
