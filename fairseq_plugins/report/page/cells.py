"""The tables of a study as text, for Markdown and LaTeX alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .numerals import NOTHING, amount, interval, number, probability, signed, spread

Cells = tuple[list[str], list[list[str]]]


def scores(results: Mapping[str, Any]) -> Cells:
    """Header and a row a variant: what it costs and what it reaches."""
    models = results["variants"]
    operations = any(model["operations"] is not None for model in models)
    lengths = any(model["length_ratio"] for model in models)
    header = ["variant", "seeds", "parameters", *(["operations a token"] if operations else [])]
    header += [metric["name"] for metric in results["metrics"]]
    header += [*(["length ratio"] if lengths else []), "validation loss"]
    rows = []
    for model in models:
        row = [model["name"], str(len(model["seeds"])), f"{model['parameters']:,}"]
        row += [amount(model["operations"])] if operations else []
        row += [spread(model["scores"].get(metric["name"]), metric["digits"]) for metric in results["metrics"]]
        row += [spread(model["length_ratio"], 3)] if lengths else []
        rows.append([*row, spread(model["validation"], 3)])
    return header, rows


def differences(results: Mapping[str, Any]) -> Cells:
    """Header and a row a metric and variant that was tested; the header alone where none was."""
    header = ["metric", "variant", "difference", "95 % interval", "p", "p (Holm)", "detectable", "seeds for half of it"]
    rows = []
    for metric in results["metrics"]:
        for model in results["variants"]:
            test = (model["against_baseline"] or {}).get(metric["name"])
            if test:
                digits = metric["digits"]
                row = [metric["name"], model["name"], signed(test["difference"], digits), interval(test, digits)]
                row += [probability(test["p"]), probability(test["p_holm"]), number(test["detectable"], digits)]
                rows.append([*row, NOTHING if test["seeds_for_half"] is None else str(test["seeds_for_half"])])
    return header, rows


def notes(results: Mapping[str, Any]) -> list[str]:
    """What the tables' words mean, and who was not tested."""
    test = results["test_set"]
    found = [f"{test['count']:,} {test['units']} of {test['name']}."]
    if len(results["seeds"]) > 1:
        found[0] = f"{found[0][:-1]}; ± is the sample standard deviation over the seeds."
    if differences(results)[1]:
        found.append(
            f"Differences are those to {results['baseline']}; the test takes seeds and {test['units']} as samples, and "
            f"seeds of two variants as no pairs. p (Holm) is corrected for the number of "
            "variants. Detectable is the smallest true difference that so many seeds find with 80 % power at 5 %."
        )
    for model in results["variants"]:
        if not model["against_baseline"] and model["why_no_test"]:
            found.append(f"{model['name']} was not tested: {model['why_no_test'].rstrip('.')}.")
    return [*found, *results.get("notes", ())]


def signatures(results: Mapping[str, Any]) -> list[str]:
    """What each metric measures."""
    return [f"{metric['name']}: {metric['signature']}" for metric in results["metrics"]]
