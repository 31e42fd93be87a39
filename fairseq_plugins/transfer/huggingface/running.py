"""What ``transformers`` itself computes with a folder: the other side of every export and import."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from fairseq_plugins.checkpoints import CheckpointError, Weights
from fairseq_plugins.checkpoints.probe import running

from .files import INSTALL

#: classes of transformers
MASKED_LM, CLASSIFIER, HEADLESS = "RobertaForMaskedLM", "RobertaForSequenceClassification", "RobertaModel"
MARIAN = "MarianMTModel"


def transformers_package() -> Any:
    """The package ``transformers``.

    Raises:
        CheckpointError: it is not installed, or does not work with this torch.
    """
    try:
        import transformers
    except ImportError:
        raise CheckpointError(f"the package transformers is missing; run: {INSTALL}") from None
    if not transformers.utils.is_torch_available():
        raise CheckpointError("the package transformers wants another version of torch: install one that they share")
    return transformers


def load(folder: Path, kind: str, name: str, weights: Weights | None = None) -> Any:
    """The model of a folder, in evaluation mode and float64.

    Args:
        folder: with ``config.json`` and, unless they are given, weights as safetensors.
        kind: a class of transformers.
        name: of the model in messages.
        weights: by transformers' names, instead of those in the folder: from a file that is a pickle, which is left to
            the reader that runs nothing from it.

    Raises:
        CheckpointError: transformers cannot load it, or is missing.
    """
    transformers = transformers_package()
    with _quiet(transformers), running(name):
        model_class = getattr(transformers, kind)
        if weights is None:
            model = model_class.from_pretrained(folder, local_files_only=True)
        else:
            config = model_class.config_class.from_pretrained(folder, local_files_only=True)
            model = model_class.from_pretrained(None, config=config, state_dict=dict(weights))
        return model.double().eval()


def roberta_outputs(model: Any, tokens: Tensor, text: Tensor, name: str) -> Tensor:
    """Of a masked LM or a headless model for each word, of a classifier for each sentence; tokens are B x T."""
    with running(name):
        answer = model(input_ids=tokens, attention_mask=text.long())
    found: Tensor = answer.last_hidden_state if type(model).__name__ == HEADLESS else answer.logits
    return found if type(model).__name__ == CLASSIFIER else found[text]


def marian_outputs(model: Any, sources: Tensor, read: Tensor, pad: int, name: str) -> Tensor:
    """Marian's logits, B x T x words, for B x S source and B x T decoder tokens, padded on the right."""
    with running(name):
        answer = model(input_ids=sources, attention_mask=sources.ne(pad).long(), decoder_input_ids=read)
    logits: Tensor = answer.logits
    return logits


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without progress bars and warnings: what a folder lacks shows in its outputs."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
