"""A plugin of pytest (``-p no_fairseq``): whoever imports fairseq gets an ImportError."""

import sys

import pytest
import torch


class Absent:
    """An import hook before all others."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("fairseq", "fairseq_cli"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())


@pytest.fixture(autouse=True)
def _fresh():
    torch.manual_seed(1)
