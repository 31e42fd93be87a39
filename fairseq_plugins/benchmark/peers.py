"""What programs of others have in common that translate with stock fairseq's weights."""

from __future__ import annotations

from typing import Any

import torch
from fairseq import checkpoint_utils, utils
from torch import Tensor

from .decoding import Decoding, Hypothesis
from .worker import Memory


class PeerDecoding(Decoding):
    """Stock fairseq's checkpoint as another program's model, with the batches of fairseq.

    Sources are padded on the right, for the others count positions from the left.

    Args:
        words: of ``fairseq-generate``.
        threads, device, memory: see :class:`.stepping.Stepping`.
    """

    def __init__(self, words: list[str], threads: int, device: str, memory: Memory) -> None:
        super().__init__(words, threads, device, memory)
        (original,), saved = checkpoint_utils.load_model_ensemble([self.cfg.common_eval.path], task=self.task)
        limits = utils.resolve_max_positions(self.task.max_positions(), original.max_positions())
        self.model = self.converted(original).to(device).eval()
        del original
        self.batches = self.load_batches(limits, saved.task)

    def converted(self, original: Any) -> Any:
        """The other program's model."""
        raise NotImplementedError

    def search(self, sources: Tensor, text: Tensor, longest: int) -> tuple[list[list[int]], list[float]]:
        """The best hypothesis of each sentence, with ``</s>`` and whatever stands behind it, and its score.

        Args:
            sources: (B, S).
            text: (B, S), False where it is padding.
            longest: tokens of a hypothesis, ``</s>`` counted.
        """
        raise NotImplementedError

    @torch.no_grad()
    def translate(self, batch: dict[str, Any]) -> list[Hypothesis]:
        options, dictionary, sources = (
            self.cfg.generation,
            self.task.target_dictionary,
            batch["net_input"]["src_tokens"],
        )
        longest = int(options.max_len_a * sources.size(1) + options.max_len_b) + 1
        sources = utils.convert_padding_direction(sources, dictionary.pad(), left_to_right=True)
        rows, scores = self.search(sources, sources.ne(dictionary.pad()), longest)
        eos, symbols = dictionary.eos(), dictionary.symbols
        rows = [row[: row.index(eos)] if eos in row else row for row in rows]
        return [([symbols[n] for n in row], score) for row, score in zip(rows, scores)]
