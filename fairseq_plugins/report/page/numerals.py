"""How numbers are written for readers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fairseq_plugins.report.crossed import LEVEL

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"


def number(value: float | None, digits: int) -> str:
    """``-1,234.50`` with a true minus; no minus before what rounds to zero."""
    if value is None:
        return NOTHING
    text = f"{value:,.{digits}f}"
    if text.startswith("-") and not text.strip("-0.,"):
        text = text[1:]
    return text.replace("-", MINUS)


def signed(value: float | None, digits: int) -> str:
    """The same with its sign, which zero has not."""
    text = number(value, digits)
    return f"+{text}" if value is not None and value > 0 and text.strip("0.,") else text


def spread(value: Mapping[str, Any] | None, digits: int) -> str:
    """``27.41 ± 0.22`` of something with ``mean`` and ``deviation``."""
    if value is None:
        return NOTHING
    deviation = value["deviation"]
    return number(value["mean"], digits) + ("" if deviation is None else f" ± {number(deviation, digits)}")


def interval(test: Mapping[str, Any], digits: int) -> str:
    """``[+0.10, +0.74]``."""
    return f"[{signed(test['low'], digits)}, {signed(test['high'], digits)}]"


def probability(p: float | None) -> str:
    """``0.003``, or ``< 0.001``; as many digits as show on which side of 5 % it is."""
    if p is None:
        return NOTHING
    if p < 0.001:
        return "< 0.001"
    digits = 3
    while (round(p, digits) < LEVEL) != (p < LEVEL):
        digits += 1
    return f"{p:.{digits}f}"


def amount(value: float | None) -> str:
    """``103.1 M``; whole below ten thousand."""
    if value is None:
        return NOTHING
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):.{0 if unit == 'k' else 2}f} {unit}"
    return f"{value:,g}"


def duration(seconds: float | None) -> str:
    """``2 h 05 min``, ``3.4 min`` or ``12 s``."""
    if seconds is None:
        return NOTHING
    if seconds >= 3600:
        whole = round(seconds / 60)
        return f"{whole // 60} h {whole % 60:02d} min"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
