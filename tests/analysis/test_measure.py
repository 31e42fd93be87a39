"""What is measured on attention, against the same sums written out."""

import math

import pytest
import torch
from builders import batch, build
from choices import SPARSE

from fairseq_plugins.analysis.measure import ErrorOfMixing, Weights, build_mixing, mixed, places
from fairseq_plugins.attention.mix.dense import DenseMixing

SRC, LENGTHS, PREV = batch()


def forward(model):
    with torch.no_grad():
        return model(SRC, LENGTHS, PREV)[0]


@pytest.fixture
def model():
    return build("transformer_baseline_tiny").double().eval()


def test_places_are_in_order_and_by_site(model):
    found = places(model)
    assert [(place.site, place.layer, place.layers) for place in found] == [
        ("encoder", 0, 2),
        ("encoder", 1, 2),
        ("decoder", 0, 2),
        ("decoder", 1, 2),
        ("cross", 0, 2),
        ("cross", 1, 2),
    ]
    assert [place.site for place in places(model, ["cross"])] == ["cross", "cross"]
    assert {place.site for place in places(build("roberta_baseline"))} == {"encoder"}
    assert {place.site for place in places(build("transformer_lm_baseline"))} == {"decoder"}
    with pytest.raises(ValueError, match="no attention at decoder; it has: encoder"):
        places(build("roberta_baseline"), ["decoder"])


def test_observers_change_nothing_and_leave_nothing(model):
    before = forward(model)
    with mixed(places(model), lambda _: Weights([1])):
        observed = forward(model)
    torch.testing.assert_close(observed, before, rtol=0, atol=1e-12)
    assert all(isinstance(place.module.mixing, DenseMixing) for place in places(model))
    assert torch.equal(forward(model), before)


def captured(model, place):
    """Weights (B, H, T, S), values and dense outputs of one module, as a forward pass makes them."""
    seen = {}
    hook = place.module.v_proj.register_forward_hook(lambda _m, _i, out: seen.update(v=place.module._split_heads(out)))
    original = place.module.kernel.weights

    def weights(*args):
        seen["weights"] = original(*args)
        return seen["weights"]

    place.module.kernel.weights = weights
    with mixed([place], lambda _: Weights([1])):
        forward(model)
    place.module.kernel.weights = original
    hook.remove()
    return seen["weights"], seen["v"]


@pytest.mark.parametrize("site", ["encoder", "decoder", "cross"])
def test_sums_over_the_text_alone(model, site):
    """Row by row, padding left out on either side: error of top-2, entropy, share of the two largest weights."""
    place = places(model, [site])[1]
    weights, v = captured(model, place)
    text = (SRC if site == "encoder" else PREV) != 1
    found = {}
    for name, make in (
        ("error", lambda _: ErrorOfMixing(build_mixing("top-r", 2))),
        ("weights", lambda _: Weights([2, 100])),
    ):
        with mixed([place], make) as (observer,):
            observer.rows = text
            forward(model)
            found[name] = observer.result()
    for head in range(4):
        errors, entropies, shares = [], [], []
        for b, t in text.nonzero().tolist():
            alpha = weights[b, head, t]
            o = alpha @ v[b, head]
            kept, keys = alpha.topk(2)
            near = (kept / kept.sum()) @ v[b, head][keys]
            errors.append(((o - near).norm() / o.norm()).item())
            entropies.append(-sum(a * math.log(a) for a in alpha.tolist() if a > 0))
            shares.append(kept.sum().item())
        count = len(errors)
        assert found["error"][head] == pytest.approx(sum(errors) / count, abs=1e-6)
        assert found["weights"]["entropy"][head] == pytest.approx(sum(entropies) / count, abs=1e-9)
        assert found["weights"]["top 2"][head] == pytest.approx(sum(shares) / count, abs=1e-9)
        assert found["weights"]["top 100"][head] == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", SPARSE)
def test_all_keys_are_dense(model, name):
    before = forward(model)
    with mixed(places(model), lambda _: build_mixing(name, 100)):
        assert torch.equal(forward(model), before)
    with mixed(places(model), lambda _: ErrorOfMixing(build_mixing(name, 100))) as observers:
        forward(model)
    assert all(error == 0 for observer in observers for error in observer.result())
