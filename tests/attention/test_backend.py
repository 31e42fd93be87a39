"""Which of torch's attention kernels a call reaches on a CPU."""

import pytest
import torch
from small_attention import CHOICES, FUSED, WIDTH, attention
from torch.utils._python_dispatch import TorchDispatchMode

from fairseq_plugins.attention import CAUSAL
from fairseq_plugins.attention.normalise.exp import FEW_QUERIES, MANY_HEADS

FLASH = "_scaled_dot_product_flash_attention_for_cpu"


class Operations(TorchDispatchMode):
    """The names of the operations within."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.names.append(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


def kernels(name, queries, rows=2, dropout=0.0, causal=True, padded=True):
    """The attention kernels of one call in training mode; ``_softmax`` stands for plain products."""
    module = attention(CHOICES[name], self_attention=True, right_padded=causal, dropout=dropout).train()
    x = torch.randn(queries, rows, WIDTH)
    padding = torch.zeros(rows, queries, dtype=torch.bool)
    padding[0, -1] = padded
    with Operations() as seen:
        module(x, x, x, padding, attn_mask=CAUSAL if causal else None, need_weights=False)
    return [name for name in seen.names if "scaled_dot" in name or name == "_softmax"]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", FUSED)
def test_training_reaches_the_flash_kernel(name, causal):
    """With padding and without, forward and, for it is differentiated, backward."""
    for padded in (False, True):
        assert kernels(name, 9, causal=causal, padded=padded) == [FLASH]
    module = attention(CHOICES[name], self_attention=True)
    x = torch.randn(9, 2, WIDTH, requires_grad=True)
    out, _ = module(x, x, x, need_weights=False)
    with Operations() as seen:
        out.sum().backward()
    assert f"{FLASH}_backward" in seen.names


def test_dropout_goes_round_torchs_own_way():
    """torch would draw its masks within an unfused form of its own."""
    assert kernels("plain", 9, dropout=0.1) == ["_softmax"]


def test_a_step_of_many_hypotheses_takes_plain_products():
    rows = MANY_HEADS  # of two heads each: twice as many as are needed
    with torch.no_grad():
        assert kernels("plain", 1, rows=rows) == ["_softmax"]
        assert kernels("plain", FEW_QUERIES, rows=rows) == ["_softmax"]
        assert kernels("plain", FEW_QUERIES + 1, rows=rows) == [FLASH]
        assert kernels("plain", 1, rows=2) == [FLASH]
    assert kernels("plain", 1, rows=rows) == [FLASH], "while training, the number of queries decides nothing"
