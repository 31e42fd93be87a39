"""``--mask-whole-words``: the options of a masked language model's task."""

from argparse import Namespace

from answers import Purpose
from fairseq.tasks.masked_lm import MaskedLMConfig, MaskedLMTask
from omegaconf import OmegaConf
from tiny_models import dictionary, masked_lm_task


class WithOptions(MaskedLMTask):
    args = "its own"


class WithInstanceOptions(MaskedLMTask):
    def __init__(self, cfg, *others):
        super().__init__(cfg, *others)
        self.args = cfg


class WithProperty(MaskedLMTask):
    @property
    def args(self):
        return [self.cfg.data]


def made(cfg=None, kind=MaskedLMTask):
    return kind(cfg or MaskedLMConfig(data="here"), dictionary())


def given(_):
    task = made()
    task.args = 3
    found = task.args
    del task.args
    return found, hasattr(task, "args")


def whole(**sections):
    return OmegaConf.create({"task": {"_name": "masked_lm", "data": "", "seed": 1}, **sections})


CONTRACTS = {
    "mask_whole_words": {
        "the class": lambda _: hasattr(MaskedLMTask, "args"),
        "the class's": lambda _: MaskedLMTask.args,
        "a class's default": lambda _: getattr(MaskedLMTask, "args", 3),
        "no configuration": lambda _: hasattr(made(), "args"),
        "no configuration's": lambda _: made().args,
        "a namespace": lambda _: hasattr(made(Namespace(data="", seed=1)), "args"),
        "a part of settings alone": lambda _: hasattr(made(OmegaConf.create({"data": "", "seed": 1})), "args"),
        "a configuration without a bpe": lambda _: hasattr(
            made(OmegaConf.create({"task": {"data": "", "seed": 1}}, flags={"struct": True}).task), "args"
        ),
        "a default": lambda _: getattr(made(), "args", None),
        "set by hand": given,
        "a class that has it": lambda _: made(kind=WithOptions).args,
        "a task that has it": lambda _: type(made(kind=WithInstanceOptions).args).__name__,
        "a property": lambda _: made(kind=WithProperty).args,
        "a task without a configuration": lambda _: hasattr(MaskedLMTask.__new__(MaskedLMTask), "args"),
        "the task": lambda _: [len(masked_lm_task().dictionary), masked_lm_task().mask_idx],
        "a whole configuration": Purpose(lambda _: made(whole(bpe={"_name": "gpt2"}).task).args["_name"], "gpt2"),
    }
}
