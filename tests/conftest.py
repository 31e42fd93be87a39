"""Fixtures shared by all tests."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
# children (fairseq's commands, the scripts) find the plugin by --user-dir or ROOT, and stay off each other's cores
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest  # noqa: E402
import torch  # noqa: E402

import fairseq_plugins  # noqa: E402,F401  registers everything before any fixture builds a model

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(1)


@pytest.fixture(scope="session")
def root():
    return ROOT
