"""Options of tasks."""

import argparse

from answers import Purpose
from fairseq.tasks import TASK_REGISTRY

#: with a static method and a class method of their own, and with a dataclass
TASKS = ["denoising", "multilingual_masked_lm", "speech_to_text", "masked_lm"]


def parser(**options):
    return argparse.ArgumentParser(add_help=False, allow_abbrev=False, **options)


def added(task, before=(), as_=None, words=(), make=parser):
    """What is returned, the options with their defaults, and what a command line makes of them."""

    def call(_):
        made = make()
        for names, options in before:
            made.add_argument(*names, **options)
        given = as_(made) if as_ else ((made,), {})
        result = TASK_REGISTRY[task].add_args(*given[0], **given[1])
        options = [(action.option_strings, action.dest, repr(action.default), action.help) for action in made._actions]
        return result, sorted(map(repr, options)), vars(made.parse_known_args(list(words))[0])["data"]

    return call


def shared(default, *words):
    """The value of an option that an architecture has before a task adds it."""

    def call(_):
        made = parser()
        made.add_argument("--max-source-positions", default=default, type=int)
        TASK_REGISTRY["denoising"].add_args(made)
        return made.parse_args(["data", *words]).max_source_positions

    return call


def of_subclass(_):
    class Sub(TASK_REGISTRY["denoising"]):
        @classmethod
        def add_args(cls, parser):
            parser.add_argument("--mine")
            super().add_args(parser)

    made = parser()
    return Sub.add_args(made), len(made._actions)


def of_instance(_):
    task, made = object.__new__(TASK_REGISTRY["denoising"]), parser()
    return task.add_args(made), len(made._actions)


def called(task, *arguments, **kwargs):
    return lambda _: TASK_REGISTRY[task].add_args(*arguments, **kwargs)


CONTRACTS = {
    "task_options": {
        **{f"{task}": added(task, words=["d"]) for task in TASKS},
        **{f"{task}, by keyword": added(task, as_=lambda p: ((), {"parser": p}), words=["d"]) for task in TASKS},
        **{
            f"{task} of a group": added(task, as_=lambda p: ((p.add_argument_group("task"),), {}), words=["d"])
            for task in TASKS
        },
        **{f"{task} of nothing": called(task) for task in TASKS},
        **{f"{task} of None": called(task, None) for task in TASKS},
        **{f"{task} of two": called(task, 1, 2) for task in TASKS},
        "an unknown argument": called("denoising", parser=parser(), nobodys=1),
        "options before": added("denoising", [(("--mine",), {"default": 3})], words=["d", "--mask", "0.2"]),
        "a parser that resolves conflicts": added(
            "denoising",
            [(("--max-source-positions",), {"default": 3})],
            words=["d"],
            make=lambda: parser(conflict_handler="resolve"),
        ),
        "a wrong value": added("denoising", words=["d", "--mask", "half"]),
        "a subclass": of_subclass,
        "an instance": of_instance,
        "signatures": lambda _: [
            [type(vars(TASK_REGISTRY[task]).get("add_args")).__name__, TASK_REGISTRY[task].add_args.__doc__]
            for task in TASKS
        ],
        "a shared option": Purpose(shared(77), 77),
        "a shared option that is given": Purpose(shared(77, "--max-source-positions", "5"), 5),
        "a shared option without a default": Purpose(shared(None), 1024),
    }
}
