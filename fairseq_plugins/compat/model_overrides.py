"""Overrides of a trained model's options that its weights do not fit."""

from __future__ import annotations

import inspect
import os
from typing import Any

from .registry import mark, marked, repair


@repair("none known")
def overrides_that_do_not_fit() -> bool:
    """An override that needs other parameters, ``attention_projection`` for one, ends in a list of missing keys.

    The error, still a ``RuntimeError``, names the overrides that differ from what the model was trained with.
    """
    from fairseq import checkpoint_utils

    original = checkpoint_utils.load_model_ensemble_and_task
    if marked(original):
        return True

    def load_model_ensemble_and_task(filenames: Any, arg_overrides: Any = None, *args: Any, **kwargs: Any) -> Any:
        from fairseq_plugins.checkpoints import Checkpoint
        from fairseq_plugins.checkpoints.overrides import misfit

        try:
            return original(filenames, arg_overrides, *args, **kwargs)
        except RuntimeError as error:
            lines = str(error).splitlines()
            given = inspect.signature(original).bind(filenames, arg_overrides, *args, **kwargs).arguments
            overridden = arg_overrides and given.get("state") is None  # a state that is given stays as it is
            if not overridden or not str(error).startswith("Error(s) in loading state_dict"):
                raise
            for path in filter(os.path.exists, filenames):  # what is in parts has other names
                changed = misfit(Checkpoint(path, checkpoint_utils.load_checkpoint_to_cpu(path)), arg_overrides)
                if changed:
                    raise RuntimeError(
                        f"{path}: its weights are not those of a model with {changed}; an override can change how a "
                        f"trained model computes, not which parameters it has: {' '.join(lines[1:2])[:200].strip()}"
                    ) from None
            raise

    checkpoint_utils.load_model_ensemble_and_task = mark(load_model_ensemble_and_task, original)
    return True
