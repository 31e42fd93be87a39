"""Scores of sums over sentences against those that parse-score writes."""

import itertools
import json

import pytest

from fairseq_plugins import cli
from fairseq_plugins.parsing.linearise import linearise, simplify
from fairseq_plugins.parsing.toy import generate
from fairseq_plugins.parsing.trees import bracketed
from fairseq_plugins.parsing.units import bracket_units


@pytest.fixture
def parsed(tmp_path):
    """A run whose sequences are those of other sentences."""
    trees = generate(9, 40)
    folder = tmp_path / "run" / "gen.test"
    folder.mkdir(parents=True)
    (tmp_path / "gold").write_text("".join(f"{bracketed(tree)}\n" for tree, _ in itertools.pairwise(trees)))
    lines = [" ".join(linearise(simplify(tree))) for _, tree in itertools.pairwise(trees)]
    (folder / "hyp.tok").write_text("".join(f"{line}\n" for line in lines))
    return folder


@pytest.mark.parametrize("bracketed_trees", [False, True])
def test_f1_of_sums(parsed, tmp_path, bracketed_trees):
    arguments = [tmp_path / "gold", parsed / "hyp.tok", "--trees", parsed / "trees"]
    assert cli.main(["parse-score", *map(str, [*arguments, "--json", parsed / "evalb.json"])]) == 0
    if bracketed_trees:
        arguments = [tmp_path / "gold", parsed / "trees", "--bracketed", "--json", parsed / "evalb.json"]
        assert cli.main(["parse-score", *map(str, arguments)]) == 0
    direct = json.loads((parsed / "evalb.json").read_text())
    units = bracket_units(parsed.parent)
    names = {"F1": "f1", "recall": "recall", "precision": "precision", "complete match": "complete match"}
    expected = {name: direct["all"][key] for name, key in names.items()}
    expected["F1, up to 40 words"] = direct["short"]["f1"]
    assert {name: one.score for name, one in units.items()} == pytest.approx(expected, abs=1e-12)
    assert units["F1"].sums.shape == (39, 8)
    assert 0 < expected["F1"] < 100
    assert 0 < expected["recall"] != expected["precision"]
    assert units["F1"].measure.of_sums(units["F1"].sums * 0).tolist() == [0] * 39

    (tmp_path / "gold").rename(tmp_path / "moved")
    with pytest.raises(ValueError, match=r"no file .*gold"):
        bracket_units(parsed.parent)
    assert bracket_units(parsed.parent, gold=tmp_path / "moved")["F1"].score == units["F1"].score
