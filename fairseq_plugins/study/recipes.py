"""What a recipe of examples/ says of the training that it would run, and how it is called."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from fairseq_plugins.errors import UserError

from .spec import Study, Variant

#: the project's folder, in which examples/ and scripts/ are
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Training:
    """A training that a recipe would run.

    Attributes:
        kind: translation, parsing, masked_lm or language_modeling.
        words: for fairseq-train, the data first.
        vocabulary: symbols of the dictionary, as far as the recipe knows before it is made.
    """

    kind: str
    words: tuple[str, ...]
    vocabulary: int

    @property
    def data(self) -> Path:
        """The folder of the binarised data."""
        return Path(self.words[0])

    def option(self, name: str) -> str | None:
        """The value of an option, the last one where it stands twice."""
        found = None
        for word, following in zip(self.words, [*self.words[1:], None]):
            if word == name:
                found = following
            elif word.startswith(f"{name}="):
                found = word.partition("=")[2]
        return found

    def has_data(self) -> bool:
        """Whether the data are prepared."""
        return any(self.data.glob("dict*.txt"))


class Recipe:
    """A script of examples/ with the options that a study gives it for every run.

    Args:
        flags: ``--cpu``, ``--gpus 1``, ``--smoke``.
    """

    def __init__(self, study: Study, flags: Sequence[str]) -> None:
        self.study = study
        self.path = study.recipe
        self.flags = list(flags)

    def is_glue(self) -> bool:
        """Whether it fine-tunes given checkpoints."""
        return self.path.name == "glue.sh"

    def command(
        self, variant: Variant, seed: int, runs: Path, name: str, *more: str, options: Sequence[str]
    ) -> list[str]:
        """The call for one run.

        Args:
            runs: folder of the runs.
            name: of this one, without the seed.
            more: further options of the recipe.
            options: words for fairseq-train.
        """
        if self.is_glue():
            own = ["--checkpoint", str(variant.checkpoint), "--seeds", str(seed)]
            own += ["--runs", str(runs / f"{name}-seed{seed}")]
        else:
            kind = variant.variant or self._variant_of(variant)
            own = ["--variant", kind] if kind else []
            own += ["--name", name, "--seed", str(seed), "--runs", str(runs)]
        words = ["bash", str(self.path), *own, *self.study.recipe_options, *self.flags, *more]
        passed_on = [*self.study.options, *options]
        return [*words, "--", *passed_on] if passed_on else words

    def prepare_command(self) -> list[str]:
        """The call that only prepares the data."""
        words = ["bash", str(self.path), "--until", "prepare", *self.study.recipe_options]
        return [*words, *(flag for flag in self.flags if flag == "--smoke")]

    def describe(self, variant: Variant, options: Sequence[str], runs: Path) -> Training:
        """What a variant's training would be.

        Raises:
            UserError: the recipe refuses it; file and line of the study, and the recipe's own sentence.
        """
        command = self.command(variant, self.study.seeds[0], runs, variant.name, "--describe", options=options)
        found = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
        if found.returncode or not found.stdout:
            raise UserError(f"{self._place_of(found.stderr, variant)}: {said_error(found.stderr)}")
        kind, vocabulary, _, *words = found.stdout.rstrip("\0").split("\0")
        training = Training(kind.partition("=")[2], tuple(words), int(vocabulary.partition("=")[2] or 0))
        # fairseq's tasks have the names of the kinds
        return replace(training, kind=training.kind or training.option("--task") or "translation")

    def _variant_of(self, variant: Variant) -> str | None:
        """The recipe's variant of that name, or the baseline's, of which this one differs by options."""
        known = self._known
        if variant.name in known:
            return variant.name
        baseline = self.study.variants[self.study.baseline]
        chosen = baseline.variant or baseline.name
        return chosen if chosen in known or not known else ("baseline" if "baseline" in known else None)

    @cached_property
    def _known(self) -> list[str]:
        """The recipe's variants, as it names them where it is asked for none of them."""
        command = ["bash", str(self.path), "--variant", "?", "--describe"]
        found = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
        match = re.search(r"--variant \?: choose one of (.*)", found.stderr)
        return match[1].split() if match else []

    def _place_of(self, text: str, variant: Variant) -> str:
        """Where the option that a recipe complains of stands."""
        return variant.place if "--variant" in text or "option" not in text else self.study.recipe_place


def said_error(text: str) -> str:
    """The sentence with which a script ended."""
    lines = [line for line in text.splitlines() if line.strip()]
    for line in lines:
        if "error: " in line:
            return line.partition("error: ")[2]
    return lines[-1] if lines else "it ended without a word"


def environment(**more: str) -> dict[str, str]:
    """That of a run: the Python that the caller named or this one, which need not be asked again what it has."""
    python = os.environ.get("PYTHON") or sys.executable
    return {**os.environ, "PYTHON": python, "FAIRSEQ_PLUGINS_PYTHON": python, **more}
