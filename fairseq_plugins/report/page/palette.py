"""The colours of page and figures, and what tells variants apart without them.

Series follow Okabe and Ito's palette for the colour-blind (https://jfly.uni-koeln.de/color/); the baseline is grey.
"""

from __future__ import annotations

from typing import NamedTuple

LIGHT = {
    "paper": "#ffffff",
    "raised": "#f6f7f8",
    "ink": "#17191c",
    "muted": "#5a616b",
    "rule": "#dfe2e6",
    "axis": "#9aa1ab",
    "wash": "#edeff2",
    "mark": "#fdecc8",
    "link": "#005a94",
    "s0": "#767d87",
    "s1": "#0072b2",
    "s2": "#d55e00",
    "s3": "#009e73",
    "s4": "#b8628f",
    "s5": "#c98500",
    "s6": "#3d9bd1",
}
DARK = {
    "paper": "#15171a",
    "raised": "#1d2024",
    "ink": "#eceef0",
    "muted": "#a3aab4",
    "rule": "#33383f",
    "axis": "#6b737e",
    "wash": "#272b30",
    "mark": "#4d3d12",
    "link": "#7cc0f2",
    "s0": "#a0a7b1",
    "s1": "#56a8e0",
    "s2": "#f0843c",
    "s3": "#2fc99b",
    "s4": "#e091ba",
    "s5": "#f0b53c",
    "s6": "#9bd7fa",
}
#: the baseline has a shape and a stroke of its own
SHAPES = ("circle", "diamond", "up", "down")
DASHES = ("", "7 3", "2 2.5", "9 3 2 3")


class Series(NamedTuple):
    """How a variant is drawn."""

    colour: str
    shape: str
    dash: str


def series(place: int) -> Series:
    """The look of the variant at a place, the baseline being at 0; twelve others are told apart."""
    if place == 0:
        return Series("s0", "square", "")
    turn = place - 1
    return Series(f"s{1 + turn % 6}", SHAPES[turn % 4], DASHES[turn % 4])
