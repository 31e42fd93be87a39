"""What fairseq says, and models by their names."""

import argparse
import io
import logging
import sys
import warnings

import fairseq.models
from answers import Purpose, Raises, repaired
from fairseq.data import Dictionary
from omegaconf import OmegaConf
from tiny_models import settings

HYDRA = "In 'config': Usage of deprecated keyword in package header"


def warned(message, category=UserWarning):
    """Of a warning, what is shown when everything is."""

    def call(_):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            if repaired():
                sys.modules["fairseq_plugins.compat.messages"].hydra_warnings()
            warnings.warn(message, category, stacklevel=1)
        return [str(warning.message) for warning in seen]

    return call


def logged(message, *arguments, name="fairseq.tasks.text_to_speech"):
    """Of a message to a logger, what it writes."""

    def call(_):
        logger, out = logging.getLogger(name), io.StringIO()
        handler, raising, logging.raiseExceptions = logging.StreamHandler(out), logging.raiseExceptions, False
        logger.addHandler(handler)
        try:
            logger.error(message, *arguments)
        finally:
            logging.raiseExceptions = raising
            logger.removeHandler(handler)
        return out.getvalue()

    return call


class Task:
    source_dictionary = target_dictionary = Dictionary()


def built(cfg, *arguments, **kwargs):
    def call(_):
        made = cfg() if callable(cfg) else cfg
        model = fairseq.models.build_model(made, *arguments, **kwargs)
        return type(model).__name__, len(model.decoder.layers), getattr(made, "decoder_attention_heads", None)

    return call


def arguments(**changes):
    return lambda: argparse.Namespace(
        **{"arch": "transformer_tiny", "encoder_layers": 1, "decoder_layers": 1, **changes}
    )


CONTRACTS = {
    "hydra_warnings": {
        "another warning": warned("the data is small"),
        "another category": warned(HYDRA, DeprecationWarning),
        "its text inside another": warned(f"not: {HYDRA}"),
        "what nobody can act on": Purpose(warned(HYDRA), []),
    },
    "tensorboard_hint": {
        "another message": logged("loaded %d lines", 3),
        "no text": logged(ValueError("lost")),
        "arguments that do not fit": logged("loaded %d lines", "three"),
        "another logger": logged("Please install tensorboardX", name="fairseq.tasks.translation"),
        "the hint": Purpose(logged("Please install tensorboardX: pip install tensorboardX"), ""),
    },
    "unknown_model_message": {
        "arguments": built(arguments(), Task),
        "by keywords": built(arguments(), task=Task),
        "of a checkpoint": built(arguments(), Task, True),
        "of a checkpoint, by keyword": built(arguments(), Task, from_checkpoint=False),
        "settings": built(settings, Task),
        "a model's name for an architecture": built(arguments(arch="transformer"), Task),
        "_name before arch": built(arguments(_name="transformer_tiny", arch="nobodys"), Task),
        "a folder named after the model": built(lambda: OmegaConf.create({"transformer_lm": settings()}), Task),
        "a folder named after no model": built(OmegaConf.create({"nobodys": {}}), Task),
        "nothing": built(None, Task),
        "no name": built(argparse.Namespace(), Task),
        "no text": built(argparse.Namespace(arch=["a"]), Task),
        "no task": built(arguments()),
        "an unknown name": Purpose(built(argparse.Namespace(arch="nobodys", x={"a": 1}), Task), Raises("ValueError")),
        "unknown settings": Purpose(built(OmegaConf.create({"_name": "nobodys", "x": 1}), Task), Raises("ValueError")),
    },
}
