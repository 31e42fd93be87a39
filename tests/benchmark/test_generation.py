"""Systems translate the same test set, with the same hypotheses or none of their figures."""

import csv
import functools
import json
from importlib.util import find_spec

import pytest
import tiny_training
from builders import build

from fairseq_plugins.benchmark.compare_decoding import TOLERANCE, compare_hypotheses, controls_of, trained_models
from fairseq_plugins.benchmark.copying import make_copying
from fairseq_plugins.benchmark.decoding import FairseqDecoding
from fairseq_plugins.benchmark.processes import GateError
from fairseq_plugins.benchmark.sizes import SIZES
from fairseq_plugins.benchmark.worker import Memory
from fairseq_plugins.benchmark.workload import write_workload

HAS_CTRANSLATE2 = find_spec("ctranslate2") is not None
#: the others copy as one of these does: symmetric as pairwise, and matched as the baseline
VARIANTS = ("stock", "baseline", "neuralqkv", "pairwise")


def test_random_models_side_by_side(benchmark, tmp_path):
    files = ["--csv", tmp_path / "g.csv", "--json", tmp_path / "g.json", "--plot", tmp_path / "g.png"]
    systems = "stock,baseline" + ",ctranslate2+int8" * HAS_CTRANSLATE2
    options = ["--sizes", "tiny", "--systems", systems, "--rounds", 1, "--sentences", 4, "--max-tokens", 100]
    shown = benchmark("generate", *options, *files, "--profile")
    with open(tmp_path / "g.csv", encoding="utf-8", newline="") as file:
        rows = {row["system"]: row for row in csv.DictReader(file)}
    assert list(rows) == systems.split(",")
    assert json.loads((tmp_path / "g.json").read_text())[1]["compared with"] == "stock"
    assert (tmp_path / "g.png").stat().st_size > 1000
    for name, row in rows.items():
        assert f"| tiny | {name} |" in shown
        assert row["sentences"] == "4"
        assert float(row["sentences/s"]) > 0
        assert float(row["memory"]) > 4e6
    assert "4 of 4 as stock" in shown
    assert "| operator | stock | baseline |\n" in shown
    token = 2 * 2 * 128 * 4  # keys and values of two layers; stock keeps a sentence's once a hypothesis
    assert f"caches of stock: {token:,} bytes a token and hypothesis, {5 * token:,} bytes a source token" in shown
    assert f"caches of baseline: {token:,} bytes a token and hypothesis, {token:,} bytes a source token" in shown
    assert rows["stock"]["tokens"] == rows["baseline"]["tokens"]


def test_a_trained_model_and_a_search_of_its_own(benchmark, bin_dir, tmp_path):
    """Other lengths of hypotheses are found before any figure is printed."""
    options = f"bin {tiny_training.TRANSLATE} --optimizer adam --share-all-embeddings {tiny_training.AT_THE_END}"
    path = tiny_training.train(bin_dir.parent, tmp_path / "model", options, 30)
    given = ["--checkpoint", path, "--data", bin_dir, "--beam", 2, "--rounds", 1]
    systems = "baseline,stock" + ",ctranslate2" * HAS_CTRANSLATE2
    shown = benchmark("generate", "--systems", systems, "--batch-size", 7, *given)
    assert f"| {path} | stock |" in shown
    assert "| 20 of 20 as baseline |" in shown
    shorter = ["--systems", "stock,baseline", "--set", "baseline=--max-len-b 1"]
    shown = benchmark("generate", *shorter, *given, status=1)
    assert "baseline does not translate as stock does: " in shown
    assert "tokens/s" not in shown

    with pytest.raises(GateError, match=r"pairwise: .* is a transformer_iwslt_de_en; choose --systems from stock,"):
        trained_models(str(tmp_path), str(path), str(bin_dir), ["stock", "pairwise"])
    with pytest.raises(GateError, match=r"nothing\.pt"):
        trained_models(str(tmp_path), str(tmp_path / "nothing.pt"), str(bin_dir), ["stock"])


@pytest.fixture(scope="module")
def decoding_of(tmp_path_factory):
    """``decoding_of(variant)``: a random model that copies, loaded once."""
    folder = str(tmp_path_factory.mktemp("copying"))
    paths = write_workload(folder, SIZES["tiny"], VARIANTS, sentences=25)

    @functools.cache
    def load(variant):
        return FairseqDecoding(
            [folder, "--path", paths[variant], "--max-tokens", "200", "--cpu"], 1, "cpu", Memory("cpu")
        )

    return load


def translate(decoding):
    """Sources, hypotheses and scores."""
    found = decoding.gate()["hypotheses"]
    symbols = decoding.task.source_dictionary.symbols
    rows = [decoding.task.dataset("test")[int(number)]["source"].tolist()[:-1] for number in found]
    return [[symbols[n] for n in row] for row in rows], *zip(*found.values())


def test_what_cannot_copy_is_said(tmp_path):
    said = "measure a trained one with --checkpoint FILE --data DIR"
    with pytest.raises(GateError, match=said):
        write_workload(str(tmp_path), SIZES["tiny"], ["nonlinearquery"], sentences=1)
    for variant in ("nonlinearquery", "identityquery", "sharedkv", "sharedqkv"):
        with pytest.raises(GateError, match=said):
            make_copying(build(f"transformer_{variant}_tiny", share_all_embeddings=True))


