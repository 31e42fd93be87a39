"""``--mask-whole-words`` of masked language models."""

from __future__ import annotations

from typing import Any

from .registry import repair


@repair("fairseq#3924")
def mask_whole_words() -> bool:
    """``--task masked_lm --mask-whole-words`` asks its task for options that only older tasks have, and stops.

    What it wants of them is ``--bpe`` and its files, which stand beside the task's options in the configuration.
    Without ``--bpe`` every token is a word.
    """
    from fairseq.tasks.masked_lm import MaskedLMTask

    if not hasattr(MaskedLMTask, "args") and "args" not in vars(MaskedLMTask):
        MaskedLMTask.args = _BpeOfConfiguration()
    return isinstance(vars(MaskedLMTask).get("args"), _BpeOfConfiguration)


class _BpeOfConfiguration:
    """An attribute that tasks which set one of that name have for themselves."""

    def __get__(self, task: Any, owner: Any = None) -> Any:
        if task is None:
            raise AttributeError(f"type object {owner.__name__!r} has no attribute 'args'")
        get_parent = getattr(task.cfg, "_get_parent", None)
        configuration = get_parent() if get_parent is not None else None
        if configuration is None:
            raise AttributeError(
                "--mask-whole-words needs to know --bpe: set up the task with the task's part of a whole "
                "configuration, as fairseq's commands do"
            )
        return configuration.bpe
