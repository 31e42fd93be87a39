"""``--user-dir`` in every order with other ways of importing the package."""

from __future__ import annotations

import filecmp
import logging
import os
from pathlib import Path
from typing import Any, List

from .programs import ends_of_programs
from .registry import mark, marked, repair

logger = logging.getLogger(__name__)


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


def _is_this_package(user_dir: str) -> bool:
    """Whether the folder is the package that is running; ImportError when it only has its name."""
    here = Path(__file__).resolve().parents[1]
    there = Path(user_dir).resolve()
    if there == here:
        return True
    if Path(os.path.abspath(user_dir)).name != __name__.split(".")[0] or not there.is_dir():
        return False
    if _sources(there) == _sources(here) and not filecmp.cmpfiles(here, there, _sources(here), shallow=False)[1]:
        logger.info("--user-dir=%s holds the same files as %s, which is imported already", user_dir, here)
        return True
    raise ImportError(
        f"--user-dir={user_dir} ({there}) and the package {here}, which is imported already, have the same name and "
        f"different contents. Give --user-dir {here}, or uninstall that copy (pip uninstall {__name__.split('.')[0]})."
    )


def _sources(folder: Path) -> List[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.py"))
