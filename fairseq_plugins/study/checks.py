"""What can be wrong with a study and is said before anything runs."""

from __future__ import annotations

import contextlib
import io
from argparse import Namespace
from pathlib import Path

from fairseq_plugins.errors import UserError

from . import quantities
from .recipes import Recipe, Training, said_error
from .spec import Study, option_words


def check(study: Study, recipe: Recipe, runs: Path) -> dict[str, Training]:
    """What each variant's training would be.

    Raises:
        UserError: one sentence with file and line: the recipe, fairseq or a stage of attention refuses something, or a
            variant sets what the recipe sets for all.
    """
    import fairseq_plugins.models  # noqa: F401  registers the architectures

    plain: dict[str | None, Training] = {}
    found = {}
    for variant in study.variants.values():
        training = recipe.describe(variant, variant.options, runs)
        kind = training.option("--arch")
        if kind not in plain:
            plain[kind] = recipe.describe(variant, (), runs) if variant.options else training
        own = {word for word in plain[kind].words if word.startswith("--")}
        for word in variant.options:
            name = word.partition("=")[0]
            if name in own:
                raise UserError(
                    f"{variant.place}: {variant.name} sets {name}, which {study.recipe.name} sets for every variant "
                    f"(to {plain[kind].option(name)}); try it for all under tune: grid:, or set it for all under "
                    "options:"
                )
        try:
            quantities.parameters(parsed(training, variant.place), training.vocabulary)
        except (ValueError, AssertionError) as error:  # stages of attention refuse by the first, fairseq by either
            raise UserError(f"{variant.place}: {variant.name}: {str(error) or 'no such model can be built'}") from None
        found[variant.name] = training
    if study.tuning:
        some = study.variants[study.baseline]
        for name, values in study.tuning.grid.items():
            for value in values:
                words = option_words({name: value})
                parsed(recipe.describe(some, [*some.options, *words], runs), study.tuning.place)
        if study.tuning.length_penalties and found[study.baseline].kind not in ("translation", "parsing"):
            raise UserError(f"{study.tuning.place}: length-penalty is for translations, not for a language model")
    return found


def parsed(training: Training, place: str) -> Namespace:
    """fairseq's options of a training, with the defaults of its architecture.

    Raises:
        UserError: fairseq knows no such option, value or architecture.
    """
    from fairseq_plugins.training_plan import parse_training

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return parse_training([*training.words])
    except SystemExit:
        sentence = said_error(said.getvalue())
        # of a choice among hundreds the beginning
        shown = sentence if len(sentence) < 300 else f"{sentence[:300].rpartition(',')[0]}, ..."
        raise UserError(f"{place}: {shown}") from None
    except ValueError as error:
        raise UserError(f"{place}: {error}") from None


def check_checkpoints(study: Study) -> None:
    """GLUE fine-tunes what each variant names, and can neither be tuned nor given a budget.

    Raises:
        UserError: a variant names no checkpoint, or the study asks for what GLUE has not.
    """
    for variant in study.variants.values():
        if variant.checkpoint is None:
            raise UserError(f"{variant.place}: {variant.name} needs checkpoint:, the pretrained model to fine-tune")
        if variant.budget:
            raise UserError(
                f"{variant.budget.place}: the models are trained already; give a budget where they are pretrained"
            )
    if study.tuning:
        raise UserError(
            f"{study.tuning.place}: GLUE's development sets are what is reported, and choosing by them would flatter "
            "the chosen; give one --lr for all under with:"
        )
