"""``--replace-unk``: an unknown word that a model writes becomes the word of the source that it looks at most."""

from __future__ import annotations

import contextlib
import re
import types
from typing import Any

from .registry import mark, marked, repair

#: what an unknown token is called while BPE is removed around it
_UNKNOWN = "\0unk\0"


@repair("fairseq#3533")
def replace_unk_without_value() -> bool:
    """``--replace-unk`` without a dictionary opens a file called "@@ " instead of copying the source's words."""
    from fairseq.dataclass.configs import GenerationConfig

    field = GenerationConfig.__dataclass_fields__["replace_unk"]
    if field.metadata.get("argparse_const") == "@@ ":
        field.metadata = types.MappingProxyType({**field.metadata, "argparse_const": ""})
    return field.metadata.get("argparse_const") == ""


@repair("fairseq#3533, fairseq#686, fairseq#1033")
def replace_unk() -> bool:
    """``--replace-unk`` dies where an unknown word is generated, and fairseq-interactive would copy ``<unk>`` itself.

    The search keeps no alignment, or one that the replacement cannot read, and fairseq-interactive forgets the words
    that its dictionary lacks. Now an unknown token is aligned with the source token of the largest attention weight
    (of ``--print-alignment``'s pair, where that is given), the end of the sentence aside. If it is a word of its own
    once BPE is removed, it becomes the dictionary's entry for that source word, or the source word itself. All others
    stay, as do all of a model without cross-attention.
    """
    from fairseq import utils
    from fairseq.tasks import FairseqTask

    build, post_process = FairseqTask.build_generator, utils.post_process_prediction
    if marked(post_process):
        return True

    def build_generator(self: Any, models: Any, args: Any, *rest: Any, **kwargs: Any) -> Any:
        generator = build(self, models, args, *rest, **kwargs)
        if getattr(args, "replace_unk", None) is not None:
            with contextlib.suppress(NotImplementedError):  # a task without a dictionary for its sources
                generator.generate = _aligned(self, generator)
        return generator

    def post_process_prediction(
        hypo_tokens: Any,
        src_str: Any,
        alignment: Any,
        align_dict: Any,
        tgt_dict: Any,
        remove_bpe: Any = None,
        extra_symbols_to_ignore: Any = None,
    ) -> Any:
        if align_dict is None or not isinstance(alignment, _Alignment):
            options = remove_bpe, extra_symbols_to_ignore
            return post_process(hypo_tokens, src_str, alignment, align_dict, tgt_dict, *options)
        unknown = iter([k for k, token in enumerate(hypo_tokens.tolist()) if token == tgt_dict.unk()])
        ignored = {"extra_symbols_to_ignore": extra_symbols_to_ignore}
        text = tgt_dict.string(hypo_tokens, remove_bpe, unk_string=_UNKNOWN, **ignored)

        def replacement(match: Any) -> str:
            source = alignment.source_word(next(unknown), remove_bpe)
            alone = not text[: match.start()][-1:].strip() and not text[match.end() :][:1].strip()
            return align_dict.get(source, source) if alone and source is not None else tgt_dict.unk_string()

        text = " ".join(re.sub(_UNKNOWN, replacement, text).split())
        return tgt_dict.encode_line(text, add_if_not_exist=True), text, alignment

    FairseqTask.build_generator = mark(build_generator, build, "replace_unk")
    utils.post_process_prediction = mark(post_process_prediction, post_process)
    return True


class _Alignment(list):
    """The alignment that a generator gave, with the source's tokens and the one that each token of it looks at."""

    def __init__(self, printed: Any, source: list[str], attention: Any):
        """Args: printed: pairs, rows, or nothing; source: S tokens; attention: S x tokens of the hypothesis."""
        super().__init__(printed if isinstance(printed, list) else [])
        self.source = source
        if self and isinstance(self[0], tuple):
            self.looks_at = {target: source for source, target in self}
        elif source and attention is not None and attention.dim() == 2:
            self.looks_at = dict(enumerate(attention.argmax(0).tolist()))
        else:
            self.looks_at = {}

    def source_word(self, token: int, bpe: str | None) -> str | None:
        """The word of the source, without BPE, that the hypothesis's token of this number looks at."""
        from fairseq.data.data_utils import post_process

        position = self.looks_at.get(token)
        if position is None:
            return None
        # a letter more, so that a token that is nothing but a sign of BPE begins its word too
        until = [*self.source[:position], self.source[position] + "x"]
        number = len(post_process(" ".join(until), bpe).split()) - 1
        return post_process(" ".join(self.source), bpe).split()[number]


def _aligned(task: Any, generator: Any) -> Any:
    """The generator's ``generate`` with an :class:`_Alignment` in each hypothesis."""
    from fairseq.sequence_scorer import SequenceScorer

    generate, dictionary = generator.generate, task.source_dictionary
    if dictionary is None:
        return generate

    def aligned(models: Any, sample: Any, *args: Any, **kwargs: Any) -> Any:
        finalized = generate(models, sample, *args, **kwargs)
        for row, (tokens, hypotheses) in enumerate(zip(sample["net_input"]["src_tokens"], finalized)):
            kept = (tokens.ne(dictionary.pad()) & tokens.ne(dictionary.eos())).nonzero().squeeze(1)
            source = [dictionary[token] for token in tokens[kept].tolist()]
            line = _source_line(task, sample, row)
            if len(line) >= len(source):  # a source can be truncated
                unknown = tokens[kept].eq(dictionary.unk()).tolist()
                source = [word if new else token for token, word, new in zip(source, line, unknown)]
            for hypothesis in hypotheses:
                attention = hypothesis.get("attention")
                if attention is not None and attention.dim() == 2:
                    attention = attention.t() if isinstance(generator, SequenceScorer) else attention
                    attention = attention.index_select(0, kept.to(attention.device))
                hypothesis["alignment"] = _Alignment(hypothesis.get("alignment"), source, attention)
        return finalized

    return aligned


def _source_line(task: Any, sample: Any, row: int) -> list[str]:
    """The tokens of a source sentence as they stood in its file or were typed (:mod:`.interactive`); else none."""
    from fairseq.tokenizer import tokenize_line

    lines = getattr(task, "_lines_of_batch", None)
    if lines is not None:
        return tokenize_line(lines[row])
    for dataset in task.datasets.values():
        original = getattr(getattr(dataset, "src", None), "get_original_text", None)
        if original is not None and "id" in sample:
            return tokenize_line(original(int(sample["id"][row])))
    return []
