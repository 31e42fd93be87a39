"""What caches take, by formula: of stock fairseq as of ours, and a half or N / h where keys and values are shared."""

import pytest
from builders import SMALL, build, translation_task
from fairseq.models.transformer import TransformerModel

from fairseq_plugins.models.cache_size import CacheSize, cache_size

SYMBOLS = 37
LAYERS, WIDTH, HEADS = (SMALL["transformer"][f"encoder_{name}"] for name in ("layers", "embed_dim", "attention_heads"))
#: bytes of the keys and values of a token, over all layers, in float32
DENSE = LAYERS * 2 * WIDTH * 4
#: an architecture's attention -> the share of that which its self-attention and its cross-attention keep
SHARES = {
    "transformer_baseline_tiny": (1, 1),
    "transformer_neuralqkv_tiny": (1, 1),
    "transformer_valueaware_tiny": (1, 1),
    "transformer_identityquery_tiny": (1, 1),
    "transformer_sharedkv_tiny": (1 / 2, 1 / 2),
    "transformer_sharedqkv_tiny": (1 / 2, 1 / 2),
    "transformer_lm_baseline_tiny": (1, 0),
    "transformer_lm_sharedkv_tiny": (1 / 2, 0),
}


@pytest.mark.parametrize("arch", SHARES)
def test_by_formula(arch):
    own, cross = SHARES[arch]
    assert cache_size(build(arch), SYMBOLS) == CacheSize(own * DENSE, 0, cross * DENSE)


def test_stock_fairseq_keeps_as_much():
    ours = build("transformer_baseline_tiny")
    stock = TransformerModel.build_model(ours.args, translation_task())
    assert cache_size(stock, SYMBOLS) == cache_size(ours, SYMBOLS)


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_fewer_heads_keep_their_share(kv_heads):
    model = build("transformer_sharedkv_tiny", attention_kv_heads=f"decoder={kv_heads}")
    assert cache_size(model, SYMBOLS) == CacheSize(DENSE * kv_heads / HEADS / 2, 0, DENSE / 2)


def test_a_state_does_not_grow():
    width = WIDTH // HEADS + 1  # of the sums of keys with their values, and of both alone
    expected = CacheSize(0, LAYERS * HEADS * width**2 * 4, 0)
    assert cache_size(build("transformer_lm_elu1"), SYMBOLS) == expected
    assert str(expected) == f"{expected.state:,} bytes a hypothesis of any length"
