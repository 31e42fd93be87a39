"""What fairseq says: warnings that nobody can act on, and an error that names nothing."""

from __future__ import annotations

import logging
import warnings
from typing import Any

from .registry import mark, marked, repair

_HYDRA_WARNINGS = (
    r"hydra\.experimental\.(initialize|compose)\(\) is no longer experimental",
    r"\s*The version_base parameter is not specified",
    r"In '.*': Usage of deprecated keyword in package header",
    r"\s*'config' is validated against ConfigStore schema with the same name",
    r"\s*The strict flag in the compose API is deprecated",
)


@repair("hydra#1030")
def hydra_warnings() -> bool:
    """hydra 1.3 prints sixteen lines about how fairseq calls it at each start; only those messages are silenced."""
    for message in _HYDRA_WARNINGS:
        # filterwarnings moves an equal filter to the front instead of adding another
        warnings.filterwarnings("ignore", message=message, category=UserWarning)
    return True


@repair("none known")
def tensorboard_hint() -> bool:
    """Importing fairseq logs "Please install tensorboardX", for its text-to-speech task, whatever the task is."""
    logging.getLogger("fairseq.tasks.text_to_speech").addFilter(_is_no_tensorboard_hint)
    return True


def _is_no_tensorboard_hint(record: logging.LogRecord) -> bool:
    return "tensorboardX" not in str(record.msg)  # its arguments may not fit, which is for the handlers to say


@repair("unilm#1089, fairseq#1655")
def unknown_model_message() -> bool:
    """An unknown model, such as one whose ``--user-dir`` was forgotten, ends in ``IndexError`` without a name.

    fairseq passes the configuration, braces and all, to ``str.format``.
    """
    import fairseq.models

    original = fairseq.models.build_model
    if marked(original):
        return True

    def build_model(cfg: Any, *args: Any, **kwargs: Any) -> Any:
        name = getattr(cfg, "_name", None) or getattr(cfg, "arch", None)
        if name and name not in fairseq.models.ARCH_MODEL_REGISTRY and name not in fairseq.models.MODEL_REGISTRY:
            folder = getattr(cfg, "user_dir", None)
            trained = f" (it was trained with --user-dir {folder})" if folder else ""
            raise ValueError(
                f"unknown model or architecture {name!r}: if a plugin defines it, name the plugin's folder with "
                f"--user-dir{trained}"
            )
        return original(cfg, *args, **kwargs)

    fairseq.models.build_model = mark(build_model, original)
    return True
