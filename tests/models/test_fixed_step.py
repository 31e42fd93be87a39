"""The step that a CUDA graph can hold, beside the ordinary one: numbers, places in memory, hypotheses."""

from argparse import Namespace

import pytest
import torch
from builders import CASES, batch, build, family_of, translation_task

from fairseq_plugins.attention.decode.cache import make_room
from fairseq_plugins.models import fast_search
from fairseq_plugins.models.fixed_step import FixedStep, fits_fixed_step

CHOSEN = [case for case in CASES if family_of(case) != "roberta"]
BEAM, ROOM = 2, 5


def begun(case):
    """A model in float64, what its decoder reads, the first word of each hypothesis, and two states after it."""
    model = build(case).double().eval()
    source, lengths, _ = batch()
    model.decoder.returns_attention, encoded, states = False, None, ({}, {})
    rows = BEAM * len(source)
    if hasattr(model, "encoder"):
        each = torch.arange(len(source)).repeat_interleave(BEAM)
        encoded = model.encoder.reorder_encoder_out(model.encoder(source, lengths), each)
    tokens = torch.full((rows, 1), 2)
    for state in states:
        model.decoder(tokens, encoder_out=encoded, incremental_state=state)
    return model.decoder, encoded, tokens, *states


def places(step):
    """Where in memory the pasts of all layers are."""
    buffers = [attention._get_input_buffer(step.state) for attention in step.attentions]
    return [(name, tensor.data_ptr()) for buffer in buffers for name, tensor in buffer.items() if tensor is not None]


@torch.no_grad()
@pytest.mark.parametrize("case", CHOSEN)
def test_it_computes_what_the_ordinary_step_does_in_one_place(case):
    decoder, encoded, tokens, state, other = begun(case)
    if not fits_fixed_step(decoder):
        assert any(layer.self_attn.mixing.searches for layer in decoder.layers)
        return
    fixed = FixedStep(decoder, encoded, other, len(tokens), ROOM)
    there, chance = places(fixed), torch.Generator().manual_seed(1)
    for _ in range(1, ROOM):
        # hypotheses change places within their sentence
        rows = torch.randint(BEAM, tokens[:, 0].shape, generator=chance) + torch.arange(len(tokens)) // BEAM * BEAM
        words = torch.randint(4, 12, (len(tokens), 1), generator=chance)
        tokens = torch.cat([tokens[rows], words], dim=1)
        decoder.reorder_incremental_state_scripting(state, rows)
        expected = decoder(tokens, encoder_out=encoded, incremental_state=state)[0][:, -1]
        torch.testing.assert_close(fixed(tokens[:, -1:], rows), expected, rtol=1e-10, atol=1e-12)
        assert places(fixed) == there


def hypotheses(model):
    """What our search finds, with its steps fixed or not."""
    source, lengths, _ = batch()
    sample = {"id": torch.arange(len(source)), "net_input": {"src_tokens": source, "src_lengths": lengths}}
    prefix = torch.tensor([[5, 6], [7, 2], [2, 1]])[: len(source)]  # the second and third are finished before others
    generator = translation_task().build_generator([model], Namespace(beam=3, max_len_b=12))
    found = generator.generate([model], sample, prefix_tokens=prefix)
    return [[(one["tokens"].tolist(), one["positional_scores"]) for one in ranked] for ranked in found]


@pytest.mark.parametrize("name", ["transformer_neuralqkv_tiny", "transformer_lm_baseline_tiny"])
def test_a_search_of_fixed_steps_finds_the_same(name, monkeypatch):
    taken = []
    monkeypatch.setattr(fast_search, "FixedStep", lambda *given: taken.append(given[-1]) or FixedStep(*given))
    model = build(name, fast_inference=True, cuda_graphs=True).eval().double()
    with torch.no_grad():
        model.decoder.output_projection.weight.mul_(4)  # words that differ in their probabilities
    model.prepare_for_inference_(Namespace(generation=Namespace(print_alignment=None, beam=3)))
    found = [hypotheses(model)]
    model.decoder.cfg.cuda_graphs = False
    found.append(hypotheses(model))
    assert len(taken) == 1
    assert len({len(tokens) for ranked in found[0] for tokens, _ in ranked}) > 1
    for one, other in zip(*found):
        assert [tokens for tokens, _ in one] == [tokens for tokens, _ in other]
        for (_, scores), (_, those) in zip(one, other):
            torch.testing.assert_close(scores, those, rtol=1e-5, atol=1e-6)


def test_a_padded_past_is_refused():
    past = torch.zeros(1, 1, 1, 2)
    buffer = {"prev_key": past, "prev_value": past, "prev_key_padding_mask": torch.ones(1, 1, dtype=torch.bool)}
    with pytest.raises(ValueError, match="no fixed size"):
        make_room(buffer, torch.zeros(1, dtype=torch.long), 4)
