"""``--user-dir`` where this package has been imported already: fairseq would refuse it, or register everything twice.

``import fairseq_plugins``, an installed copy, a symbolic link and the folder itself are one package; another folder of
the same name with other contents is an error that names both. Nothing but the standard library is imported here.
"""

from __future__ import annotations

import filecmp
import functools
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

logger = logging.getLogger(__name__)

NAME = __name__.split(".")[0]
HERE = Path(__file__).resolve().parent


def open_door() -> None:
    """Register everything where fairseq's models are there already; else mend ``--user-dir`` as soon as it is there."""
    if "fairseq.models" in sys.modules:
        importlib.import_module(f"{NAME}.models")
        return
    utils = sys.modules.get("fairseq.utils")
    if utils is not None and hasattr(utils, "import_user_module"):
        mend(utils)
    elif not any(isinstance(finder, _Waiting) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Waiting())


class _Waiting:
    """An import hook that waits for ``fairseq.utils``, once."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "fairseq.utils":
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            execute = loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                mend(module)

            loader.exec_module = exec_module
        return spec


def mend(utils: Any) -> None:
    """Let fairseq's ``import_user_module`` know this package by whatever road it comes; harmless when repeated."""
    original = utils.import_user_module
    if getattr(original, "_fairseq_plugins", None):
        return

    def import_user_module(args: Any) -> None:
        user_dir = getattr(args, "user_dir", None)
        if user_dir is not None and _is_this_package(user_dir):
            importlib.import_module(f"{NAME}.models")
        else:
            original(args)
        compat = sys.modules.get(f"{NAME}.compat")
        if compat is not None:
            compat.apply()  # the program that asks may have been imported after the package

    import_user_module = functools.wraps(original)(import_user_module)
    import_user_module._fairseq_plugins = frozenset(["import_user_module"])  # type: ignore[attr-defined]
    utils.import_user_module = import_user_module


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


def _is_this_package(user_dir: str | os.PathLike) -> bool:
    """Whether the folder is the package that is running; ImportError when it only has its name."""
    there = _found(user_dir)
    if there == HERE:
        return True
    if Path(os.path.abspath(user_dir)).name != NAME or not there.is_dir():
        return False
    _refuse_unless_same(there, str(user_dir))
    return True


def _found(user_dir: str | os.PathLike) -> Path:
    """The folder that fairseq takes: as given, or else in its own package or beside it."""
    package = os.path.dirname(sys.modules["fairseq.utils"].__file__ or "")
    roads: Sequence[Any] = [
        os.path.abspath(user_dir),
        os.path.join(package, user_dir),
        os.path.join(package, "..", user_dir),
    ]
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


def _sources(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.py"))