@pytest.mark.parametrize("variant", VARIANTS)
def test_hypotheses_of_random_models_end_as_natural_ones_do(variant, decoding_of):
    """Most are the source, and so of as many lengths; no word is so sure that scores mean nothing."""
    sources, hypotheses, scores = translate(decoding_of(variant))
    assert sum(source == hypothesis for source, hypothesis in zip(sources, hypotheses)) > 0.5 * len(sources)
    assert sum(len(source) == len(found) for source, found in zip(sources, hypotheses)) >= 0.9 * len(sources)
    assert len({len(found) for found in hypotheses}) > 8
    assert all(-2 < score < -0.02 for score in scores)


def test_scores_depend_on_every_part_of_a_random_model(decoding_of):
    """So that systems of the same scores compute the same."""
    decoding = decoding_of("baseline")
    before = translate(decoding)[2]
    for name in ("encoder.layers.0.self_attn.k_proj", "encoder.layers.1.fc1", "decoder.layers.0.self_attn.q_proj"):
        (model,) = decoding.models
        weight = model.get_submodule(name).weight.data
        kept = weight.clone()
        weight.copy_(weight.flip(0))
        after = translate(decoding)[2]
        assert max(abs(a - b) for a, b in zip(before, after)) > 5 * TOLERANCE, name
        weight.copy_(kept)
    assert translate(decoding)[2] == before


def gate(**changes):
    hypotheses = {str(number): [["a", f"b{number}"], -0.5] for number in range(100)}
    return {"hypotheses": {**hypotheses, **changes}}


def test_hypotheses_are_equal_or_equally_good():
    tie = gate(**{"3": [["b"], -0.50004]})
    for gates in ({"stock": gate(), "baseline": tie}, {"pairwise": gate(), "pairwise+x": tie}):
        first, second = gates
        found = compare_hypotheses(gates, controls_of(gates), [])
        assert (found[first].equal, found[first].ties) == (100, 0)
        assert (found[second].equal, found[second].ties) == (99, 1)


@pytest.mark.parametrize("change", [[["b"], -0.4998], [["a", "b3"], -0.5002]])
def test_other_hypotheses_and_other_scores_are_an_error(change):
    gates = {"stock": gate(), "baseline": gate(**{"3": change})}
    problem = "baseline does not translate as stock does: 1 of 100 hypotheses, of sentence 3 with the scores"
    with pytest.raises(GateError, match=problem):
        compare_hypotheses(gates, controls_of(gates), [])
    equal = compare_hypotheses(gates, controls_of(gates), ["baseline"])["baseline"].equal
    assert equal == (99 if change[0] == ["b"] else 100), "of fewer bits, words are counted whatever their scores"
    fewer = {"stock": gate(), "baseline": {"hypotheses": {"1": [["a", "b1"], -0.5]}}}
    with pytest.raises(GateError, match="does not translate the sentences that stock does"):
        compare_hypotheses(fewer, controls_of(fewer), [])


def test_ctranslate2_is_checked_against_its_own_probabilities():
    """Printed is how many hypotheses are those of fairseq as it is."""
    own = {str(number): [["c"], -0.6] for number in range(10)}
    few = {**own, "50": [["d"], -0.7], "51": [["d"], -0.7]}
    gates = {"ctranslate2": gate(**few), "stock": gate(), "ctranslate2+int8": gate(**{**few, "52": [["d"], -0.7]})}
    gates["stock"]["renormalised"] = gate(**own)["hypotheses"]
    controls = controls_of(gates)
    assert controls == {"ctranslate2": "stock", "stock": "stock", "ctranslate2+int8": "stock"}
    found = compare_hypotheses(gates, controls, ["ctranslate2+int8"])
    assert [found[name].equal for name in gates] == [88, 100, 87]
    with pytest.raises(GateError, match=r"ctranslate2\+int8 does not translate as stock does: 3 of 100 hypotheses"):
        compare_hypotheses(gates, controls, [])
    with pytest.raises(GateError, match="ctranslate2 has nothing to be compared with: add stock to --systems"):
        controls_of({"ctranslate2": gate()})


def test_options_of_the_model_reach_it(benchmark):
    options = ["--sizes", "tiny", "--systems", "baseline", "--sentences", 4]
    wrong = ["--set", "baseline=--model-overrides \"{'attention_kernel': 'none such'}\""]
    assert "--attention-kernel none such: unknown choice" in benchmark("generate", *options, *wrong, status=1)


def test_ctranslate2_is_counted_by_its_words():
    """Its scores differ from stock fairseq's by what it takes out before the softmax."""
    gates = {"stock": gate(), "ctranslate2": gate(**{"3": [["a", "b3"], -0.51]})}
    gates["stock"]["renormalised"] = gates["ctranslate2"]["hypotheses"]
    assert compare_hypotheses(gates, controls_of(gates), [])["ctranslate2"].equal == 100
