"""What a model makes of a prompt: it is understood in the words of `rodin synth` where the model learned from these,
and read as it stands elsewhere."""

from __future__ import annotations

from functools import cached_property

from rodin.avatars.vocabulary import Translator, says_absences, speaks_of_recipes
from rodin.errors import UserError
from rodin.models.phrases import PhraseReader
from rodin.prompts.completion import Completion, complete
from rodin.prompts.grammar import understand
from rodin.prompts.understanding import Understanding

LONGEST_PROMPT = 2000  # characters; the text tower reads a fraction of it, so what is longer is no prompt


class PromptMeaning:
    """Reads prompts for a model.

    Args:
        words: the model's reader of phrases; None of a model that reads by its encoder's text tower.
        translate: words that are not known to known ones, if there is a sentence encoder.
    """

    def __init__(self, words: PhraseReader | None, translate: Translator | None) -> None:
        self._words, self._translate = words, translate

    @cached_property
    def understands(self) -> bool:
        """See `RodinPipeline.understands`."""
        return self._words is not None and speaks_of_recipes(self._words)

    @cached_property
    def says_absences(self) -> bool:
        """Whether the captions that the model learned from say what is not there."""
        return self._words is not None and says_absences(self._words)

    def complete(self, prompt: str, seed: int) -> Completion:
        """See `RodinPipeline.understand`.

        Raises:
            UserError: as `understand`, or the model reads prompts as they stand.
        """
        if not self.understands:
            raise UserError(
                "understand: this model was not trained on the words of rodin synth; it reads all literally"
            )
        return complete(self.understand(prompt), seed)

    def understand(self, prompt: str) -> Understanding:
        """What a prompt asks for and denies.

        Raises:
            UserError: it is empty, too long, or nothing of it is understood.
        """
        check_prompt(prompt)
        understanding = understand(prompt, self._translate)
        if understanding.unread and not understanding.named:
            raise UserError(f"prompt: {understanding.line()}; describe the avatar in other words")
        return understanding

    def means_something(self, prompt: str) -> bool:
        """Whether anything of a prompt is understood."""
        understanding = understand(prompt, self._translate)
        return bool(understanding.named or not understanding.unread)

    def unread(self, prompt: str) -> tuple[str, ...]:
        """See `RodinPipeline.unread`."""
        if self.understands:
            return understand(prompt, self._translate).unread
        return () if self._words is None else tuple(self._words.unknown_words(prompt))


def check_prompt(prompt: str) -> None:
    """Raise UserError if a prompt is empty or too long."""
    if not prompt.strip():
        raise UserError("prompt: it is empty; describe the avatar, or leave the prompt out to draw from nothing")
    if len(prompt) > LONGEST_PROMPT:
        raise UserError(f"prompt: {len(prompt)} characters; give at most {LONGEST_PROMPT}")
