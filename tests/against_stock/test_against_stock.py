"""A thirtieth of the settings of :mod:`compare_with_stock`, and that its comparison finds what differs."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from compare_with_stock import all_settings
from differences import compare
from settings import GENERATIONS, LONG_WAY, MODELS, REPAIRED, SUITE, TRAININGS
from zygote import quick_python


def test_a_thirtieth_of_the_settings_equals_stock():
    """In a process of its own: this one has imported the plugin, which stock's side must not see."""
    script = Path(__file__).with_name("compare_with_stock.py")
    done = subprocess.run(
        [quick_python(), str(script), "--suite"],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert f"{len(SUITE)} of {len(SUITE)} settings equal" in done.stdout


def test_the_tables_fit_together():
    names = [setting.name for setting in all_settings()]
    assert len(set(names)) == len(names)
    models = {f"model: {name}" for name in MODELS}
    assert {*SUITE, *REPAIRED, *LONG_WAY} <= {*names, *models}
    assert len(SUITE) >= len(names) / 30
    assert len(GENERATIONS) >= 40
    assert sum(map(len, TRAININGS.values())) >= 60


SAME = [("loss", np.array(3.25)), ("H-1", "H-1\t-0.51234\tw1 w2"), ("P-1", "P-1\t-0.5000 nan"), ("files", ["a.pt"])]


@pytest.mark.parametrize(
    ("place", "other"),
    [
        (0, np.array(3.2502)),
        (0, np.array(np.nan)),
        (0, np.array([3.25, 3.25])),
        (1, "H-1\t-0.51244\tw1 w2"),
        (1, "H-1\t-0.51234\tw1 w3"),
        (1, "H-1\t-0.51234\tw1 w2 w2"),
        (2, "P-1\t-0.5002 nan"),
        (3, ["a.pt", "b.pt"]),
    ],
)
def test_a_difference_is_found(place, other):
    ours = list(SAME)
    ours[place] = (SAME[place][0], other)
    assert compare(SAME, ours).disagreements
    assert compare(SAME, ours[:-1]).disagreements


def test_rounding_is_none():
    ours = [("loss", np.array(3.250001)), ("H-1", "H-1\t-0.512341\tw1 w2"), ("P-1", "P-1\t-0.5001 nan"), SAME[3]]
    result = compare(SAME, ours)
    assert not result.disagreements
    assert result.values == 4
