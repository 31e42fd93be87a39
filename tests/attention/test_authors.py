"""Our modules with the authors' parameters reproduce the outputs of the authors' released modules (float64)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from authors import AUTHORS, load_authors_attention

from fairseq_plugins.attention import CAUSAL


@pytest.fixture(scope="module")
def vectors():
    return arrays("authors_modules.npz")


def arrays(name):
    return dict(np.load(Path(__file__).parents[1] / "vectors" / name))


def prefixes(name):
    return sorted({array.partition(".")[0] for array in arrays(name)} & set(AUTHORS))


def to_time_first(array):
    return torch.from_numpy(array).transpose(0, 1)


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("prefix", prefixes("authors_modules.npz"))
def test_outputs_and_weights(vectors, prefix, need_weights):
    module = load_authors_attention(vectors, prefix)
    x, memory = to_time_first(vectors["x"]), to_time_first(vectors["memory"])
    pad, memory_pad = torch.from_numpy(vectors["key_padding_mask"]), torch.from_numpy(vectors["memory_padding_mask"])
    calls = {
        "self_padded": {"key": x, "value": x, "key_padding_mask": pad},
        "self_causal": {"key": x, "value": x, "attn_mask": CAUSAL},
        "cross_padded": {"key": memory, "value": memory, "key_padding_mask": memory_pad},
    }
    compared = 0
    for name, call in calls.items():
        if f"{prefix}.{name}" not in vectors:
            continue
        out, weights = module(query=x, need_weights=need_weights, need_head_weights=need_weights, **call)
        torch.testing.assert_close(out, to_time_first(vectors[f"{prefix}.{name}"]), rtol=0, atol=1e-10)
        compared += 1
        expected = vectors.get(f"{prefix}.weights_padded") if name == "self_padded" else None
        if need_weights and expected is not None:
            torch.testing.assert_close(weights.transpose(0, 1), torch.from_numpy(expected), rtol=0, atol=1e-10)
            compared += 1
    assert compared >= 2


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize(
    ("file", "prefix"),
    [(file, prefix) for file in ("query_modules.npz", "sharing_modules.npz") for prefix in prefixes(file)],
)
def test_causal_outputs_and_input_gradients(file, prefix, need_weights):
    vectors = arrays(file)
    module = load_authors_attention(vectors, prefix)
    x = to_time_first(vectors["x"]).requires_grad_()
    out, _ = module(x, x, x, attn_mask=CAUSAL, need_weights=need_weights)
    torch.testing.assert_close(out, to_time_first(vectors[f"{prefix}.self_causal"]), rtol=0, atol=1e-10)
    out.backward(to_time_first(vectors["output_gradient"]))
    torch.testing.assert_close(x.grad, to_time_first(vectors[f"{prefix}.input_gradient"]), rtol=0, atol=1e-10)


def test_every_vector_is_used():
    """Each prefix of the files is one of :data:`AUTHORS`, and the reverse."""
    files = ("authors_modules.npz", "query_modules.npz", "sharing_modules.npz")
    named = {array.partition(".")[0] for file in files for array in arrays(file) if "." in array}
    assert named == set(AUTHORS)


def test_dense_triangle_equals_causal(vectors):
    module = load_authors_attention(vectors, "marian_neural")
    x = to_time_first(vectors["x"])
    triangle = torch.full((7, 7), float("-inf"), dtype=x.dtype).triu(1)
    out, _ = module(x, x, x, attn_mask=triangle, need_weights=False)
    torch.testing.assert_close(out, to_time_first(vectors["marian_neural.self_causal"]), rtol=0, atol=1e-10)


def test_errors(vectors):
    with pytest.raises(ValueError, match="no_such"):
        load_authors_attention(vectors, "no_such")
    without = {name: array for name, array in vectors.items() if name != "marian_neural.q_proj.1.bias"}
    with pytest.raises(KeyError, match=r"q_proj\.1\.bias"):
        load_authors_attention(without, "marian_neural")
    with pytest.raises(KeyError, match="output projection"):
        load_authors_attention({}, "marian_neural")
