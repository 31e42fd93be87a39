"""Feed-forward widths by which one model takes as much as another."""

import numpy as np
import pytest
from fairseq import tasks
from fairseq.data import Dictionary
from fairseq.dataclass.utils import convert_namespace_to_omegaconf

from fairseq_plugins.errors import UserError
from fairseq_plugins.study.budget import meet_budgets, solve
from fairseq_plugins.study.quantities import operations, parameters, seconds_ratio
from fairseq_plugins.study.recipes import Training
from fairseq_plugins.study.spec import Budget, Variant

BUDGET = Budget("parameters", "baseline", "study.yaml:9")


@pytest.mark.parametrize("seed", range(8))
def test_the_solver_finds_what_a_search_of_all_widths_finds(seed):
    """Whether the measure is linear in the width or bends."""
    rng = np.random.default_rng(seed)
    base, a_unit, bend = rng.uniform(1e4, 1e5), rng.uniform(100, 900), rng.choice([0.8, 1.0, 1.2])
    width = int(rng.integers(64, 512))

    def measure(widths):
        return base + a_unit * sum(value**bend for value in widths.values())

    target = measure({"encoder": 1, "decoder": 1}) + rng.uniform(0.3, 3) * a_unit * 2 * width**bend
    found = solve("x", {"encoder": width, "decoder": width}, measure, target, BUDGET)
    errors = [abs(measure({"encoder": w, "decoder": w}) / target - 1) for w in range(1, 10 * width)]
    assert abs(found.value / target - 1) <= max(min(errors), 0.0005) + 1e-12
    assert found.value == measure(found.widths)


def test_a_budget_that_cannot_be_met_is_refused_with_its_line():
    with pytest.raises(UserError, match=r"study.yaml:9: x takes 1,002 parameters even .* width 1, more than the 500"):
        solve("x", {"encoder": 8}, lambda widths: 1000 + 2 * widths["encoder"], 500, BUDGET)
    with pytest.raises(UserError, match=r"study.yaml:9: x comes no nearer to 1,050 .* \(4.\d+ %.*tolerance: 0.05"):
        solve("x", {"encoder": 8}, lambda widths: 100 * widths["encoder"], 1050, BUDGET)


def training(bin_dir, arch, *options):
    sizes = [word for side in ("encoder", "decoder") for word in (f"--{side}-layers", "1", f"--{side}-embed-dim", "16")]
    sizes += ["--encoder-ffn-embed-dim", "48", "--decoder-ffn-embed-dim", "24", "--share-all-embeddings"]
    words = (str(bin_dir), "--arch", arch, *sizes, "--optimizer", "adam", "--max-tokens", "300", "--cpu", *options)
    return Training("translation", (*words, "--criterion", "label_smoothed_cross_entropy"), 24)


def built(args):
    """fairseq's own way to the model."""
    cfg = convert_namespace_to_omegaconf(args)
    return tasks.setup_task(cfg.task).build_model(cfg.model)


@pytest.mark.parametrize("quantity", ["parameters", "operations"])
def test_models_meet_a_budget(quantity, bin_dir, tmp_path):
    """The model that fairseq builds with the found widths takes as much as the other, by another count."""
    trainings = {
        "neuralqkv": training(bin_dir, "transformer_neuralqkv_tiny"),
        "matched": training(bin_dir, "transformer_baseline_tiny"),
    }
    budget = Budget(quantity, "neuralqkv", "study.yaml:9", 0.01)
    variants = {"neuralqkv": Variant("neuralqkv", ""), "matched": Variant("matched", "", budget=budget)}
    # before the data are there, parameters are counted by the size of the dictionary, which says the same
    symbols = len(Dictionary.load(str(bin_dir / "dict.en.txt"))) if quantity == "parameters" else None
    found = meet_budgets(variants, trainings, symbols)
    assert list(found) == ["matched"]
    widths = found["matched"].widths
    assert widths["encoder"] == pytest.approx(2 * widths["decoder"], abs=1), "by one factor"
    assert widths["encoder"] > 1.2 * 48, "as it is, it takes less"
    from fairseq_plugins.study.checks import parsed

    wider = parsed(training(bin_dir, "transformer_baseline_tiny", *found["matched"].words()), "")
    take = parameters if quantity == "parameters" else operations
    assert take(wider) == found["matched"].value
    target = take(parsed(trainings["neuralqkv"], ""))
    assert found["matched"].target == target
    assert found["matched"].value == pytest.approx(target, rel=0.01)
    if quantity == "parameters":
        assert found["matched"].value == sum(parameter.numel() for parameter in built(wider).parameters())


def test_operations_are_those_of_the_products(bin_dir):
    """Counted by hand for one layer a side: maps of the tokens, and attention over each sentence's length."""
    from fairseq_plugins.study.batches import Batches
    from fairseq_plugins.study.checks import parsed

    args = parsed(training(bin_dir, "transformer_baseline_tiny"), "")
    batches = Batches(args)
    model = batches.model()
    total = tokens = 0
    width, heads_width = 16, 16
    for batch in batches.some(model):
        rows, source = batch["net_input"]["src_tokens"].shape
        target = batch["target"].shape[1]
        maps = 2 * rows * (source * (4 * width**2 + 2 * width * 48) + target * (6 * width**2 + 2 * width * 24))
        maps += 2 * rows * source * 2 * width**2  # keys and values of the memory
        mixed = 2 * 2 * rows * heads_width * (source * source + target * target + target * source)
        output = 2 * rows * target * width * len(batches.task.target_dictionary)
        total += 3 * (maps + mixed + output)  # backward takes two products for one
        tokens += batch["ntokens"]
    assert operations(args) == pytest.approx(total / tokens, rel=1e-6)


def test_seconds_of_a_model_beside_a_larger_one(bin_dir):
    """A model whose feed-forward layers are a hundred times as wide takes longer, and less than a hundred times so."""
    from fairseq_plugins.study.checks import parsed

    plain = parsed(training(bin_dir, "transformer_baseline_tiny"), "")
    wide = parsed(training(bin_dir, "transformer_baseline_tiny", "--encoder-ffn-embed-dim", "4800"), "")
    ratio, scatter = seconds_ratio(wide, plain)
    assert 1.0 < ratio < 100
    assert scatter >= 0
