"""Beam search on the caches that are written and reordered in place, against fairseq's copies."""

import pytest
import torch
from builders import batch, build, dictionary
from fairseq.models import FairseqIncrementalDecoder
from fairseq.sequence_generator import SequenceGenerator
from hypothesis import given, settings
from hypothesis import strategies as st

from fairseq_plugins.attention import StagedMultiheadAttention
from fairseq_plugins.attention.decode import cache
from fairseq_plugins.attention.decode.cache import KeyValueCache
from fairseq_plugins.attention.decode.reordering import Reordering


def caches(model, state):
    for module in model.decoder.modules():
        if isinstance(module, StagedMultiheadAttention):
            buffer = module._get_input_buffer(state)
            yield buffer["prev_key"], buffer["prev_value"]


def choose(rows, sentences, beam, kind):
    """New rows as a search may choose them: near relatives, any, or of fewer sentences."""
    order = torch.arange(rows).view(sentences, beam)
    if kind == "leaves" and sentences > 1:
        order = order[torch.arange(sentences) != torch.randint(sentences, (1,))]
    if kind == "mixes":
        return order.view(-1)[torch.randint(rows, (rows,))]
    if kind == "one moves":
        order[0, 0] = order[0, -1]
        return order.view(-1)
    return torch.stack([group[torch.randint(beam, (beam,))] for group in order]).view(-1)


@settings(max_examples=25, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(["moves", "one moves", "one moves", "leaves", "mixes"]), min_size=1, max_size=9),
    beam=st.integers(1, 4),
    room=st.integers(1, 5),
)
def test_the_caches_are_those_of_fairseqs_way(kinds, beam, room):
    """Ours in place, with what all layers share; theirs by copies, module by module, where gradients are wanted."""
    cache.FIRST_ROOM, before = room, cache.FIRST_ROOM
    model = build("transformer_baseline_tiny").double().eval()
    src, lengths, _ = batch()
    sentences = len(src)
    rows = torch.arange(sentences).repeat_interleave(beam)
    with torch.no_grad():
        ours = model.encoder.reorder_encoder_out(model.encoder(src, lengths), rows)
    theirs = dict(ours)
    states, prev = ({}, {}), torch.randint(4, 37, (len(rows), 1))
    try:
        for kind in kinds:
            with torch.no_grad():
                fast, _ = model.decoder(prev, encoder_out=ours, incremental_state=states[0])
            slow, _ = model.decoder(prev, encoder_out=theirs, incremental_state=states[1])
            torch.testing.assert_close(fast, slow, rtol=0, atol=1e-12)
            order = choose(len(prev), sentences, beam, kind)
            sentences = len(order) // beam
            model.decoder.reorder_incremental_state_scripting(states[0], order)
            FairseqIncrementalDecoder.reorder_incremental_state_scripting(model.decoder, states[1], order)
            ours = model.encoder.reorder_encoder_out(ours, order)
            theirs = {name: list(values) for name, values in theirs.items()}
            theirs = dict(ours.select(theirs, order))
            for (k, v), (other_k, other_v) in zip(caches(model, states[0]), caches(model, states[1])):
                if len(k) == len(other_k):  # keys of the source may be kept once a sentence
                    torch.testing.assert_close((k, v), (other_k, other_v), rtol=0, atol=1e-12)
            prev = torch.cat([prev[order], torch.randint(4, 37, (len(order), 1))], dim=1)
    finally:
        cache.FIRST_ROOM = before


@pytest.mark.parametrize("moved", [1, 6])
def test_only_what_differs_moves(moved):
    """Rows that have their first steps in common; the memory stays the same."""
    rows, heads, steps, width = 6, 2, 5, 3
    buffer, kv = {}, KeyValueCache()
    with torch.no_grad():
        for _ in range(steps):
            k, v = torch.randn(2, rows, heads, 1, width)
            kv.extend(buffer, k, v, None)
        past = buffer["prev_key"]
        past[:, :, :3] = past[:1, :, :3]
        origin = torch.arange(rows)[:, None].repeat(1, steps)
        origin[:, :3] = 0
        order = torch.arange(rows)
        order[:moved] = order[:moved].flip(0) if moved > 1 else 4
        expected = past[order], buffer["prev_value"].clone()
        expected[1][:, :, 3:] = expected[1][order][:, :, 3:]
        kv.reorder(buffer, Reordering(order, origin))
    assert buffer["prev_key"].data_ptr() == past.data_ptr()
    torch.testing.assert_close(buffer["prev_key"], expected[0], rtol=0, atol=0)
    if moved == 1:  # the values were left alone where origin says that they are equal
        torch.testing.assert_close(buffer["prev_value"], expected[1], rtol=0, atol=0)


def test_an_entry_that_somebody_put_there_is_not_written_over():
    """It may be the beginning of something else, or lie in memory in another order."""
    buffer, kv = {}, KeyValueCache()
    with torch.no_grad():
        for _ in range(3):
            kv.extend(buffer, *torch.randn(2, 4, 2, 1, 5), None)
        mine = torch.randn(2, 4, 6, 5).transpose(0, 1)
        before = mine.clone()
        buffer["prev_key"] = mine[:, :, :3]
        order = torch.tensor([1, 0, 3, 3])
        kv.reorder(buffer, Reordering(order))
        new = torch.randn(2, 4, 2, 1, 5)
        k, _, _ = kv.extend(buffer, *new, None)
    assert torch.equal(mine, before)
    assert torch.equal(k, torch.cat([before[order, :, :3], new[0]], dim=2))


@pytest.mark.parametrize(
    ("family", "sizes"),
    [
        ("transformer", {"decoder_layers": 0}),
        ("transformer", {"encoder_layers": 0}),
        ("transformer", {"decoder_layers": 0, "encoder_layers": 0}),
        ("transformer_lm", {"decoder_layers": 0}),
    ],
)
def test_models_without_layers_translate_as_stock_ones_do(family, sizes):
    src, lengths, prev = batch()
    given = {"src_tokens": src, "src_lengths": lengths} if family == "transformer" else {"src_tokens": prev[:, :3]}
    found = []
    for arch in (family, f"{family}_baseline"):
        torch.manual_seed(3)
        model = build(arch, **sizes)
        generator = SequenceGenerator([model], dictionary(), beam_size=3, max_len_b=8)
        sentences = generator.generate([model], {"net_input": given})
        found.append([[(hypothesis["tokens"].tolist(), hypothesis["score"]) for hypothesis in s] for s in sentences])
    for theirs, ours in zip(*found):
        assert [tokens for tokens, _ in ours] == [tokens for tokens, _ in theirs]
        for (_, score), (_, expected) in zip(ours, theirs):
            torch.testing.assert_close(score, expected)
