"""``--no-repeat-ngram-size``."""

import torch
from answers import Purpose
from fairseq.ngram_repeat_block import NGramRepeatBlock

WRITTEN = [[2, 4, 5, 4], [2, 5, 5, 5], [2, 4, 5, 6], [2, 2, 4, 2]]


def allowed(size, step, columns, by_keywords=False):
    """Which tokens may follow, of a dictionary of eight; two sentences with two hypotheses each."""

    def call(_):
        tokens = torch.ones(4, columns, dtype=torch.long)
        known = torch.tensor(WRITTEN)[:, : step + 1]
        tokens[:, : known.shape[1]] = known
        block = NGramRepeatBlock(size, use_extension=False)
        given = {"tokens": tokens, "lprobs": torch.zeros(4, 8), "bsz": 2, "beam_size": 2, "step": step}
        found = block._no_repeat_ngram(**given) if by_keywords else block(*given.values())
        return found.eq(0).tolist()

    return call


def all_but(*banned):
    return [[token not in tokens for token in range(8)] for tokens in banned]


CONTRACTS = {
    "repeated_ngrams": {
        "nothing to compare yet": allowed(3, 0, 6),
        "pairs, as wide as it is": allowed(2, 3, 4),
        "pairs, before": allowed(2, 2, 3),
        "threes, as wide as it is": allowed(3, 3, 4),
        "pairs in a wider table": Purpose(allowed(2, 3, 9), all_but([5], [5], [], [2, 4])),
        "threes in a wider table": Purpose(allowed(3, 3, 9), all_but([], [5], [], [])),
        "single ones": Purpose(allowed(1, 3, 9), all_but([2, 4, 5], [2, 5], [2, 4, 5, 6], [2, 4])),
        "by keywords": allowed(2, 3, 4, by_keywords=True),
    }
}
