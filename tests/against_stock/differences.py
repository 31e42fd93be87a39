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
        pairs = list(zip(_pieces(theirs), _pieces(mine)))
        same = [text for text, _ in _pieces(theirs)] == [text for text, _ in _pieces(mine)]
        if not same:
            result.disagreements.append(f"{name}: {_short(theirs)!r} here, {_short(mine)!r} there")
            return
        numbers = [(a, b) for (_, a), (_, b) in pairs if a is not None]
        theirs, mine = ([float(pair[side]) for pair in numbers] for side in (0, 1))
        # two numbers that are nearly equal may be printed with last digits that differ by one
        unit = np.array(
            [10.0 ** -len(NUMBER.fullmatch(a)[1] or "") * (NUMBER.fullmatch(a)[1] is not None) for a, _ in numbers]
        )
    elif isinstance(theirs, list):
        if theirs != mine:
            result.disagreements.append(f"{name}: {theirs} here, {mine} there")
        return
    else:
        unit = 0.0
    theirs, mine = np.asarray(theirs, dtype=float), np.asarray(mine, dtype=float)
    if theirs.shape != mine.shape:
        result.disagreements.append(f"{name}: shape {theirs.shape} here, {mine.shape} there")
        return
    result.values += theirs.size
    same = (theirs == mine) | (np.isnan(theirs) & np.isnan(mine))
    with np.errstate(invalid="ignore"):
        apart = np.where(
            same, 0.0, np.maximum(np.abs(theirs - mine) - 1.01 * unit, 0) / np.maximum(1.0, np.abs(theirs))
        )
    if theirs.size and apart.max() > result.largest:
        result.largest, result.where = float(apart.max()), name
    if not np.all(apart <= ROUNDING):
        worst = int(np.nanargmax(np.nan_to_num(apart, nan=np.inf)))
        result.disagreements.append(f"{name}: {theirs.flat[worst]:.8g} here, {mine.flat[worst]:.8g} there")


def _pieces(text):
    """(word, None) for what must be equal, ("", number as printed) for what may differ in rounding."""
    pieces = []
    for word in re.split(r"[\s,\[\]]+", text):
        found = NUMBER.fullmatch(word)
        pieces.append(("", word) if found else (word, None))
    return pieces


def _short(value):
    text = " ".join(str(value).split())
    return text if len(text) < 100 else text[:97] + "..."
