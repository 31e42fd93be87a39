"""CTranslate2's beam search with the options that make it ``fairseq-generate``'s.

Both take the best ``2 * beam`` continuations, set aside those of the first ``beam`` that end and go on with ``beam``
others, until ``beam`` hypotheses have ended, which they rank by log-probability divided by ``length ** lenpen``. </s>
counts in the length and never comes first, <unk> may be generated. What differs in CTranslate2 4 and fairseq 0.12.2:

- fairseq never generates <pad>: ``suppress_sequences``.
- For ``lenpen`` 0 CTranslate2 goes on until the best hypothesis ends: :data:`NO_PENALTY`.
- fairseq ends a hypothesis of the maximum length with </s>, and CTranslate2 cuts it there: :func:`translate` adds the
  probability of the </s> and ranks again.
- CTranslate2 cuts a sentence of more than ``max_input_length`` tokens, and answers an empty one by an empty one.
- CTranslate2 forbids a symbol before the softmax and fairseq after it, so that the others share its probability p here:
  the log-probability of every continuation grows by -log(1 - p). Between hypotheses that are equally good to about that
  much, the choice may be another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from fairseq_plugins.checkpoints import CheckpointError
from fairseq_plugins.lines import PathLike

from .spec import ctranslate2_package

BEGIN, PAD, END = "<s>", "<pad>", "</s>"
#: a length penalty that changes no score, but is not 0
NO_PENALTY = 1e-9


def search_options(beam: int = 5, lenpen: float = 1.0, max_len: int = 200) -> dict[str, Any]:
    """The options of ``Translator.translate_batch`` for fairseq's ``--beam``, ``--lenpen`` and ``--max-len-b``.

    Every hypothesis ends with </s>, unless it is cut at ``max_len`` tokens.
    """
    return {
        "beam_size": beam,
        "length_penalty": lenpen or NO_PENALTY,
        "return_end_token": True,
        "suppress_sequences": [[PAD]],
        "max_decoding_length": max_len,
        "min_decoding_length": 1,
        "max_input_length": 0,
    }


class Translation(NamedTuple):
    """A hypothesis.

    Attributes:
        tokens: its tokens as fairseq prints them, without <s> and </s>.
        score: its log-probability divided by ``length ** lenpen``; 0 for an empty sentence.
        cut: whether it ends only because it has the maximum length.
    """

    tokens: list[str]
    score: float
    cut: bool


def load_translator(folder: PathLike, **options: Any) -> Any:
    """A ``ctranslate2.Translator`` of an exported folder; ``options`` are its own (device, compute_type, threads).

    Raises:
        CheckpointError: the folder holds no model, or the package ctranslate2 is missing.
    """
    try:
        return ctranslate2_package().Translator(str(folder), **options)
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{folder}: {error}") from None


def translate(
    translator: Any,
    sentences: Sequence[Sequence[str]],
    beam: int = 5,
    lenpen: float = 1.0,
    max_len: int = 200,
    batch_tokens: int = 4096,
) -> list[Translation]:
    """The best hypothesis of every sentence, in their order.

    Args:
        translator: a ``ctranslate2.Translator``.
        sentences: tokens of the source language, without </s>.
        beam, lenpen, max_len: see :func:`search_options`.
        batch_tokens: source tokens at once, paddings included.

    Raises:
        CheckpointError: a sentence or a hypothesis is longer than the model's positions reach, or an option is off.
    """
    sources = [list(sentence) for sentence in sentences]
    batches = {"max_batch_size": batch_tokens, "batch_type": "tokens"}
    try:
        results = translator.translate_batch(
            sources, num_hypotheses=beam, return_scores=True, **batches, **search_options(beam, lenpen, max_len)
        )
        found = [list(zip(result.hypotheses, result.scores)) for result in results]
        cut = [(n, k) for n, pairs in enumerate(found) for k, (tokens, _) in enumerate(pairs) if _is_cut(tokens)]
        ended = translator.score_batch(
            [sources[n] for n, _ in cut], [found[n][k][0] for n, k in cut], max_input_length=0, **batches
        )
    except (RuntimeError, ValueError) as error:
        longest = max(range(len(sources)), key=lambda number: len(sources[number]))
        what = f"sentence {longest + 1} is the longest with {len(sources[longest])} tokens"
        raise CheckpointError(f"{error} ({what})") from None
    for (n, k), result in zip(cut, ended):
        found[n][k] = found[n][k][0], sum(result.log_probs) / len(result.log_probs) ** lenpen
    best = (max(pairs, key=lambda pair: pair[1]) for pairs in found)
    return [Translation([t for t in tokens if t not in (BEGIN, END)], score, _is_cut(tokens)) for tokens, score in best]


def _is_cut(hypothesis: Sequence[str]) -> bool:
    """Whether it has no </s>; that of an empty sentence has no symbol at all."""
    return bool(hypothesis) and hypothesis[-1] != END
