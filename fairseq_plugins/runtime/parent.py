"""What is started is not left behind when whoever started it is killed."""

from __future__ import annotations

import ctypes
import signal
import sys


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """Ask Linux for a signal when the process that started this one dies; elsewhere nothing."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(1, number)
