"""Staged models of transformers compute, search and learn as fairseq's models do."""

import pytest
import torch
from builders import CASES, batch, dictionary, family_of, run
from fairseq.sequence_generator import SequenceGenerator
from staged_models import forward, pair

from fairseq_plugins.transfer.huggingface.staged_export import SEARCH

PAD = 1
#: one of each way in which a past is kept
PASTS = {
    "transformer": ["transformer_neuralqkv_tiny", "transformer_sharedkv_tiny", "transformer_grouped"],
    "transformer_lm": ["transformer_lm_baseline_tiny", "transformer_lm_elu1", "transformer_lm_multi_query"],
}


@pytest.fixture(scope="module", autouse=True)
def _imported():
    """Not by the file itself, which every worker collects: that takes seconds."""
    global huggingface
    pytest.importorskip("transformers")
    huggingface = pytest.importorskip("fairseq_plugins.huggingface")


@pytest.mark.parametrize("case", CASES)
def test_logits_are_fairseqs(case):
    model, staged = pair(case)
    expected, text = run(model)
    with torch.no_grad():
        found = forward(staged, batch())
    torch.testing.assert_close(found[text], expected[text], rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    "options",
    [
        {"encoder_normalize_before": True, "decoder_normalize_before": True, "activation_fn": "gelu"},
        {"no_scale_embedding": True, "layernorm_embedding": True, "activation_fn": "relu_squared"},
        {"encoder_learned_pos": True, "decoder_learned_pos": True, "share_all_embeddings": True},
        {"no_token_positional_embeddings": True, "share_decoder_input_output_embed": True, "activation_fn": "tanh"},
        {"sinusoidal_positions": "marian", "decoder_start_symbol": "bos", "output_bias": True},
        {"decoder_embed_dim": 20, "decoder_input_dim": 20, "decoder_output_dim": 16, "decoder_layers": 3},
    ],
)
def test_options_of_translation_models(options):
    model, staged = pair("transformer_pairwise_tiny", **options)
    expected, text = run(model)
    with torch.no_grad():
        torch.testing.assert_close(forward(staged, batch())[text], expected[text], rtol=0, atol=1e-10)


@pytest.mark.parametrize("case", PASTS["transformer"])
def test_hypotheses_are_those_of_fairseqs_search(case):
    """All five of every sentence, with their scores; some end at the greatest length."""
    model, staged = pair(case)
    src, lengths, _ = batch(lengths=(7, 5, 2, 9, 4))
    search = SequenceGenerator([model], dictionary(), beam_size=5, max_len_a=0, max_len_b=12)
    expected = search.generate([model], {"net_input": {"src_tokens": src, "src_lengths": lengths}})
    options = {**SEARCH, "max_new_tokens": 13, "num_return_sequences": 5}
    for cached in (True, False):
        found = staged.generate(src, **options, use_cache=cached, return_dict_in_generate=True, output_scores=True)
        rows = [row[row.ne(PAD)].tolist()[1:] for row in found.sequences]
        assert rows == [best["tokens"].tolist() for sentence in expected for best in sentence]
        scores = torch.stack([best["score"] for sentence in expected for best in sentence])
        torch.testing.assert_close(found.sequences_scores, scores, rtol=0, atol=1e-10)


@pytest.mark.parametrize("case", PASTS["transformer_lm"])
def test_a_language_model_goes_on_as_without_a_cache(case):
    _, staged = pair(case)
    prompts = torch.tensor([[1, 1, 2, 5, 6], [2, 7, 8, 9, 10], [1, 2, 4, 4, 20]])
    given = {"attention_mask": prompts.ne(PAD).long(), "max_new_tokens": 9, "eos_token_id": None}
    for how in ({"do_sample": True}, {"num_beams": 3}, {"do_sample": False}):
        found = []
        for cached in (True, False):
            torch.manual_seed(3)
            found.append(staged.generate(prompts, **given, **how, use_cache=cached))
        assert torch.equal(*found)
    alone = staged.generate(prompts[:1, 2:], max_new_tokens=9, eos_token_id=None, do_sample=False)
    assert torch.equal(alone[0], found[0][0, 2:]), "padding on the left changes nothing"


