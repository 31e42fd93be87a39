"""Masks filled by masked language models."""

from __future__ import annotations

from collections.abc import Callable

import torch
from fairseq.data import data_utils

from fairseq_plugins.errors import UserError
from fairseq_plugins.text.record import TextRecord
from fairseq_plugins.text.steps import ByteBpe

from .engine import Engine, Hypothesis, Settings

MASK = "<mask>"


class MaskFiller(Engine):
    """Masked language models; the hypotheses of a line with one mask are its ``--nbest`` likeliest fillings.

    Their scores are probabilities among all tokens of the dictionary. Of a line with several masks each gets its
    likeliest filling, and the score is the product.
    """

    TASKS = ("masked_lm",)
    OTHERS = "scripts/translate.sh is for translation models, scripts/complete.sh for causal language models"

    def __init__(self, settings: Settings, device: int = 0) -> None:
        super().__init__(settings, device)
        self.decode = self.record.decoder()
        self.limit -= 1  # for <s>
        (self.model,) = self.models
        symbols = enumerate(self.task.source_dictionary.symbols)
        self.no_text = [number for number, symbol in symbols if not symbol.isdecimal()]  # what is no id of the BPE

    @staticmethod
    def encoder(record: TextRecord) -> Callable[[str], str]:
        """As fairseq's ``fill_mask``: a mask takes the white space before it along, as a word does."""
        step = record.pieces(record.source)
        if not isinstance(step, ByteBpe):
            raise UserError(f"{record.folder}: masks are filled in text of a byte-level BPE alone")
        encode = step.load(record.folder).encode
        return lambda line: f" {MASK} ".join(encode(part.rstrip()) for part in line.strip().split(MASK)).strip()

    @torch.no_grad()
    def hypotheses(self, lines: list[str]) -> list[list[Hypothesis]]:
        dictionary, mask = self.task.source_dictionary, self.task.mask_idx
        tokens = [
            dictionary.encode_line(f"<s> {line}", add_if_not_exist=False).long().to(self.device) for line in lines
        ]
        padded = data_utils.collate_tokens(tokens, dictionary.pad())
        logits, _ = self.model(padded)
        return [
            self._fill(line, logits[row, : len(ids)][ids == mask].float().softmax(-1))
            for row, (line, ids) in enumerate(zip(lines, tokens))
        ]

    def _fill(self, line: str, probabilities: torch.Tensor) -> list[Hypothesis]:
        """Fillings of a line by the probabilities of each mask, as (masks, dictionary)."""
        if not len(probabilities):
            return [Hypothesis(self.decode(line), 1.0)]
        dictionary = self.task.source_dictionary
        ranked = probabilities.clone()
        ranked[:, self.no_text] = -1
        count = self.cfg.generation.nbest if len(probabilities) == 1 else 1
        best = ranked.topk(min(count, ranked.shape[1]), dim=-1)
        found = []
        for values, chosen in zip(best.values.T, best.indices.T):
            fillings = iter(chosen.tolist())
            pieces = [dictionary[next(fillings)] if piece == MASK else piece for piece in line.split()]
            found.append(Hypothesis(self.decode(" ".join(pieces)).strip(), float(values.prod())))
        return found
