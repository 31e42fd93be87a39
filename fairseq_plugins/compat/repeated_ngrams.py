"""``--no-repeat-ngram-size``: no hypothesis says the same n words twice."""

from __future__ import annotations

import math
from typing import Any

import torch

from .registry import mark, marked, repair


@repair("fairseq#4709, fairseq#5206")
def repeated_ngrams() -> bool:
    """``--no-repeat-ngram-size`` does nothing where its CUDA extension is not built.

    The search hands over its whole table of tokens, and the last columns are compared, which are padding until the
    last step; and of one-word n-grams none is ever found.
    """
    from fairseq.ngram_repeat_block import NGramRepeatBlock

    original = NGramRepeatBlock._no_repeat_ngram
    if marked(original):
        return True

    def _no_repeat_ngram(self: Any, tokens: Any, lprobs: Any, bsz: int, beam_size: int, step: int) -> Any:
        size = self.no_repeat_ngram_size
        for row, written in enumerate(tokens[:, : step + 1].tolist()):
            begin = len(written) - size + 1
            if begin < 0:
                continue
            last = written[begin:]
            banned = [written[i + size - 1] for i in range(begin) if written[i : i + size - 1] == last]
            lprobs[row, torch.tensor(banned, dtype=torch.long, device=lprobs.device)] = -math.inf
        return lprobs

    NGramRepeatBlock._no_repeat_ngram = mark(_no_repeat_ngram, original)
    return True
