"""``--retain-dropout-modules``."""

from answers import Purpose
from fairseq.modules.fairseq_dropout import FairseqDropout
from omegaconf import OmegaConf


def kept(*arguments, module="Layer", **kwargs):
    """What is returned, and whether the module drops in evaluation."""

    def call(_):
        dropout = FairseqDropout(0.5, module_name=module)
        return dropout.make_generation_fast_(*arguments, **kwargs), dropout.apply_during_inference

    return call


CONTRACTS = {
    "retained_dropout_modules": {
        "not retained": kept("its.path"),
        "not retained, whatever is named": kept("its.path", False, 5),
        "of all modules": kept("its.path", True),
        "of all modules, named None": kept("its.path", True, None),
        "a list": kept("its.path", True, ["Other", "Layer"]),
        "a tuple": kept("its.path", True, ("Layer",)),
        "a set": kept("its.path", True, {"Layer"}),
        "a dictionary": kept("its.path", True, {"Layer": 1}),
        "settings": kept("its.path", True, OmegaConf.create(["Layer"])),
        "of a configuration's None": kept("its.path", True, [None, "Layer"]),
        "others": kept("its.path", True, ["Other"]),
        "none": kept("its.path", True, []),
        "its name": kept("its.path", True, "Layer"),
        "no name": kept("its.path", True, ""),
        "a module without a name": kept("its.path", True, ["Layer"], module=None),
        "a module without a name, of all": kept("its.path", True, module=None),
        "by keywords": kept(name="its.path", retain_dropout=True, retain_dropout_modules=["Layer"]),
        "other options": kept("its.path", retain_dropout=True, beamable_mm_beam_size=5, need_attn=False),
        "a number": kept("its.path", True, 5),
        "nothing": kept(),
        "a longer name": Purpose(kept("its.path", True, "LayerNorm"), (None, False)),
        "the name of before": Purpose(kept("its.path", True, ["Layer"], module="LayerBase"), (None, True)),
    }
}
