"""Which modules keep their dropout in evaluation."""

from __future__ import annotations

import logging
import re
from typing import Any

from .registry import mark, marked, repair


@repair("none known")
def retained_dropout_modules() -> bool:
    """fairseq 0.12.2's ``--retain-dropout-modules`` reaches other modules than its documentation names.

    The option is one text, in which a module's name is looked for as it stands: ``TransformerDecoderLayer`` keeps the
    decoder's own dropout, and not the layers', which have called themselves ``TransformerDecoderLayerBase`` since they
    take a dataclass. A text is now read as the list of names in it, and ``Base`` behind a name says nothing.
    """
    from fairseq.modules.fairseq_dropout import FairseqDropout

    original = FairseqDropout.make_generation_fast_
    if marked(original):
        return True
    if not _reaches_wrong_modules():
        return False

    def make_generation_fast_(
        self: Any, name: str, retain_dropout: bool = False, retain_dropout_modules: Any = None, **kwargs: Any
    ) -> None:
        if retain_dropout and retain_dropout_modules is not None:  # without the former nobody reads it
            retain_dropout_modules = _names(retain_dropout_modules)
        original(self, name, retain_dropout, retain_dropout_modules, **kwargs)

    FairseqDropout.make_generation_fast_ = mark(make_generation_fast_, original)
    return True


def _names(given: Any) -> list[str]:
    """A text or a collection of names -> every name with and without ``Base``."""
    names = re.findall(r"\w+", given) if isinstance(given, str) else list(map(str, given))
    short = [name.removesuffix("Base") for name in names]
    return [*short, *(f"{name}Base" for name in short)]


def _reaches_wrong_modules() -> bool:
    from fairseq.modules import fairseq_dropout

    quiet = logging.Logger("quiet", logging.CRITICAL)
    usual, fairseq_dropout.logger = fairseq_dropout.logger, quiet
    try:
        part, base = (fairseq_dropout.FairseqDropout(0.5, module_name=name) for name in ("Layer", "LayerBase"))
        part.make_generation_fast_("probe", retain_dropout=True, retain_dropout_modules="LayerNorm")
        base.make_generation_fast_("probe", retain_dropout=True, retain_dropout_modules=["Layer"])
    finally:
        fairseq_dropout.logger = usual
    return part.apply_during_inference or not base.apply_during_inference
