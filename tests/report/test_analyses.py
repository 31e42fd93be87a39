"""Analyses side by side: the costs, and the two answers against t-tests by hand."""

import csv
import json
import math

import pytest
from scipy import special

from fairseq_plugins import cli

DENSE = {"lm-exp": [4.5, 4.6, 4.7], "lm-elu1": [4.8, 4.9, 4.7], "lm-poly": [5.0]}
TOP = {"lm-exp": [0.03, 0.04, 0.035], "lm-elu1": [0.1, 0.13, 0.12], "lm-poly": [0.2]}
NORM = {"lm-exp": [0.02, 0.03, 0.015], "lm-elu1": [0.11, 0.1, 0.09], "lm-poly": [0.105]}
AWARE = {"lm-exp": [0.005, 0.004, 0.006], "lm-elu1": [0.011, 0.02, 0.015], "lm-poly": [0.01]}


@pytest.fixture
def runs(tmp_path):
    folders = []
    for name, losses in DENSE.items():
        for number, dense in enumerate(losses):
            folder = tmp_path / f"{name}-seed{number + 1}"
            results = [{"mixing": "dense", "r": 0, "loss": dense, "errors": []}]
            for r in (2, 4):
                for mixing, costs in (("top-r", TOP), ("value-norm-r", NORM), ("value-aware-r", AWARE)):
                    results.append(
                        {"mixing": mixing, "r": r, "loss": dense + costs[name][number] * 4 / r, "errors": []}
                    )
            weights = [{"site": "decoder", "layer": 0, "entropy": [1.0 + number, 2.0]}]
            (folder / "analysis").mkdir(parents=True)
            (folder / "analysis" / "analysis.json").write_text(json.dumps({"weights": weights, "results": results}))
            folders.append(folder)
    return folders


def p_of(t, df):
    """Two-sided, of Student's t, by the incomplete beta function."""
    return special.betainc(df / 2, 0.5, df / (df + t * t))


def moments(values):
    mean = sum(values) / len(values)
    return mean, sum((value - mean) ** 2 for value in values) / (len(values) - 1)


