"""Reading, overriding and writing checkpoints."""

import io
import os
import pickle
from argparse import Namespace

import torch
from answers import Purpose
from fairseq import checkpoint_utils
from fairseq.distributed import utils as distributed_utils

STATE = {
    "args": None,
    "cfg": {"model": {"_name": "transformer_tiny", "dropout": 0.1}, "task": {"_name": "translation", "data": "here"}},
    "model": {"decoder.weight": torch.arange(6.0).reshape(2, 3)},
    "optimizer_history": [{"criterion_name": "c", "optimizer_name": "o", "lr_scheduler_state": {}, "num_updates": 3}],
    "extra_state": {"epoch": 1, "train_iterator": {"epoch": 1}, "ema": {"decoder.weight": torch.ones(2)}},
    "last_optimizer_state": {"state": {0: torch.ones(1)}},
}
OLD = {**STATE, "cfg": None, "args": Namespace(arch="transformer_tiny", dropout=0.1, task="translation", data="here")}


def plain(value):
    """Without tensors, configurations and namespaces."""
    if isinstance(value, torch.Tensor):
        return [str(value.dtype), str(value.device), value.tolist()]
    if isinstance(value, Namespace):
        return plain(vars(value))
    if hasattr(value, "items"):
        return {name: plain(part) for name, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def saved(folder, state=STATE, name="checkpoint.pt", **options):
    torch.save(state, folder / name, **options)
    return folder / name


def loaded(*arguments, state=STATE, as_=str, **kwargs):
    return lambda folder: plain(
        checkpoint_utils.load_checkpoint_to_cpu(as_(saved(folder, state)), *arguments, **kwargs)
    )


def chosen(overrides):
    """What ``attention_mixing`` is after overriding."""
    return lambda folder: loaded(overrides)(folder)["cfg"]["model"].get("attention_mixing")


def averaged(state):
    return lambda folder: plain(checkpoint_utils.load_ema_from_checkpoint(str(saved(folder, state))))


def damaged(content):
    def call(folder):
        (folder / "checkpoint.pt").write_bytes(content(saved(folder).read_bytes()))
        return checkpoint_utils.load_checkpoint_to_cpu(str(folder / "checkpoint.pt"))

    return call


TENSORS = {"a": torch.arange(3), "b": [torch.ones(2, dtype=torch.float16), "text", 1, None]}


def read(module, open_, *arguments, **kwargs):
    """What the module's own torch.load makes of tensors."""
    return lambda folder: plain(module.torch.load(open_(saved(folder, TENSORS)), *arguments, **kwargs))


def in_memory(path):
    return io.BytesIO(path.read_bytes())


READING = {
    "a name": (str,),
    "a path": (lambda path: path,),
    "a file": (lambda path: path.open("rb"),),
    "memory": (in_memory,),
    "a device": (str, torch.device("cpu")),
    "a device's name": (str, "cpu"),
    "a dictionary of devices": (str, {"cuda:0": "cpu"}),
    "a function of devices": (str, lambda storage, _: storage),
    "no device": (in_memory, None),
    "another pickle": (in_memory, "cpu", pickle),
    "no file": (lambda path: f"{path}.nobodys",),
    "a file for writing": (lambda path: path.open("ab"),),
    "nothing": (lambda path: None,),
}


def reading(module):
    cases = {name: read(module, *arguments) for name, arguments in READING.items()}
    cases["by keyword"] = lambda folder: plain(module.torch.load(f=saved(folder, TENSORS), map_location="cpu"))
    cases["weights only"] = read(module, in_memory, weights_only=True)
    cases["mapped"] = read(module, str, mmap=True)
    return cases


def written(value, name=str, **kwargs):
    """What torch_persistent_save returns, and what the folder holds then."""

    def call(folder):
        target = name(folder / "checkpoint.pt")
        result = checkpoint_utils.torch_persistent_save(value, target, **kwargs)
        return result, {path.name: plain(torch.load(path)) for path in sorted(folder.iterdir())}

    return call


def left_over(folder):
    try:
        checkpoint_utils.torch_persistent_save(lambda: None, str(folder / "checkpoint.pt"))
    except Exception:
        return [path.name for path in folder.iterdir()]


def copied(target="copy", source="source", as_=str, before=None, **kwargs):
    """What a copy returns, and what every name in the folder then reads as."""

    def call(folder):
        (folder / "source").write_text("content")
        (folder / "old").write_text("old")
        if before:
            before(folder)
        result = checkpoint_utils.PathManager.copy(as_(folder / source), as_(folder / target), **kwargs)
        names = {path.name: path.read_text() if path.is_file() else None for path in folder.iterdir()}
        return os.fsdecode(os.path.relpath(result, os.fspath(as_(folder)))), names, (folder / target).is_symlink()

    return call


def link(folder):
    (folder / "link").symlink_to("old")


def dangling_link(folder):
    (folder / "link").symlink_to("nobodys")


CONTRACTS = {
    "checkpoint_loading": {
        **reading(checkpoint_utils),
        "a checkpoint": loaded(),
        "a checkpoint's path": loaded(as_=lambda path: path),
        "on all ranks": loaded(None, True),
        "averaged weights": averaged(STATE),
        "no averaged weights": averaged({**STATE, "extra_state": {}}),
        "empty averaged weights": averaged({**STATE, "extra_state": {"ema": {}}}),
        "half a file": damaged(lambda content: content[: len(content) // 2]),
        "an empty file": damaged(lambda content: b""),
        "a text": damaged(lambda content: b"no checkpoint at all"),
        "no dictionary": loaded(state=[1]),
        "no such file": lambda folder: checkpoint_utils.load_checkpoint_to_cpu(str(folder / "nobodys")),
        "torch's other names": lambda _: [
            checkpoint_utils.torch.save is torch.save,
            checkpoint_utils.torch.nn is torch.nn,
        ],
        "options in a namespace": Purpose(lambda folder: loaded(state=OLD)(folder)["args"]["dropout"], 0.1),
    },
    "attention_overrides": {
        "none": loaded({}),
        "another option": loaded({"dropout": 0.3}),
        "by keyword": loaded(arg_overrides={"data": "there"}, load_on_all_ranks=False),
        "an unknown option": loaded({"nobodys": 1}),
        "no options in the checkpoint": loaded({"dropout": 0.3}, state={**STATE, "cfg": None}),
        "a list": loaded(["dropout"]),
        "an option of this plugin": Purpose(chosen({"attention_mixing": "top-r"}), "top-r"),
    },
    "broadcast_loading": {
        **reading(distributed_utils),
        "options in a namespace": Purpose(
            lambda folder: plain(distributed_utils.torch.load(saved(folder, OLD)))["args"]["dropout"], 0.1
        ),
    },
    "durable_checkpoints": {
        "a name": written({"a": torch.ones(2)}),
        "in place of another": lambda folder: [saved(folder).name, written([1])(folder)],
        "not later": written([1], async_write=False),
        "later": written([1], async_write=True),
        "a path": written([1], lambda path: path),
        "bytes": written([1], os.fsencode),
        "a file": written([1], lambda path: path.open("wb")),
        "no such folder": written([1], lambda path: f"{path}/nobodys/checkpoint.pt"),
        "a folder": written([1], lambda path: str(path.parent)),
        "what cannot be pickled": written(lambda: None),
        "by keywords": lambda folder: checkpoint_utils.torch_persistent_save(obj=[1], filename=str(folder / "a")),
        "half a file": Purpose(left_over, []),
        "a copy": copied(),
        "a copy of paths": copied(as_=lambda path: path),
        "a copy of bytes": copied(as_=os.fsencode),
        "a copy over another": copied("old", overwrite=True),
        "a copy over another, not asked for": copied("old", overwrite=False),
        "a copy over itself": copied("source"),
        "a copy over a link": copied("link", before=link),
        "a copy over a link to nothing": copied("link", before=dangling_link),
        "a copy of a link": copied(source="link", before=link),
        "a copy over a folder": copied(""),
        "a copy into nothing": copied("nobodys/copy"),
        "a copy of nothing": copied(source="nobodys"),
        "PathManager's other methods": lambda folder: [
            checkpoint_utils.PathManager.exists(str(folder)),
            checkpoint_utils.PathManager.supports_rename(str(folder)),
        ],
    },
}
