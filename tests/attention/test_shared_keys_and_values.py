"""Keys and values of one map, with or without the queries: shared-key-value and shared."""

import pytest
import torch
from choices import SHARED_VALUES

from fairseq_plugins.attention import CAUSAL, AttentionConfig
from fairseq_plugins.attention.decode.reordering import Reordering

HEADS, WIDTH = 2, 12


def attention(projection, build=None, **options):
    return AttentionConfig(projection=projection, **options).build("decoder", WIDTH, HEADS, **(build or {})).double()


def size(module):
    return sum(parameter.numel() for parameter in module.parameters())


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize(
    ("projection", "compatibility", "makers"),
    [
        ("shared-key-value", "dot", "qkk"),
        ("shared-key-value", "symmetric", "qqq"),
        ("shared", "dot", "qqq"),
        ("shared", "symmetric", "qqq"),
        ("linear", "symmetric", "qqv"),
    ],
)
def test_which_map_makes_what_in_cross_attention(projection, compatibility, makers):
    """Written out: queries are made of the one side, keys and values of the memory, by the map named."""
    module = attention(projection, {"encoder_decoder_attention": True}, attention_compatibility=compatibility)
    x, memory = random(3, 2, WIDTH), random(5, 2, WIDTH)
    maps = dict(module.named_children())
    sides = zip(makers, (x, memory, memory))
    q, k, v = (maps[f"{maker}_proj"](side).view(len(side), 2, HEADS, -1) for maker, side in sides)
    weights = (torch.einsum("tbhd,sbhd->bhts", q, k) / (WIDTH // HEADS) ** 0.5).softmax(-1)
    expected = module.out_proj(torch.einsum("bhts,sbhd->tbhd", weights, v).reshape(3, 2, WIDTH))
    torch.testing.assert_close(module(x, memory, memory)[0], expected, rtol=0, atol=1e-12)
    assert {name[0] for name in maps if name in ("q_proj", "k_proj", "v_proj")} == set(makers)


@pytest.mark.parametrize("projection", SHARED_VALUES)
def test_values_of_their_own_are_mapped_by_themselves(projection):
    """As ``torch.nn.MultiheadAttention`` may be called: value is another tensor than key."""
    module = attention(projection)
    x, key, value = random(3, 2, WIDTH), random(5, 2, WIDTH), random(5, 2, WIDTH)
    other = attention("linear")
    other.load_state_dict(
        {
            f"{role}_proj.{name}": getattr(module.map_of(role) if role in "qkv" else module.out_proj, name)
            for role in ("q", "k", "v", "out")
            for name in ("weight", "bias")
        }
    )
    torch.testing.assert_close(module(x, key, value)[0], other(x, key, value)[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(module(x, key, key)[0], other(x, key, key)[0], rtol=0, atol=1e-12)


def test_parameter_counts():
    linear, one = size(attention("linear")), WIDTH**2 + WIDTH
    assert linear - size(attention("shared-key-value")) == one
    assert linear - size(attention("shared")) == 2 * one
    assert linear - size(attention("shared-key-value", attention_compatibility="symmetric")) == 2 * one


@pytest.mark.parametrize("projection", SHARED_VALUES)
def test_self_attention_projects_once(projection):
    calls = []
    module = attention(projection, {"self_attention": True})
    module.map_of("v").register_forward_hook(lambda *_: calls.append(1))
    x = random(4, 2, WIDTH)
    module(x, x, x, attn_mask=CAUSAL)
    assert len(calls) == 1


def kept(buffer):
    """Bytes of the memory that a cache holds."""
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage()
        for tensor in buffer.values()
        if tensor is not None
    }
    return sum(storage.nbytes() for storage in storages.values())


@pytest.mark.parametrize("differentiated", [False, True])
@pytest.mark.parametrize("projection", SHARED_VALUES)
def test_the_cache_holds_half(projection, differentiated):
    """Exactly, at every step, whatever beam search does in between; cross-attention's too."""
    x, memory = random(40, 3, WIDTH), random(5, 3, WIDTH)
    sizes = {}
    for name in ("linear", projection):
        itself, cross = attention(name, {"self_attention": True}), attention(name, {"encoder_decoder_attention": True})
        past, of_memory, sizes[name] = {}, {}, []
        with torch.set_grad_enabled(differentiated):
            for t in range(40):
                itself(x[t : t + 1], None, None, buffer=past, need_weights=False)
                cross(x[t : t + 1], memory, memory, buffer=of_memory, static_kv=True, need_weights=False)
                order = Reordering(torch.randperm(3))
                itself.reorder(past, order)
                cross.reorder(of_memory, order)
                sizes[name].append((kept(past), kept(of_memory)))
    assert sizes["linear"] == [(2 * of_past, 2 * of_memory) for of_past, of_memory in sizes[projection]]


def test_a_cache_with_values_of_their_own_goes_on():
    """Values that once were others than the keys are kept as such, before and after steps where they are the same."""
    module, given = attention("shared-key-value"), random(6, 1, 3, WIDTH)
    x, keys, values = given[:2], given[2:4], given[4:]
    for first, second in ((keys, values), (keys, keys)):
        for last_keys, last_values in ((keys, values), (keys, keys)):
            past, k, v = {}, [first[0], last_keys[1]], [second[0], last_values[1]]
            with torch.no_grad():
                for step in range(2):
                    out, _ = module(x[step], k[step], v[step], buffer=past)
                expected, _ = module(x[1], torch.cat(k), torch.cat(v))
            torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("projection", "widths", "said"),
    [
        ("shared-key-value", {"vdim": 8}, "v and k share a projection and are made of inputs of width 8 and 12"),
        ("shared", {"kdim": 8, "vdim": 8}, "k and q share a projection and are made of inputs of width 8 and 12"),
        ("shared", {"vdim": 8}, "v and q share a projection and are made of inputs of width 8 and 12"),
    ],
)
def test_other_widths_are_refused(projection, widths, said):
    with pytest.raises(ValueError, match=said):
        attention(projection, widths)


def test_keys_and_values_may_be_of_another_width_than_queries():
    module = attention("shared-key-value", {"kdim": 8, "vdim": 8, "encoder_decoder_attention": True})
    assert module(random(3, 2, WIDTH), random(5, 2, 8), None)[0].shape == (3, 2, WIDTH)