def test_the_answers_are_t_tests_over_seeds(runs, tmp_path, capsys):
    out = tmp_path / "answers.json"
    plot, lines = tmp_path / "costs.png", tmp_path / "costs.csv"
    assert (
        cli.main(["compare-analyses", *map(str, runs), "--json", str(out), "--csv", str(lines), "--plot", str(plot)])
        == 0
    )
    text = capsys.readouterr().out
    answers = json.loads(out.read_text())["answers"]
    assert (answers["r"], answers["baseline"]) == (4, "lm-exp")

    gains = answers["top-r less value-aware-r"]
    raw = {}
    for name in ("lm-exp", "lm-elu1"):
        mean, variance = moments([top - aware for top, aware in zip(TOP[name], AWARE[name])])
        raw[name] = p_of(mean / math.sqrt(variance / 3), 2)
        assert gains[name]["difference"] == pytest.approx(mean)
        assert gains[name]["p"] == pytest.approx(raw[name])
        half = 4.302652729749464 * math.sqrt(variance / 3)  # t of 2 degrees of freedom, from a table
        assert (gains[name]["low"], gains[name]["high"]) == pytest.approx((mean - half, mean + half))
    small, large = sorted(raw, key=raw.get)
    assert gains[small]["p_holm"] == pytest.approx(2 * raw[small])
    assert gains[large]["p_holm"] == pytest.approx(max(raw[large], 2 * raw[small]))
    assert gains["lm-poly"] is None
    assert "lm-poly, r = 4: top-r costs 0.200 nats and value-aware-r 0.010; no test, one seed." in text

    (one, a), (other, b) = moments(TOP["lm-elu1"]), moments(TOP["lm-exp"])
    df = (a / 3 + b / 3) ** 2 / ((a / 3) ** 2 / 2 + (b / 3) ** 2 / 2)
    found = answers["top-r's cost less the baseline's"]["lm-elu1"]
    assert found["difference"] == pytest.approx(one - other)
    assert found["p"] == found["p_holm"] == pytest.approx(p_of((one - other) / math.sqrt(a / 3 + b / 3), df))
    assert "top-r at r = 4 costs lm-elu1 0.117 and lm-exp 0.035 nats; a difference: lm-elu1 less lm-exp +0.082" in text
    assert "| lm-exp | 3 | 2.00 ± 0.50 | 4.600 ± 0.100 | top-r | 0.070 ± 0.010 | 0.035 ± 0.005 |" in text
    with open(lines, encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 7 * 7
    assert float(next(row for row in rows if row["mixing"] == "top-r" and row["r"] == "2")["cost"]) == pytest.approx(
        0.06
    )
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_the_share_of_the_norm_is_a_mean_over_seeds(runs, tmp_path, capsys):
    """Each seed's share, its mean and Student's interval; lm-elu1's is below 0 for one seed."""

    def answers():
        out = tmp_path / "answers.json"
        assert cli.main(["compare-analyses", *map(str, runs), "--json", str(out)]) == 0
        return capsys.readouterr().out, json.loads(out.read_text())["answers"]

    text, found = answers()
    found = found["value-norm-r's share of that"]
    for name in ("lm-exp", "lm-elu1"):
        values = [(top - norm) / (top - aware) for top, norm, aware in zip(TOP[name], NORM[name], AWARE[name])]
        mean, variance = moments(values)
        half = 4.302652729749464 * math.sqrt(variance / 3)  # t of 2 degrees of freedom, from a table
        assert found[name] == pytest.approx({"mean": mean, "low": mean - half, "high": mean + half})
    assert found["lm-poly"] == pytest.approx({"mean": 0.5, "low": None, "high": None})
    won = "of what value-aware-r wins over top-r"
    spanned = "95 % interval [\N{MINUS SIGN}0.07, +0.98], 3 seeds"
    assert f"lm-exp, r = 4: value-norm-r costs 0.022 nats and wins 0.46 {won} ({spanned})." in text
    assert f"lm-poly, r = 4: value-norm-r costs 0.105 nats and wins 0.50 {won} (no interval, one seed)." in text

    def change(alter):
        for run in runs:
            path = run / "analysis" / "analysis.json"
            content = json.loads(path.read_text())
            content["results"] = [result for result in content["results"] if alter(run.name, result)]
            path.write_text(json.dumps(content))

    def no_gain(name, result):
        if name == "lm-exp-seed2" and result["mixing"] == "value-aware-r":
            result["loss"] = DENSE["lm-exp"][1] + TOP["lm-exp"][1] * 4 / result["r"]
        return True

    change(no_gain)
    text, found = answers()
    assert found["value-norm-r's share of that"]["lm-exp"] is None
    assert "lm-exp, r = 4: value-norm-r costs 0.022 nats; no share, value-aware-r does not win with every seed." in text

    change(lambda _, result: result["mixing"] != "value-norm-r")
    text, found = answers()
    assert "value-norm-r" not in text
    assert list(found) == ["r", "baseline", "top-r less value-aware-r", "top-r's cost less the baseline's"]


def test_what_cannot_be_compared_is_refused(runs, tmp_path, capsys):
    def refused(*arguments):
        assert cli.main(["compare-analyses", *map(str, arguments)]) == 1
        return capsys.readouterr().err

    assert "--r 3: the analyses have r = 2, 4" in refused(*runs, "--r", 3)
    assert "--baseline best: choose from lm-exp" in refused(*runs, "--baseline", "best")
    assert "make it with fairseq-plugins analyse-attention" in refused(tmp_path)
    path = runs[0] / "analysis" / "analysis.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "results": content["results"][:-1]}))
    assert f"{runs[1]} has other mixings or other r than {runs[0]};" in refused(*runs)
    path.write_text(json.dumps({**content, "weights": None}))
    assert "is not complete; call analyse-attention again" in refused(*runs)
