"""--compile-layers: graphs without a break, shared by the layers of a class, that compute what the layers do."""

import pytest
import torch
from builders import batch, build

from fairseq_plugins.models.compiled import CompilableLayer


def outcome(model, given):
    src, lengths, prev = given
    torch.manual_seed(3)
    inputs = (src, lengths, prev) if hasattr(model, "decoder") and hasattr(model, "encoder") else (prev,)
    logits = model(*inputs)[0]
    model.zero_grad()
    logits.square().mean().backward()
    return logits.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_roberta_has_the_encoder_layers_of_translation():
    layers = [
        [type(m) for m in build(arch, compile_layers="aot_eager").modules() if isinstance(m, CompilableLayer)]
        for arch in ("roberta_baseline_tiny", "transformer_baseline_tiny")
    ]
    assert layers[0] == layers[1][:2]


@pytest.mark.parametrize(
    ("case", "functions"), [("transformer_pairwise_tiny", 2), ("transformer_lm_neuralqkv_tiny", 1)]
)
def test_layers_share_graphs_without_a_break(case, functions):
    from torch._dynamo.testing import CompileCounterWithBackend
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    plain, compiled = build(case).train(), build(case, compile_layers="aot_eager").train()
    compiled.load_state_dict(plain.state_dict())
    backend = CompileCounterWithBackend("aot_eager")
    layers = [module for module in compiled.modules() if isinstance(module, CompilableLayer)]
    assert {layer.compile_backend for layer in layers} == {"aot_eager"}
    for layer in layers:
        layer.compile_backend = backend
    for lengths, targets in [((7, 5, 2), (6, 3, 5)), ((9, 5, 2), (8, 3, 5)), ((4, 3, 2), (5, 3, 5))]:
        given = batch(lengths, targets)
        (logits, gradients), (expected, reference) = outcome(compiled, given), outcome(plain, given)
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)
        assert gradients.keys() == reference.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(gradient, reference[name], rtol=1e-3, atol=1e-6, msg=name)
    assert not counters["graph_break"]
    assert backend.frame_count <= 2 * functions, "once, and once more when lengths vary"
    compiled.eval()
    seen = backend.frame_count
    outcome(compiled, batch((11, 5, 2), (10, 3, 5)))
    assert backend.frame_count == seen, "evaluation is not compiled"


def test_an_unknown_backend_is_named():
    with pytest.raises(ValueError, match="--compile-layers fastest: choose from"):
        build("transformer_baseline_tiny", compile_layers="fastest")
