"""What fairseq-interactive forgets of its input, and what it cannot print."""

from __future__ import annotations

import sys
from typing import Any

from .registry import mark, marked, repair


@repair("fairseq#1033")
def interactive_lines() -> bool:
    """fairseq-interactive keeps no word that its dictionary lacks, and dies of ``--print-alignment soft``.

    Its tasks get each batch's lines, for ``--replace-unk``, as ``_lines_of_batch``; soft alignments, which it has no
    format for, are refused with the name of the command that prints them. The program is looked for when it builds
    its generator: a repair that imported it would set up its logging everywhere.
    """
    from fairseq.tasks import FairseqTask

    original = FairseqTask.build_generator
    if marked(original, "interactive_lines"):
        return True

    def build_generator(self: Any, models: Any, args: Any, *rest: Any, **kwargs: Any) -> Any:
        if getattr(args, "replace_unk", None) is not None or getattr(args, "print_alignment", None):
            _wrap_batches()
        return original(self, models, args, *rest, **kwargs)

    FairseqTask.build_generator = mark(build_generator, original, "interactive_lines")
    return True


def _wrap_batches() -> None:
    for program in map(sys.modules.get, ("fairseq_cli.interactive", "__main__")):
        original = getattr(program, "make_batches", None)
        if original is not None and hasattr(program, "buffered_read") and not marked(original):
            program.make_batches = mark(_with_lines(original), original)  # type: ignore[union-attr]


def _with_lines(make_batches: Any) -> Any:
    def with_lines(lines: Any, cfg: Any, task: Any, max_positions: Any, encode_fn: Any) -> Any:
        if str(getattr(cfg.generation, "print_alignment", None)) == "soft":
            raise ValueError(
                "fairseq-interactive prints hard alignments only: leave out the word soft after --print-alignment, "
                "or use fairseq-generate"
            )
        for batch in make_batches(lines, cfg, task, max_positions, encode_fn):
            task._lines_of_batch = [encode_fn(lines[number]) for number in batch.ids.tolist()]
            yield batch

    return with_lines
