"""``fairseq-eval-lm --context-window``: text before each block that is read but not scored."""

from __future__ import annotations

from typing import Any

import numpy as np

from .registry import mark, marked, repair


@repair("none known")
def context_of_blocks() -> bool:
    """``--context-window`` with several data-loading workers gives blocks the context of other blocks.

    fairseq keeps the context of the batch that was made last, and each worker, like each of ``--num-shards``, makes
    only some of the batches: another perplexity, in silence. The context is read from the data instead.
    """
    from fairseq.data import LMContextWindowDataset

    original = LMContextWindowDataset.collater
    if marked(original):
        return True

    def collater(self: Any, samples: Any) -> Any:
        if samples and isinstance(samples[0], dict) and {"id", "source"} <= samples[0].keys():
            self.prev_tokens = _tokens_before(self, int(samples[0]["id"]))
        return original(self, samples)

    LMContextWindowDataset.collater = mark(collater, original)
    return True


def _tokens_before(dataset: Any, block: int) -> np.ndarray:
    """The last ``context_window`` tokens that a model reads in the blocks before one."""
    context = np.empty([0], dtype=np.int64)
    while block > 0 and len(context) < dataset.context_window:
        block -= 1
        tokens = dataset.dataset[block]["source"].numpy()
        context = np.concatenate([tokens[tokens != dataset.pad_idx], context])
    return context[-dataset.context_window :]


@repair("fairseq#2531")
def window_of_a_block() -> bool:
    """``--context-window`` of a block or more ends in ``ZeroDivisionError`` or "negative dimensions".

    Only blocks of a fixed length end so; where a block is a sentence, such a window is one that fills the block.
    """
    from fairseq.tasks.language_modeling import LanguageModelingTask

    original = LanguageModelingTask.load_dataset
    if marked(original):
        return True

    def load_dataset(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return original(self, *args, **kwargs)
        except (ZeroDivisionError, ValueError) as error:
            left = getattr(self.args, "tokens_per_sample", None)
            if left is None or left > 0:
                raise
            raise ValueError(
                f"--context-window leaves {left} tokens of a block to score: it must be smaller than "
                "--tokens-per-sample, whose blocks hold the context and what is scored. One token less than a block "
                "scores one token at a time; longer blocks need a model that takes them"
            ) from error

    LanguageModelingTask.load_dataset = mark(load_dataset, original)
    return True
