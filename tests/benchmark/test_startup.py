"""What is measured of a command's start."""

import pytest

from fairseq_plugins.benchmark import startup
from fairseq_plugins.benchmark.processes import GateError
from fairseq_plugins.benchmark.sizes import STOCK
from fairseq_plugins.benchmark.startup import PLUGIN, Start, first_update, help_of, measure, seconds, with_repairs


def test_medians_of_both_and_their_ratio():
    quick, slow = ["-c", "pass"], ["-c", "import time; time.sleep(0.6)"]
    (row,) = measure([Start("nothing", {STOCK: slow, PLUGIN: quick})], rounds=3)
    assert row["start"] == "nothing"
    assert row["ratio"] == row[PLUGIN] / row[STOCK] < 1
    assert row[STOCK] > 0.6


def test_the_clock_stops_at_a_line():
    code = "import time; print('| train_inner | 1', flush=True); time.sleep(60)"
    assert seconds(["-c", code], "train_inner") < 30


@pytest.mark.parametrize("until", [None, "train_inner"])
def test_a_command_that_fails_is_an_error(until):
    with pytest.raises(GateError, match=r"python -c import sys; sys.exit\('no data'\) ...: no data"):
        seconds(["-c", "import sys; sys.exit('no data')"], until)


def test_where_stock_does_not_run_it_has_our_repairs(monkeypatch):
    """And the table says so."""
    monkeypatch.setattr(startup, "with_repairs", lambda start: Start("repaired", {STOCK: ["-V"], PLUGIN: ["-V"]}))
    (row,) = measure([Start("start", {STOCK: ["-c", "1 / 0"], PLUGIN: ["-V"]})], rounds=1)
    assert row["start"] == "repaired"
    repaired = with_repairs(first_update("data", "cpu"))
    code, *words = repaired.words[STOCK][1:]
    assert "import fairseq_plugins.models; from fairseq_cli.train import cli_main" in code
    assert words[:3] == ["data", "--arch", "transformer_iwslt_de_en"]
    assert "with our repairs" in repaired.name


def test_the_plugin_starts_with_its_user_dir():
    start = help_of(startup.TRAIN)
    assert seconds([*start.words[PLUGIN], "--arch", "transformer_baseline_iwslt_de_en"]) > 0
    assert start.name == "fairseq-train --help"
    assert [word for word in start.words[PLUGIN] if word not in start.words[STOCK]] == startup.USER_DIR