def test_the_state_of_a_kernel_does_not_grow():
    _, staged = pair("transformer_lm_elu1")
    past = staged(torch.tensor([[2, 5, 6, 7]])).cache
    sizes = {name: tensor.shape for name, tensor in past.buffer("decoder", 0).items()}
    assert list(sizes) == ["key_sums"]
    past = staged(torch.tensor([[8, 9]]), cache=past).cache
    assert (past.get_seq_length(), past.buffer("decoder", 0)["key_sums"].shape) == (6, sizes["key_sums"])


@pytest.mark.parametrize("case", ["transformer_grouped", "roberta_valueaware_tiny", "transformer_lm_elu1"])
def test_training(case):
    """The loss is the mean over labels, its gradients those of fairseq's logits, with and without checkpointing."""
    model, staged = pair(case)
    src, _, prev = batch()
    read = src if family_of(case) == "roberta" else prev
    labels = read.masked_fill(read.eq(PAD), -100)
    given = {"decoder_input_ids": prev} if family_of(case) == "transformer" else {}
    logits, _ = run(model)
    if family_of(case) == "transformer_lm":
        logits, shifted = logits[:, :-1], labels[:, 1:]
    else:
        shifted = labels
    torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), shifted.flatten()).backward()
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}
    staged.train()
    for checkpointing in (False, True):
        if checkpointing:
            staged.gradient_checkpointing_enable()
        staged.zero_grad()
        staged(src if given else read, labels=labels, **given).loss.backward()
        for name, parameter in staged.named_parameters():
            if expected[name] is not None:
                torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-5, atol=1e-7)


def test_labels_alone_train_a_translation_model():
    _, staged = pair("transformer_baseline_tiny")
    src, _, prev = batch()
    labels = torch.cat([prev[:, 1:], torch.full_like(prev[:, :1], 2)], dim=1).masked_fill(prev.eq(PAD), -100)
    shifted = staged.prepare_decoder_input_ids_from_labels(labels)
    assert shifted[0].tolist() == prev[0].tolist()
    assert torch.equal(staged(src, labels=labels).loss, staged(src, labels=labels, decoder_input_ids=shifted).loss)


def test_weights_and_states_are_returned():
    _, staged = pair("transformer_grouped")
    src, _, prev = batch()
    found = staged(src, decoder_input_ids=prev, output_attentions=True, output_hidden_states=True)
    assert len(found.encoder_attentions) == len(found.decoder_attentions) == len(found.cross_attentions) == 2
    assert found.cross_attentions[0].shape == (3, 4, prev.size(1), src.size(1))
    torch.testing.assert_close(found.encoder_attentions[1][0].sum(-1), torch.ones(4, src.size(1)).double())
    assert torch.equal(found.encoder_hidden_states[-1], found.encoder_last_hidden_state)
    as_tuple = staged(src, decoder_input_ids=prev, return_dict=False)
    torch.testing.assert_close(as_tuple[0], found.logits)


@pytest.mark.parametrize("case", ["transformer_neuralqkv_tiny", "roberta_pairwise_tiny", "transformer_lm_elu1"])
def test_compiles_without_graph_breaks(case):
    _, staged = pair(case)
    given = batch()
    expected = forward(staged, given)
    names = {"use_cache": False} if family_of(case) != "roberta" else {}
    compiled = torch.compile(lambda: forward(staged, given, **names), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(), expected)


def test_models_from_scratch_begin_as_fairseqs_do():
    """Embeddings and linear maps are drawn at the same sizes; networks are linear maps."""
    config = huggingface.StagedRobertaConfig(
        encoder_embed_dim=64,
        encoder_layers=1,
        vocab_size=500,
        attention_projection="neural",
        neural_qkv_shape="roberta",
    )
    staged = huggingface.StagedRobertaForMaskedLM(config)
    layer = staged.encoder.sentence_encoder.layers[0]
    assert staged.get_input_embeddings().weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert layer.fc1.weight.std().item() == pytest.approx(0.02, rel=0.05)
    first = layer.self_attn.q_proj[0].weight
    assert torch.equal(first[:64], -first[64:])
    assert first.std().item() == pytest.approx(0.02, rel=0.05)
    assert staged.encoder.lm_head.weight is staged.get_input_embeddings().weight


def test_another_cache_is_refused():
    _, staged = pair("transformer_lm_baseline_tiny")
    with pytest.raises(ValueError, match="the past is a dict: leave it out"):
        staged(torch.tensor([[2, 5]]), past_key_values={"a": 1})
