"""What is said of a synthetic avatar: its caption, other wordings, prompts."""

from __future__ import annotations

#: The version of the words: of the caption and the paraphrases that a recipe gets. It changes when either does, while
#: the recipe and so the pictures stay; `rodin synth-words` then brings a rendered set up to date.
WORDS_VERSION = "2"
