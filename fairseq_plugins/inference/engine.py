"""A model that answers lines: what each kind of model does is a class beside this one.

An engine takes lines in a model's pieces and gives hypotheses in plain text. It is made where it works, in this process
or in another one, from :class:`Settings`, which can be sent there.
"""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from fairseq import checkpoint_utils, options, utils
from fairseq.dataclass.utils import convert_namespace_to_omegaconf

import fairseq_plugins.models  # noqa: F401  first: its repairs and registration
from fairseq_plugins.checkpoints.options import set_option
from fairseq_plugins.checkpoints.reading import CheckpointError
from fairseq_plugins.errors import UserError
from fairseq_plugins.text.record import ONLY_SOURCE, TextRecord

#: what makes a message of a system without memory, of the CPU or of a GPU
NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


class Hypothesis(NamedTuple):
    """One answer to a line.

    Args:
        text: plain.
        score: the higher the better.
        weight: how many tokens the score is a mean of.
        cut: whether the search had to end it.
        pairs: (word of the source, word of the hypothesis), counted from 0, where alignments are asked for.
        source, words: these words, separated by blanks.
    """

    text: str
    score: float
    weight: int = 1
    cut: bool = False
    pairs: tuple[tuple[int, int], ...] = ()
    source: str = ""
    words: str = ""


@dataclass(frozen=True)
class Settings:
    """What an engine is made of.

    Args:
        paths: the checkpoints, an ensemble if there are several.
        record: of the text that they were trained on.
        words: options of ``fairseq-interactive``.
    """

    paths: tuple[str, ...]
    record: TextRecord
    words: tuple[str, ...]

    def fairseqs(self) -> Any:
        """fairseq's configuration by these options.

        Raises:
            UserError: one is unknown, or its value is refused; the message is fairseq's.
        """
        parser = options.get_interactive_generation_parser()

        def refuse(message: str) -> None:
            raise UserError(f"of fairseq-interactive's options: {message}; see fairseq-interactive --help")

        parser.error = refuse  # type: ignore[method-assign,assignment]
        words = [self.data, "--path", ":".join(self.paths), *self.words]
        return convert_namespace_to_omegaconf(options.parse_args_and_arch(parser, words))

    @property
    def data(self) -> str:
        """The folder of the dictionaries."""
        return str(self.record.data)


class Engine:
    """Loaded models; a subclass says which tasks of fairseq they are of, and how they answer.

    Args:
        settings: what to load.
        device: number of the GPU, if there are several processes.

    Raises:
        UserError: a checkpoint cannot be read, is of another task, or has another dictionary than the record.
    """

    #: fairseq's tasks, and what is said where a model is of another one
    TASKS: ClassVar[tuple[str, ...]]
    OTHERS: ClassVar[str]
    #: whether lines of different lengths must not stand in one batch
    EQUAL_LENGTHS: ClassVar[bool] = False
    #: whether there are two languages
    PAIR: ClassVar[bool] = False

    def __init__(self, settings: Settings, device: int = 0) -> None:
        record = settings.record
        if (record.source != ONLY_SOURCE) != self.PAIR:
            found = f"the languages {record.source} and {record.target}" if not self.PAIR else "a language model"
            raise UserError(f"{record.folder}: its text.json is of text for {found}; give that of the model's corpus")
        self.cfg, self.record = settings.fairseqs(), record
        self.device = torch.device("cpu")
        if torch.cuda.is_available() and not self.cfg.common.cpu:
            self.device = torch.device("cuda", device)
            torch.cuda.set_device(self.device)
        overrides = literal_eval(self.cfg.common_eval.model_overrides)
        self.models, self.task = self._load(settings, overrides)
        for model in self.models:
            if self.cfg.common.fp16:
                model.half()
            model.to(self.device)
            model.prepare_for_inference_(self.cfg)
        #: the longest input in pieces, </s> counted
        self.limit = self._limit()

    @staticmethod
    def encoder(record: TextRecord) -> Callable[[str], str]:
        """What makes pieces of a raw line."""
        return record.encoder()

    def answer(self, lines: list[str], seed: int) -> list[list[Hypothesis]]:
        """The hypotheses of each line of a batch, the best first.

        Args:
            lines: in pieces, none empty or longer than ``limit``.
            seed: of whatever draws random numbers.

        Raises:
            UserError: there is not enough memory for the batch.
        """
        utils.set_torch_seed(seed)
        try:
            return self.hypotheses(lines)
        except RuntimeError as error:
            if not any(words in str(error) for words in NO_MEMORY):
                raise
            raise UserError(
                f"no memory for {len(lines)} lines at once; give a smaller --max-tokens or --beam"
            ) from None

    def hypotheses(self, lines: list[str]) -> list[list[Hypothesis]]:
        """What :meth:`answer` gives."""
        raise NotImplementedError

    def settle(self, task: Any, settings: Settings) -> None:
        """Look at the configuration of the task, and set what it leaves open.

        Raises:
            UserError: the model does not go with the record.
        """

    def batch(self, lines: list[str]) -> dict[str, Any]:
        """One batch of lines on the device; its ``id`` are their numbers, as fairseq may sort them by length."""
        encode = self.task.source_dictionary.encode_line
        tokens = [encode(line, add_if_not_exist=False).long() for line in lines]
        dataset = self.task.build_dataset_for_inference(tokens, [len(each) for each in tokens])
        sample = dataset.collater([dataset[number] for number in range(len(dataset))])
        moved: dict[str, Any] = utils.apply_to_sample(lambda tensor: tensor.to(self.device), sample)
        return moved

    def _load(self, settings: Settings, overrides: dict[str, Any]) -> tuple[list[Any], Any]:
        first = settings.paths[0]
        try:
            state = checkpoint_utils.load_checkpoint_to_cpu(first, overrides)
            name = str(getattr(state["cfg"].task, "_name", ""))
            if name not in self.TASKS:
                raise UserError(f"{first}: a model of fairseq's task {name or '(none)'}; {self.OTHERS}")
            self.settle(state["cfg"].task, settings)
            set_option(state["cfg"].task, "data", settings.data)
            models, _, task = checkpoint_utils.load_model_ensemble_and_task([first], overrides, state=state)
            for path in settings.paths[1:]:
                models += checkpoint_utils.load_model_ensemble([path], overrides, task)[0]
        except KeyError as error:
            raise CheckpointError(f"{first}: no fairseq checkpoint, or a damaged one (it has no {error})") from error
        except RuntimeError as error:
            lines = str(error).splitlines() or [repr(error)]
            reason = next((line for line in lines if "embed_tokens" in line), lines[-1]).strip()
            raise CheckpointError(
                f"{', '.join(settings.paths)}: cannot be loaded with the dictionaries in {settings.data} ({reason}); "
                "give the text.json of the corpus that the model was trained on"
            ) from error
        return models, task

    def _limit(self) -> int:
        limits = utils.resolve_max_positions(
            self.task.max_positions(), *[model.max_positions() for model in self.models]
        )
        source = limits[0] if isinstance(limits, (tuple, list)) else limits
        return int(min(source, self.cfg.dataset.max_tokens or source))
