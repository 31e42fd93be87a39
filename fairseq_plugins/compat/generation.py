"""Options of left-to-right search: prefixes, steps and histories, alignments."""

from __future__ import annotations

import math
import types
from typing import Any

from .registry import mark, marked, repair


@repair("none known")
def empty_prefix() -> bool:
    """``--prefix-size`` dies of a reference without a word: its first token is the end, which one beam alone can take.

    Such a sentence has no prefix and is translated as without the option. A reference that ends later within the
    prefix ends its hypothesis too, as it always did. The method stays one that TorchScript compiles.
    """
    from fairseq.sequence_generator import SequenceGenerator

    if hasattr(SequenceGenerator, "_prefix_tokens_with_end"):
        return True
    original = SequenceGenerator._prefix_tokens
    # TorchScript compiles a method under its function's name, and what a function wraps in its place (so no mark())
    renamed = types.FunctionType(original.__code__, original.__globals__, "_prefix_tokens_with_end")
    SequenceGenerator._prefix_tokens_with_end = renamed
    SequenceGenerator._prefix_tokens = _prefix_tokens
    return True


def _prefix_tokens(self, step: int, lprobs, scores, tokens, prefix_tokens, beam_size: int):  # type: ignore[no-untyped-def]
    """Force the tokens of one step, but for sentences whose prefix is the end of a sentence at once.

    Args:
        step: the position in the prefix.
        lprobs: (sentences * beam) x vocabulary.
        scores: (sentences * beam) x positions.
        tokens: (sentences * beam) x positions.
        prefix_tokens: sentences x prefix, padded on the right.
        beam_size: hypotheses a sentence.
    """
    none = prefix_tokens[:, 0].eq(self.eos)
    prefix_tokens = prefix_tokens.masked_fill(none.unsqueeze(1), self.pad)
    lprobs, tokens, scores = self._prefix_tokens_with_end(step, lprobs, scores, tokens, prefix_tokens, beam_size)
    # without a prefix the search itself would do this
    free = none.unsqueeze(1).repeat(1, beam_size).view(-1)
    rows = lprobs[free]
    if step < self.min_len:
        rows[:, self.eos] = -math.inf
    if self.token_indices_to_suppress is not None:
        rows[:, self.token_indices_to_suppress] = -math.inf
    lprobs[free] = rows
    return lprobs, tokens, scores


@repair("none known")
def steps_and_histories() -> bool:
    """``--print-step`` and ``--retain-iter-history`` end in ``KeyError`` where no model refines its output.

    They were made for iterative refinement. Left-to-right search takes a step a token, the end of the sentence
    included, and what stood after each of them is the hypothesis's beginning.
    """
    from fairseq.tasks import FairseqTask

    original = FairseqTask.build_generator
    if marked(original, "steps_and_histories"):
        return True

    def build_generator(self: Any, models: Any, args: Any, *rest: Any, **kwargs: Any) -> Any:
        generator = original(self, models, args, *rest, **kwargs)
        if getattr(args, "print_step", False) or getattr(args, "retain_iter_history", False):
            generator.generate = _with_steps(generator.generate)
        return generator

    FairseqTask.build_generator = mark(build_generator, original, "steps_and_histories")
    return True


def _with_steps(generate: Any) -> Any:
    def with_steps(*args: Any, **kwargs: Any) -> Any:
        finalized = generate(*args, **kwargs)
        for hypotheses in finalized:
            for hypothesis in hypotheses:
                tokens = hypothesis["tokens"]
                hypothesis.setdefault("steps", len(tokens))
                hypothesis.setdefault("history", [{"tokens": tokens[:end]} for end in range(1, len(tokens) + 1)])
        return finalized

    return with_steps


@repair("fairseq#1880")
def alignments() -> bool:
    """``print_alignment=True``, as the hub's users write it, and ``--print-alignment`` without cross-attention die.

    True means ``"hard"``, as the option's help says of all but ``"soft"``; where no layer looks at the source, or
    there is none, the alignment is empty.
    """
    from fairseq.sequence_generator import SequenceGenerator, SequenceGeneratorWithAlignment

    init, generate = SequenceGeneratorWithAlignment.__init__, SequenceGeneratorWithAlignment.generate
    if marked(init):
        return True

    def __init__(
        self: Any,
        models: Any,
        tgt_dict: Any,
        left_pad_target: bool = False,
        print_alignment: Any = "hard",
        **kwargs: Any,
    ) -> None:
        kind = "soft" if str(print_alignment) == "soft" else "hard"
        init(self, models, tgt_dict, left_pad_target, kind, **kwargs)

    def with_alignment(self: Any, models: Any, sample: Any, **kwargs: Any) -> list[list[Any]]:
        if any(_attends_to_source(model) for model in self.model.models):
            return generate(self, models, sample, **kwargs)
        finalized = SequenceGenerator.generate(self, models, sample, **kwargs)
        for hypotheses in finalized:
            for hypothesis in hypotheses:
                hypothesis["alignment"] = []
        return finalized

    SequenceGeneratorWithAlignment.__init__ = mark(__init__, init)
    SequenceGeneratorWithAlignment.generate = mark(with_alignment, generate)
    return True


def _attends_to_source(model: Any) -> bool:
    """Whether a layer of the model's decoder has cross-attention; other decoders than transformers speak for it."""
    layers = getattr(getattr(model, "decoder", None), "layers", None)
    if layers is None:
        return hasattr(model, "encoder")
    return any(getattr(layer, "encoder_attn", layer) is not None for layer in layers)


@repair("none known")
def constraints_of_nothing() -> bool:
    """``--constraints`` where nobody reads constraints (fairseq-generate, language models) dies of a ``NoneType``."""
    from fairseq.search import LexicallyConstrainedBeamSearch

    original = LexicallyConstrainedBeamSearch.init_constraints
    if marked(original):
        return True

    def init_constraints(self: Any, batch_constraints: Any, beam_size: int) -> Any:
        if batch_constraints is None:
            raise ValueError(
                "--constraints needs constraints, and there are none: fairseq-interactive reads them after a tab in "
                "each line, for the translation task"
            )
        return original(self, batch_constraints, beam_size)

    LexicallyConstrainedBeamSearch.init_constraints = mark(init_constraints, original)
    return True
