"""Evaluation that leaves out a part of the data."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from fairseq_plugins.left_out import EvaluationError, LeftOut

from . import shards
from .registry import mark, marked, repair, see

logger = logging.getLogger(__name__)

#: program -> what its data consist of
UNITS = {"generate": "sentences", "interactive": "sentences", "validate": "sentences", "eval_lm": "blocks"}


class TooLongError(EvaluationError, AssertionError):
    """A sentence that no batch can hold, which fairseq asserts; a training says it too."""


class Evaluation:
    """One run of a program that evaluates."""

    def __init__(self, program: str, cfg: Any):
        self.cfg = cfg
        self.translates = program == "generate"
        #: interactive makes a dataset of each buffer, which one long sentence may fill
        self.may_be_empty = program == "interactive"
        self.left_out = LeftOut(UNITS[program])

    def see(self, batches: Any) -> None:
        """Count an ``EpochBatchIterator``.

        Raises:
            EvaluationError: it holds nothing of its dataset.
            EmptyShard: ``fairseq-generate`` has nothing to do.
        """
        found = LeftOut(self.left_out.unit, limit=self.left_out.limit)
        found.add(batches)
        if found.missing == found.total and not self.may_be_empty:
            raise EvaluationError(f"there is nothing to evaluate: {found.amount} are {found.reason}")
        self.left_out.add(batches)
        if self.translates:
            shards.raise_if_empty(batches)


#: programs that are at work, the innermost last
_running: list[Evaluation] = []


@repair("none known")
def left_out_data() -> bool:
    """What is longer than the model takes is left out of an evaluation with a warning far above the result, and what
    is longer than ``--max-tokens`` ends in an ``AssertionError``.

    The batches of programs that evaluate are counted. The errors are ``EvaluationError``, of which a program makes a
    sentence.
    """
    from fairseq.data import data_utils
    from fairseq.data.iterators import EpochBatchIterator
    from fairseq.tasks import FairseqTask

    if marked(EpochBatchIterator.next_epoch_itr):
        return True
    next_epoch_itr = EpochBatchIterator.next_epoch_itr
    filter_indices_by_size = FairseqTask.filter_indices_by_size
    batch_by_size = data_utils.batch_by_size

    def counted_epoch(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _running and _running[-1].translates:
            shards.deal(self)
        iterator = next_epoch_itr(self, *args, **kwargs)
        if _running:
            _running[-1].see(self)
        return iterator

    def said_filter(self: Any, indices: Any, dataset: Any, max_positions: Any = None, *args: Any, **kwargs: Any) -> Any:
        if _running:
            _running[-1].left_out.limit = max_positions
        try:
            return filter_indices_by_size(self, indices, dataset, max_positions, *args, **kwargs)
        except Exception as error:
            if type(error) is Exception:
                raise EvaluationError(re.sub(r"np\.\w+\((\d+)\)", r"\1", str(error))) from error
            raise

    def said_batches(*args: Any, **kwargs: Any) -> Any:
        try:
            return batch_by_size(*args, **kwargs)
        except AssertionError as error:
            if "max_tokens" in str(error):
                raise TooLongError(f"{error}: give a larger --max-tokens, or split what is longer") from error
            raise

    EpochBatchIterator.next_epoch_itr = mark(counted_epoch, next_epoch_itr)
    FairseqTask.filter_indices_by_size = mark(said_filter, filter_indices_by_size)
    data_utils.batch_by_size = mark(said_batches, batch_by_size)
    return True


def repair_program(program: ModuleType) -> None:
    """``fairseq-eval-lm`` takes blocks of 1,024 tokens, whatever the model takes, unless told of others.

    It takes those of the model's training, and never longer ones than the model takes.
    """
    if hasattr(program, "eval_lm"):
        see(program, "checkpoint_utils", load_model_ensemble_and_task=_load_and_fit)


@contextlib.contextmanager
def counted(program: str, cfg: Any, output_file: Any = None, **_: Any) -> Iterator[None]:
    """Around a program's main function, with its arguments; says at the end, where output goes, what was left out."""
    evaluation = Evaluation(program, cfg)
    if evaluation.translates:
        shards.take(cfg)
    _running.append(evaluation)
    try:
        with contextlib.suppress(shards.EmptyShard):
            yield
    finally:
        _running.remove(evaluation)
    if evaluation.left_out:
        print(evaluation.left_out, file=output_file or sys.stdout, flush=True)


def _load_and_fit(*args: Any, **kwargs: Any) -> Any:
    from fairseq import checkpoint_utils

    models, saved, task = checkpoint_utils.load_model_ensemble_and_task(*args, **kwargs)
    if _running:
        _fit_blocks(_running[-1].cfg, models, saved, task)
    return models, saved, task


def _fit_blocks(cfg: Any, models: Sequence[Any], saved: Any, task: Any) -> None:
    """Set the length of a language model's blocks, from which fairseq has taken the context window already.

    Raises:
        EvaluationError: the context window leaves nothing of a block.
    """
    from fairseq import utils

    limit = utils.resolve_max_positions(*[model.max_positions() for model in models])
    settings: Any = getattr(task, "args", None)
    if not isinstance(limit, (int, float)) or not hasattr(settings, "tokens_per_sample"):
        return
    window = getattr(cfg, "eval_lm", cfg).context_window
    asked = settings.tokens_per_sample + window
    trained = getattr(saved.task, "tokens_per_sample", None)
    size = int(min(asked if _is_given("--tokens-per-sample", asked) else trained or limit, limit))
    sentences = getattr(settings, "sample_break_mode", None) not in (None, "none")  # where any window will do
    if window >= size and not sentences:
        raise EvaluationError(
            f"--context-window {window} leaves no token to score in blocks of {size}; give {size - 1} or less"
        )
    if size != asked:
        logger.info("--tokens-per-sample: blocks of %d tokens, as the model takes them, not of %d", size, asked)
    settings.tokens_per_sample = size - window


def _is_given(option: str, value: int) -> bool:
    """Whether the block length is on the command line, or a program that calls fairseq has set it."""
    from fairseq.tasks.language_modeling import LanguageModelingConfig

    words = [word.partition("=")[0] for word in sys.argv]
    return option in words or value != LanguageModelingConfig.tokens_per_sample
