"""``--user-dir`` in every order with other ways of importing the package."""

from __future__ import annotations

from fairseq_plugins.front_door import mend

from .registry import repair


@repair("fairseq#2815, fairseq#2081")
def user_dir_twice() -> bool:
    """``--user-dir`` fails or registers everything twice when the package was imported by another road before.

    :mod:`fairseq_plugins.front_door` does it, as soon as the package is imported.
    """
    from fairseq import utils

    mend(utils)
    return True
