"""Engines that search: translations, and completions by causal language models."""

from __future__ import annotations

import math
from typing import Any

from fairseq import utils

from fairseq_plugins.errors import UserError
from fairseq_plugins.text.steps import joined, word_numbers

from .engine import Engine, Hypothesis, Settings
from .records import SIDES, settle_direction


class Generating(Engine):
    """What both have: fairseq's generator, by the options of ``fairseq-interactive``.

    Raises:
        UserError: as :class:`~.engine.Engine`, or more hypotheses are wanted than the search has.
    """

    def __init__(self, settings: Settings, device: int = 0) -> None:
        super().__init__(settings, device)
        options = self.cfg.generation
        if options.nbest > options.beam:
            raise UserError(f"--nbest {options.nbest}: a beam of {options.beam} has {options.beam} hypotheses")
        if options.sampling and options.nbest != options.beam:
            raise UserError(f"--sampling draws --beam hypotheses of equal rank; give --nbest {options.beam}, too")
        self.generator: Any = self.task.build_generator(self.models, options)
        self.unwanted = getattr(self.generator, "symbols_to_strip_from_output", None) or {self.generator.eos}

    def hypotheses(self, lines: list[str]) -> list[list[Hypothesis]]:
        sample = self.batch(lines)
        numbers = sample["id"].tolist()
        longest = self.longest(sample["net_input"]["src_tokens"].shape[1])
        self.task._lines_of_batch = [lines[number] for number in numbers]  # for --replace-unk
        found: list[list[Hypothesis]] = [[] for _ in lines]
        for number, ranked in zip(numbers, self.task.inference_step(self.generator, self.models, sample)):
            for one in ranked[: self.cfg.generation.nbest]:
                tokens = len(one["tokens"])
                score = float(one["score"]) / math.log(2)  # as fairseq-generate prints it
                made = self.hypothesis(one, lines[number])
                found[number].append(made._replace(score=score, weight=tokens, cut=tokens > longest))
        return found

    def longest(self, source: int) -> float:
        """Tokens at which the search ends a hypothesis, ``</s>`` not counted, for a batch of this width."""
        if not hasattr(self.generator, "max_len_b"):
            return math.inf
        return min(int(self.generator.max_len_a * source + self.generator.max_len_b), self.generator.max_len - 1)

    def hypothesis(self, found: dict[str, Any], line: str) -> Hypothesis:
        """The text of what the search found, and its alignment."""
        raise NotImplementedError


class Translator(Generating):
    """Translation models; ``text`` is what ``scripts/generate.sh`` makes of the same hypothesis."""

    TASKS = ("translation", "translation_lev")
    PAIR = True
    OTHERS = "scripts/complete.sh is for causal language models, scripts/fill_mask.sh for masked ones"

    def __init__(self, settings: Settings, device: int = 0) -> None:
        super().__init__(settings, device)
        self.align_dict = utils.load_align_dict(self.cfg.generation.replace_unk)
        languages = (self.task.cfg.source_lang, self.task.cfg.target_lang)
        self.removed = [self.record.pieces(language).remove_bpe for language in languages]
        self.detokenise = self.record.decoder(languages[1], of_words=True)

    def settle(self, task: Any, settings: Settings) -> None:
        direction = settle_direction(task, settings.record, settings.paths[0])
        asked = [getattr(self.cfg.task, side, None) for side in SIDES]
        if any(wanted not in (None, language) for wanted, language in zip(asked, direction)):
            raise UserError(
                f"{settings.paths[0]} translates {'-'.join(direction)}, not {'-'.join(map(str, asked))}; "
                "give a model of that direction"
            )

    def hypothesis(self, found: dict[str, Any], line: str) -> Hypothesis:
        tokens, dictionary = found["tokens"].int().cpu(), self.task.target_dictionary
        ignored = {"extra_symbols_to_ignore": self.unwanted}
        _, words, pairs = utils.post_process_prediction(
            tokens, line, found.get("alignment"), self.align_dict, dictionary, self.removed[1], **ignored
        )
        made = Hypothesis(self.detokenise(words), 0.0)
        if not self.cfg.generation.print_alignment:
            return made
        sides = (line, dictionary.string(tokens, None, **ignored))
        source, target = (word_numbers(side, kind) for side, kind in zip(sides, self.removed))
        # fairseq counts the pieces that it aligns, specials aside, so both sides start at 0
        found_pairs = sorted({(source[int(i)], target[int(j)]) for i, j in pairs})
        return made._replace(pairs=tuple(found_pairs), source=joined(line, self.removed[0]), words=words)


class Completer(Generating):
    """Causal language models; ``text`` is the line and what comes after it, at most ``--max-len-b`` tokens."""

    TASKS = ("language_modeling", "multilingual_language_modeling")
    OTHERS = "scripts/translate.sh is for translation models, scripts/fill_mask.sh for masked language models"
    EQUAL_LENGTHS = True  # the search ends all completions of a batch at one length, that of the line counted

    def __init__(self, settings: Settings, device: int = 0) -> None:
        super().__init__(settings, device)
        self.length = self.generator.max_len_b
        self.limit = min(self.limit, self.generator.max_len) - 1
        self.decode = self.record.decoder()

    def hypotheses(self, lines: list[str]) -> list[list[Hypothesis]]:
        self.generator.max_len_b = len(lines[0].split()) + self.length
        # that the search ends them is what was asked for
        return [[one._replace(cut=False) for one in found] for found in super().hypotheses(lines)]

    def hypothesis(self, found: dict[str, Any], line: str) -> Hypothesis:
        tokens = found["tokens"].int().cpu()
        pieces = self.task.target_dictionary.string(tokens, None, extra_symbols_to_ignore=self.unwanted)
        return Hypothesis(self.decode(pieces), 0.0)
