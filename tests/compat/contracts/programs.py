"""fairseq's programs, which stand-ins for their main functions show what they are called with."""

import importlib
import sys
import types
from argparse import Namespace

from answers import Purpose
from fairseq import utils
from omegaconf import OmegaConf

NOTHING = OmegaConf.create({})
PROGRAMS = {"preprocess": "main", "train": "main", "generate": "_main", "interactive": "main", "validate": "main"}
PROGRAMS["eval_lm"] = "main"


def imported(name):
    """A program that has its repairs, if this process has any."""
    module = importlib.import_module(f"fairseq_cli.{name}")
    utils.import_user_module(Namespace(user_dir=None))
    return module


def called(program, stand_in, *given, **named):
    """What a program's main function is given and what it gives; the stand-in has the original's signature."""

    def call(_):
        original, name = importlib.import_module(f"fairseq_cli.{program}"), PROGRAMS[program]
        sys.modules[f"fairseq_cli.{program}"] = module = types.ModuleType(f"fairseq_cli.{program}")
        setattr(module, name, stand_in)
        try:
            imported(program)
            return getattr(module, name).__name__, getattr(module, name)(*given, **named)
        finally:
            sys.modules[f"fairseq_cli.{program}"] = original

    return call


def of_one(args):
    return args.seed


def of_cfg(cfg):
    return dict(cfg)


def fails(cfg):
    raise KeyError(cfg)


def generates(cfg, output_file):
    return dict(cfg), output_file


def validates(cfg, override_args=None):
    return dict(cfg), override_args


def evaluates(cfg, **unused_kwargs):
    return dict(cfg), unused_kwargs


TEXTS = Namespace(
    **{"seed": 3, "trainpref": "nobodys", "validpref": None, "testpref": None, "source_lang": "de"},
    **{"target_lang": "en", "only_source": False, "align_suffix": None},
)


def buffers(*size, content="a \nb\n\n c", as_=str, **kwargs):
    def call(folder):
        (folder / "text").write_text(content)
        return list(imported("interactive").buffered_read(as_(folder / "text"), *size, **kwargs))

    return call


CONTRACTS = {
    "ends_of_programs": {
        "preprocess": called("preprocess", of_one, TEXTS),
        "preprocess by keyword": called("preprocess", of_one, args=TEXTS),
        "train": called("train", of_cfg, NOTHING),
        "train by keyword": called("train", of_cfg, cfg=NOTHING),
        "generate": called("generate", generates, NOTHING, None),
        "generate by keywords": called("generate", generates, cfg=NOTHING, output_file=None),
        "interactive": called("interactive", of_cfg, NOTHING),
        "interactive by keyword": called("interactive", of_cfg, cfg=NOTHING),
        "validate": called("validate", validates, NOTHING),
        "validate with overrides": called("validate", validates, NOTHING, {"a": 1}),
        "validate by keywords": called("validate", validates, cfg=NOTHING, override_args={"a": 1}),
        "eval_lm": called("eval_lm", evaluates, NOTHING),
        "eval_lm by keywords": called("eval_lm", evaluates, cfg=NOTHING, override_args=None),
        "an error": called("validate", fails, 3),
        "too many arguments": called("interactive", of_cfg, NOTHING, 1),
        "an unknown argument": called("validate", validates, NOTHING, nobodys=1),
        **{f"{name} of nothing": lambda _, name=name: vars(imported(name))[PROGRAMS[name]]() for name in PROGRAMS},
        "lines": buffers(2),
        "lines of a path": buffers(3, as_=lambda path: path),
        "lines by keyword": buffers(buffer_size=1),
        "no lines": buffers(2, content=""),
        "lines of no file": buffers(2, as_=lambda path: f"{path}.nobodys"),
        "a carriage return": Purpose(buffers(2, content="a\rb\nc"), [["a\rb", "c"]]),
    }
}
