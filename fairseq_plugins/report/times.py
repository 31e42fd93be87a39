"""What differs between two undisturbed runs of one training: seconds, speed and memory."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairseq_plugins.lines import PathLike

from .results import Member, spread_of


def times_of(members: Mapping[str, Sequence[Member]], root: PathLike = ".") -> dict[str, Any]:
    """Of each variant's runs, as ``times.json`` has them.

    Args:
        root: where the runs' folders are, unless they are absolute.
    """
    variants = {}
    wall = 0.0
    for name, runs in members.items():
        seconds = [member.run.seconds if math.isfinite(member.run.seconds) else None for member in runs]
        folders = [Path(root) / member.run.folder for member in runs]
        speeds = [speed for folder in folders if (speed := tokens_a_second(folder)) is not None]
        memory = [size for folder in folders if (size := peak_memory(folder)) is not None]
        variants[name] = {
            "tokens_per_second": {k: v for k, v in (spread_of(speeds) or {}).items() if k != "per_seed"} or None,
            "peak_memory": max(memory, default=None),
            "seconds": {"per_seed": seconds},
        }
        wall += sum(taken or 0.0 for taken in seconds)
    return {"variants": variants, "wall_seconds": wall}


def tokens_a_second(folder: Path) -> float | None:
    """Target tokens a second of a training, over its updates."""
    log = folder / "train.log"
    if not log.is_file():
        return None
    found = re.findall(r'"(?:train_)?wps": "([\d.]+)"', log.read_text(encoding="utf-8", errors="replace"))
    speeds = [float(speed) for speed in found if float(speed) > 0]
    return sum(speeds) / len(speeds) if speeds else None


def peak_memory(folder: Path) -> int | None:
    """Bytes that a training had at most: of its GPU if it had one, else of its largest process."""
    done = folder / "done"
    log = folder / "train.log"
    if not done.is_file():
        return None
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    total = re.search(r"total memory = ([\d.]+) GB", text)
    free = [float(size) for size in re.findall(r'"(?:train_)?gb_free": "([\d.]+)"', text)]
    if total and free:
        return int((float(total[1]) - min(free)) * 2**30)
    size = json.loads(done.read_text(encoding="utf-8")).get("peak_memory")
    return int(size) if size else None
