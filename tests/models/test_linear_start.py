"""``--attention-init linear``: at step 0 the networks are the linear maps that the baseline of the same seed has."""

import pytest
import torch
from builders import build, run

ROBERTA_SHAPE = {"neural_qkv_shape": "roberta"}
EXACT = {
    "relu": {},
    "gelu": {"neural_qkv_activation": "gelu"},
    "gelu_accurate": {"neural_qkv_activation": "gelu_accurate"},
    "swish": {"neural_qkv_activation": "swish"},
    "all-at-3.3": {"neural_qkv_projections": "q,k,v,out", "neural_qkv_expansion": 3.3},
    "residual-marian": {"neural_qkv_shape": "marian", "neural_qkv_residual": True, "neural_qkv_expansion": 0.5},
    "residual-tanh": {"neural_qkv_residual": True, "neural_qkv_activation": "tanh"},
}


def both(family, **options):
    """The baseline of a family and its neural model of the same seed, in float64."""
    models = []
    for variant, given in (("baseline", {}), ("neuralqkv", {**ROBERTA_SHAPE, **options})):
        torch.manual_seed(5)
        models.append(build(f"{family}_{variant}", **given).double().eval())
    return models


@pytest.mark.parametrize("options", EXACT.values(), ids=EXACT)
@pytest.mark.parametrize("family", ["transformer", "roberta", "transformer_lm"])
def test_it_computes_what_the_baseline_computes(family, options):
    baseline, neural = both(family, **options)
    torch.testing.assert_close(run(neural), run(baseline), rtol=0, atol=1e-10)
    found, others = dict(neural.named_parameters()), dict(baseline.named_parameters())
    names = {name for name in others if not any(f".{role}_proj." in name for role in ("q", "k", "v", "out"))}
    assert names < found.keys()
    for name in names:
        torch.testing.assert_close(found[name], others[name], rtol=0, atol=0)
