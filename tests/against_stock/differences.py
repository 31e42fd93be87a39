"""Whether two outcomes of :mod:`outcomes` are the same but for rounding."""

import re
from dataclasses import dataclass, field

import numpy as np

#: the two sides compute attention in another order, and float32 leaves 6e-8 of each number: losses, norms, scores and
#: parameters were apart by 3e-7 at most. The difference is relative where a number is above 1
ROUNDING = 5e-6
NUMBER = re.compile(r"-?\d+(?:\.(\d+))?(?:e-?\d+)?|-?inf|nan")


@dataclass
class Comparison:
    """What was compared, how far numbers were apart at most, and what disagreed."""

    values: int = 0
    largest: float = 0.0
    where: str = ""
    disagreements: list = field(default_factory=list)


def compare(stock, ours):
    """Compare two outcomes: lists of (what it is, value)."""
    result = Comparison()
    names = [[name for name, _ in outcome] for outcome in (stock, ours)]
    if names[0] != names[1]:
        place = next((i for i, (a, b) in enumerate(zip(*names)) if a != b), min(map(len, names)))
        told = [outcome[place] if place < len(outcome) else "nothing more" for outcome in (stock, ours)]
        result.disagreements.append(f"stock goes on with {_short(told[0])}, ours with {_short(told[1])}")
    for (name, theirs), (other, mine) in zip(stock, ours):
        if name == other:
            _compare_one(name, theirs, mine, result)
    return result


def _compare_one(name, theirs, mine, result):
    if isinstance(theirs, str):
        (words, numbers), (other_words, other_numbers) = _read(theirs), _read(mine)
        if words != other_words:
            result.disagreements.append(f"{name}: stock says {_short(theirs)!r}, ours {_short(mine)!r}")
            return
        unit = np.array([_last_place(number) for number in numbers])
        theirs, mine = numbers, other_numbers
    elif isinstance(theirs, list):
        if theirs != mine:
            result.disagreements.append(f"{name}: stock has {theirs}, ours {mine}")
        return
    else:
        unit = np.zeros(())
    theirs, mine = np.asarray(theirs, dtype=float), np.asarray(mine, dtype=float)
    if theirs.shape != mine.shape:
        result.disagreements.append(f"{name}: stock has the shape {theirs.shape}, ours {mine.shape}")
        return
    result.values += theirs.size
    same = (theirs == mine) | (np.isnan(theirs) & np.isnan(mine))
    with np.errstate(invalid="ignore"):
        beyond = np.maximum(np.abs(theirs - mine) - 1.01 * unit, 0.0)
        apart = np.where(same, 0.0, beyond / np.maximum(1.0, np.abs(theirs)))
    if theirs.size and apart.max() > result.largest:
        result.largest, result.where = float(apart.max()), name
    if not np.all(apart <= ROUNDING):
        worst = int(np.nanargmax(np.nan_to_num(apart, nan=np.inf)))
        result.disagreements.append(f"{name}: stock has {theirs.flat[worst]:.8g}, ours {mine.flat[worst]:.8g}")


def _read(text):
    """Its words, with None for each number, and the numbers as they are printed."""
    pieces = re.split(r"[\s,\[\]]+", text)
    numbers = [piece for piece in pieces if NUMBER.fullmatch(piece)]
    return [None if NUMBER.fullmatch(piece) else piece for piece in pieces], numbers


def _last_place(number):
    """What the last printed decimal counts: nearly equal numbers may differ by one there. 0 for a whole number."""
    decimals = NUMBER.fullmatch(number)[1]
    return 10.0 ** -len(decimals) if decimals else 0.0


def _short(value):
    text = " ".join(str(value).split())
    return text if len(text) < 100 else text[:97] + "..."
