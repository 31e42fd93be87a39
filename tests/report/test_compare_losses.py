"""compare-losses: its table against numbers worked by hand."""

import csv
import json
import math

import numpy as np
import pytest

from fairseq_plugins import cli
from fairseq_plugins.report import losses
from fairseq_plugins.report.losses_by_block import TokenLosses, losses_file
from fairseq_plugins.report.runs import read_run

#: in bits, as fairseq logs them
BITS = {"baseline": [8.0, 6.0, 5.0, 5.5], "pairwise": [7.0, 5.0, 4.0, 4.5]}


def write_run(folder, bits, seed=1, parameters="1,234,567", every=100):
    """What scripts/train.sh leaves of a run."""
    folder.mkdir(parents=True)
    name = folder.name.split("-seed")[0]
    (folder / "run.json").write_text(json.dumps({"arch": f"roberta_{name}_tiny", "seed": str(seed)}))
    updates = every * len(bits)
    (folder / "done").write_text(json.dumps({"updates": updates, "seconds": 90.0 + 60 * seed}))
    log = [f"2026-01-01 00:00:00 | INFO | fairseq_cli.train | num. shared model params: {parameters} (num. trained: 1)"]
    for number, loss in enumerate(bits, start=1):
        stats = {"epoch": 1, "valid_loss": str(loss), "valid_num_updates": str(every * number)}
        log.append(f"2026-01-01 00:00:00 | INFO | valid | {json.dumps(stats)}")
    (folder / "train.log").write_text("\n".join(log) + "\n")
    return str(folder)


@pytest.fixture
def runs(tmp_path):
    """Two models under two seeds; the second seed is 0.2 bits worse all along."""
    return [
        write_run(tmp_path / f"{name}-seed{seed}", [loss + 0.2 * (seed - 1) for loss in bits], seed)
        for name, bits in reversed(BITS.items())
        for seed in (1, 2)
    ]


def table(output):
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in output.splitlines() if line.startswith("|")]
    return [dict(zip(rows[0], row)) for row in rows[2:]]


def test_table(runs, capsys):
    assert cli.main(["compare-losses", *runs, "--at", "100,300,999", "--below", f"{4.5 * math.log(2)},3.4"]) == 0
    baseline, pairwise = table(capsys.readouterr().out)
    assert [baseline["model"], pairwise["model"]] == ["baseline", "pairwise"]
    assert (baseline["parameters"], baseline["seeds"], baseline["updates"]) == ("1,234,567", "1, 2", "400")
    # best 5.0 and 5.2 bits: mean 5.1, deviation 0.2 / sqrt(2); times ln 2
    assert baseline["best loss"] == f"{5.1 * math.log(2):.3f} ± {0.2 / math.sqrt(2) * math.log(2):.3f}"
    assert pairwise["best loss"] == f"{4.1 * math.log(2):.3f} ± {0.2 / math.sqrt(2) * math.log(2):.3f}"
    # 2 ** 4 = 16 and 2 ** 4.2 = 18.379
    assert pairwise["perplexity"] == f"{(16 + 2**4.2) / 2:.2f} ± {(2**4.2 - 16) / math.sqrt(2):.2f}"
    assert baseline["loss at 100"] == f"{8.1 * math.log(2):.3f}"
    assert pairwise["loss at 300"] == f"{4.1 * math.log(2):.3f}"
    assert pairwise["loss at 999"] == "-"
    # 3.4 nats are 4.905 bits: baseline's seeds never get there; pairwise's 5.0, 4.0 and 5.2, 4.2 do at once at 300
    bounds = [name for name in pairwise if name.startswith("first update below")]
    assert [baseline[bound] for bound in bounds] == ["-, -", "-, -"]
    assert [pairwise[bound] for bound in bounds] == ["300, 300", "300, 300"]
    later = losses.summary("x", [read_run(run) for run in runs[:2]], [4.1 * math.log(2)])
    assert [list(run["first_below"].values()) for run in later["runs"]] == [[300], [None]]
    # 150 s and 210 s
    assert baseline["training time"] == "3.0 min"


def test_updates_that_all_runs_have(tmp_path, capsys):
    runs = [write_run(tmp_path / "a-seed1", [5.0] * 40), write_run(tmp_path / "b-seed1", [4.0] * 20, every=200)]
    assert cli.main(["compare-losses", *runs]) == 0
    shown = [name for name in table(capsys.readouterr().out)[0] if name.startswith("loss at")]
    # of 200, 400 ... 4000 six at even distances, the last one of them
    assert shown == [f"loss at {updates}" for updates in (600, 1400, 2000, 2600, 3400, 4000)]
    assert losses.common_updates([{"runs": [{"validation": [(7, 1.0)]}]}], 6) == [7]


