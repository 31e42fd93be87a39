"""Batches of typed lines."""

import importlib
from argparse import Namespace

from answers import Purpose, Raises
from fairseq.dataclass.configs import FairseqConfig
from omegaconf import OmegaConf
from tiny_models import model, plain, translation_task


def configured(**generation):
    cfg = OmegaConf.structured(FairseqConfig)
    cfg.dataset.batch_size = 2
    cfg.generation = OmegaConf.merge(cfg.generation, generation)
    return cfg


def as_typed(line):
    return line


def batches(*lines, cfg=None, given=None, limit=(9, 9), encode=as_typed, kind=list, **kwargs):
    """The batches that the program makes once it has built a generator, and the lines, in which constraints stood."""

    def call(_):
        program, task = importlib.import_module("fairseq_cli.interactive"), translation_task()
        used = cfg or configured()
        building = Namespace(replace_unk="", print_alignment=None)
        task.build_generator([model(task)], given or building)
        typed = kind(lines)
        if kwargs:
            made = program.make_batches(typed, used, task, encode_fn=encode, **kwargs)
        else:
            made = program.make_batches(typed, used, task, limit, encode)
        return [plain(tuple(batch)) for batch in made], typed

    return call


def built(_):
    """The program's function stays a function of that name that gives an iterator at once."""
    program = importlib.import_module("fairseq_cli.interactive")
    task = translation_task()
    task.build_generator([model(task)], Namespace(print_alignment="hard"))
    made = program.make_batches(None, None, None, None, None)
    return program.make_batches.__name__, type(made).__name__


def generators(args, *others, **kwargs):
    def call(_):
        task = translation_task()
        return type(task.build_generator([model(task)], args, *others, **kwargs)).__name__

    return call


CONTRACTS = {
    "interactive_lines": {
        "lines": batches("w1 w2", "w3", "w4 w5 w6"),
        "a tuple of lines": batches("w1", "w2", kind=tuple),
        "no lines": batches(),
        "an empty line": batches("", "w1"),
        "unknown words": batches("w1 new", "newer"),
        "by keyword": batches("w1", "w2", max_positions=(9, 9)),
        "no limit": batches("w1", max_positions=None),
        "a line too long": batches("w1 w2 w3", limit=(2, 2)),
        "a line too long, left out": batches(
            "w1 w2 w3",
            "w4",
            limit=(2, 2),
            cfg=OmegaConf.merge(configured(), {"dataset": {"skip_invalid_size_inputs_valid_test": True}}),
        ),
        "encoded": batches("W1", "W2", encode=str.lower),
        "constraints": batches("w1 w2\tw3", "w4", cfg=configured(constraints="ordered")),
        "hard alignments": batches("w1", cfg=configured(print_alignment="hard")),
        "a namespace": batches(
            "w1",
            cfg=Namespace(
                generation=Namespace(constraints=None),
                dataset=Namespace(max_tokens=9, batch_size=1, skip_invalid_size_inputs_valid_test=False),
            ),
        ),
        "the function": built,
        "a generator": generators(Namespace()),
        "a generator by keywords": generators(Namespace(replace_unk=None), seq_gen_cls=None, extra_gen_cls_kwargs={}),
        "a generator of settings": generators(configured(replace_unk="").generation),
        "no program": generators(Namespace(print_alignment="hard")),
        "soft alignments": Purpose(batches("w1", cfg=configured(print_alignment="soft")), Raises("ValueError")),
    }
}
