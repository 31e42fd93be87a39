"""``--user-dir`` in every order with other ways of importing the package."""

from __future__ import annotations

import filecmp
import logging
import os
import sys
from pathlib import Path
from typing import Any, List, Union

from .programs import ends_of_programs
from .registry import mark, marked, repair

logger = logging.getLogger(__name__)

NAME = __name__.split(".")[0]
HERE = Path(__file__).resolve().parents[1]


@repair("fairseq#2815, fairseq#2081")
def user_dir_twice() -> bool:
    """``--user-dir`` fails or registers everything twice when the package was imported by another road before.

    ``import fairseq_plugins``, an installed copy, a symbolic link and the folder itself are one package here;
    another folder of the same name with other contents is an error that names both.
    """
    from fairseq import utils

    original = utils.import_user_module
    if marked(original):
        return True

    def import_user_module(args: Any) -> None:
        user_dir = getattr(args, "user_dir", None)
        if user_dir is None or not _is_this_package(user_dir):
            original(args)
        ends_of_programs()  # this one may have been imported after the package

    utils.import_user_module = mark(import_user_module, original)
    return True


def stand_for(name: str, folder: Path) -> None:
    """Let a second import of this package, under another name or inside another package, find the one that runs.

    Args:
        name: what the folder is imported as: ``linked_plugins``, ``my_user_dir.fairseq_plugins``.
        folder: where it is.

    Raises:
        ImportError: the folder is this package in another version.
    """
    _refuse_unless_same(folder.resolve(), str(folder))
    for module in [module for module in sys.modules if module == NAME or module.startswith(f"{NAME}.")]:
        sys.modules[name + module[len(NAME) :]] = sys.modules[module]


def _is_this_package(user_dir: Union[str, os.PathLike]) -> bool:
    """Whether the folder is the package that is running; ImportError when it only has its name."""
    there = _found(user_dir)
    if there == HERE:
        return True
    if Path(os.path.abspath(user_dir)).name != NAME or not there.is_dir():
        return False
    _refuse_unless_same(there, str(user_dir))
    return True


def _found(user_dir: Union[str, os.PathLike]) -> Path:
    """The folder that fairseq takes: as given, or else in its own package or beside it."""
    from fairseq import utils

    package = os.path.dirname(utils.__file__)
    roads = [os.path.abspath(user_dir), os.path.join(package, user_dir), os.path.join(package, "..", user_dir)]
    return Path(next(filter(os.path.exists, roads), roads[0])).resolve()


def _refuse_unless_same(there: Path, given: str) -> None:
    if there == HERE:
        return
    if _sources(there) != _sources(HERE) or filecmp.cmpfiles(HERE, there, _sources(HERE), shallow=False)[1]:
        raise ImportError(
            f"--user-dir={given} ({there}) and the package {HERE}, which is imported already, have the same name and "
            f"different contents. Give --user-dir {HERE}, or uninstall that copy (pip uninstall {NAME})."
        )
    logger.info("--user-dir=%s holds the same files as %s, which is imported already", given, HERE)


def _sources(folder: Path) -> List[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.py"))