def test_files(runs, tmp_path, capsys):
    files = [tmp_path / name for name in ("table.json", "table.csv")]
    assert cli.main(["compare-losses", *runs, "--json", str(files[0]), "--csv", str(files[1])]) == 0
    rows, results = (json.loads(files[0].read_text())[name] for name in ("rows", "results"))
    assert results is None
    assert rows[1]["runs"][1]["validation"][2] == [300, pytest.approx(4.2 * math.log(2))]
    lines = list(csv.DictReader(files[1].open()))
    assert len(lines) == 4 * 4
    last = lines[-1]
    assert (last["model"], last["arch"], last["seed"], last["updates"]) == (
        "pairwise",
        "roberta_pairwise_tiny",
        "2",
        "400",
    )
    assert float(last["perplexity"]) == pytest.approx(2**4.7, abs=1e-3)
    assert float(last["loss"]) == pytest.approx(4.7 * math.log(2), abs=1e-4)
    capsys.readouterr()
    assert cli.main(["compare-losses", *runs, "--json", str(tmp_path / "no" / "table.json")]) == 1
    assert "table.json: cannot be written" in capsys.readouterr().err


def token_losses(folder, means, rng, subset="test"):
    """What token-losses leaves: 5 tokens a block, whose losses are of these means."""
    loss = np.repeat(means, 5) + rng.normal(0, 0.1, 5 * len(means))
    place = np.arange(len(loss), dtype=np.int32)
    TokenLosses(place % 7, place % 5, loss.astype(np.float32), place // 5, len(means), 1).write(
        losses_file(folder, subset)
    )
    return loss


def test_where_all_losses_are_there_the_models_are_tested(runs, tmp_path, capsys):
    """The table of a study follows, whose losses are the mean of the tokens'; else a note says what is missing."""
    rng = np.random.default_rng(2)
    blocks = rng.normal(3, 0.3, 40)
    files = ["--page", str(tmp_path / "page"), "--json", str(tmp_path / "table.json")]
    refused(
        capsys,
        f"the losses token by token are missing; make them with fairseq-plugins token-losses {runs[0]} ",
        *runs,
        *files,
    )
    losses_of = {run: token_losses(run, blocks + 0.2 * ("baseline" in run), rng) for run in runs[:3]}
    assert cli.main(["compare-losses", *runs]) == 0
    remedy = f"fairseq-plugins token-losses {runs[3]} --subset test"
    assert f"- No test of the differences, which needs the losses token by token: {remedy}\n" in capsys.readouterr().out

    losses_of[runs[3]] = token_losses(runs[3], blocks + 0.2, rng)
    assert cli.main(["compare-losses", *runs, *files]) == 0
    output = capsys.readouterr().out
    first, second = output.split("\n\n# pairwise against baseline\n")
    assert "| best loss |" in first
    assert "## Differences to the baseline" in second
    table_json = json.loads((tmp_path / "table.json").read_text())
    assert table_json["results"] == json.loads((tmp_path / "page" / "results.json").read_text())
    for variant in table_json["results"]["variants"]:
        expected = [losses_of[run].mean() for run in runs if variant["name"] in run]
        assert variant["scores"]["loss"]["per_seed"] == pytest.approx(expected, abs=1e-6)
    assert "pairwise is better than baseline: loss \N{MINUS SIGN}0." in second
    assert (tmp_path / "page" / "report.html").is_file()

    token_losses(runs[3], blocks[:30], rng)
    refused(capsys, "were evaluated on other tokens; run fairseq-plugins token-losses on both again", *runs)


def test_plot(runs, tmp_path):
    pytest.importorskip("matplotlib")
    assert cli.main(["compare-losses", *runs, "--plot", str(tmp_path / "loss.png")]) == 0
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "loss.png.part").exists()


def refused(capsys, message, *arguments):
    assert cli.main(["compare-losses", *map(str, arguments)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("compare-losses: error: ")
    assert message in error
    assert error.count("\n") == 1


def test_what_users_get_wrong(runs, tmp_path, capsys):
    refused(capsys, "give updates separated by commas", runs[0], "--at", "first")
    refused(capsys, "give losses separated by commas", runs[0], "--below", "6;5")
    refused(capsys, f"no file {tmp_path / 'none' / 'run.json'}: train with", tmp_path / "none")
    other = tmp_path / "baseline-seed3"
    write_run(other, [5.0], seed=3, parameters="99")
    refused(capsys, "the runs of 'baseline' differ in size (99, 1234567 parameters)", *runs, other)
    refused(capsys, "are both 'pairwise' with seed 1", runs[0], runs[0])
    (other / "done").unlink()
    refused(capsys, "baseline-seed3/done: the training is not finished; go on with --resume", other)
    (other / "done").write_text("{")
    refused(capsys, "baseline-seed3/done is damaged", other)
    (other / "done").write_text("{}")
    (other / "train.log").write_text("")
    refused(capsys, "train.log does not say how many parameters", other)
    write_run(tmp_path / "unvalidated-seed1", [])
    refused(capsys, "has no validation loss; train without --disable-validation", tmp_path / "unvalidated-seed1")
