"""``--user-dir``."""

import os
import sys
from argparse import Namespace

from answers import Purpose
from fairseq import utils
from omegaconf import OmegaConf

TASK = """
from fairseq.tasks import FairseqTask, register_task
@register_task("{name}")
class Task(FairseqTask):
    pass
"""


def plugin(folder, name, **files):
    for path, content in {"__init__.py": f"loaded = {name!r}\n", **files}.items():
        file = folder / name / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return folder / name


def imported(name, as_=str, times=1, of=lambda user_dir: Namespace(user_dir=user_dir), **files):
    """What was returned, and what the module holds."""

    def call(folder):
        road = as_(plugin(folder, name, **files))
        results = [utils.import_user_module(of(road)) for _ in range(times)]
        return results, sys.modules[name].loaded

    return call


def with_task(folder):
    from fairseq.tasks import TASK_REGISTRY

    result = imported("with_task", **{"tasks/__init__.py": "", "tasks/its.py": TASK.format(name="its_task")})(folder)
    return result, "its_task" in TASK_REGISTRY


def two_of_a_name(folder):
    imported("of_a_name")(folder)
    imported("of_a_name")(folder / "other")


def below(folder):
    plugin(folder, "below")
    os.chdir(folder)
    try:
        utils.import_user_module(Namespace(user_dir="below"))
    finally:
        os.chdir("/")
    return sys.modules["below"].loaded


def beside_fairseq(folder):
    """A relative folder that is beside fairseq, as where the package is installed, is found from anywhere."""
    (folder / "fairseq").mkdir()
    (folder / "fairseq_plugins").symlink_to(os.path.dirname(sys.modules["fairseq_plugins"].__file__))
    real, utils.__file__ = utils.__file__, str(folder / "fairseq" / "utils.py")
    try:
        utils.import_user_module(Namespace(user_dir="fairseq_plugins"))
    finally:
        utils.__file__ = real
    return sys.modules["fairseq_plugins"].__name__


CONTRACTS = {
    "user_dir_twice": {
        "no option": lambda _: utils.import_user_module(Namespace()),
        "none": lambda _: utils.import_user_module(Namespace(user_dir=None)),
        "no arguments": lambda _: utils.import_user_module(None),
        "another plugin": imported("another_plugin"),
        "by keyword": lambda _: utils.import_user_module(args=Namespace(user_dir=None)),
        "a path": imported("of_a_path", as_=lambda path: path),
        "with a slash": imported("with_a_slash", as_=lambda path: f"{path}/."),
        "bytes": imported("of_bytes", as_=os.fsencode),
        "settings": imported("of_settings", of=lambda user_dir: OmegaConf.create({"user_dir": user_dir})),
        "twice": imported("twice", times=2),
        "a relative one": below,
        "with a task": with_task,
        "one that fails": imported("that_fails", **{"__init__.py": "raise RuntimeError('lost')\n"}),
        "no such folder": lambda folder: utils.import_user_module(Namespace(user_dir=str(folder / "nobodys"))),
        "another of the same name": two_of_a_name,
        "ours beside fairseq": Purpose(beside_fairseq, "fairseq_plugins"),
    }
}
