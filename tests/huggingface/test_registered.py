"""Kernels and mixings inside models of transformers: what they compute, and what padding and the future change."""

import pytest
import torch

SMALL = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 20, "vocab_size": 50}


@pytest.fixture(scope="module", autouse=True)
def _imported():
    """Not by the file itself, which every worker collects: that takes seconds."""
    global huggingface, transformers
    transformers = pytest.importorskip("transformers")
    huggingface = pytest.importorskip("fairseq_plugins.huggingface")


def models():
    """Name -> a small model's class, its configuration, and whether it is causal."""
    return {
        "BERT": (transformers.BertModel, transformers.BertConfig(**SMALL), False),
        "RoBERTa": (transformers.RobertaModel, transformers.RobertaConfig(**SMALL, pad_token_id=1), False),
        "GPT-2": (
            transformers.GPT2Model,
            transformers.GPT2Config(n_embd=24, n_layer=2, n_head=4, vocab_size=50),
            True,
        ),
        "Llama": (transformers.LlamaModel, transformers.LlamaConfig(**SMALL, num_key_value_heads=2), True),
        "Marian": (
            transformers.MarianModel,
            transformers.MarianConfig(
                d_model=24,
                encoder_layers=2,
                decoder_layers=2,
                encoder_attention_heads=4,
                decoder_attention_heads=4,
                encoder_ffn_dim=20,
                decoder_ffn_dim=20,
                vocab_size=50,
                pad_token_id=1,
                decoder_start_token_id=1,
            ),
            True,
        ),
    }


def build(name, implementation):
    cls, config, causal = models()[name]
    if name in ("BERT", "RoBERTa") and int(transformers.__version__.split(".")[0]) < 5:
        pytest.skip(f"transformers {transformers.__version__} offers attention of that name to no {name}")
    config._attn_implementation = implementation
    torch.manual_seed(1)
    return cls(config).double().eval(), causal


def states(model, tokens, mask):
    """(B, T, C): of a translation model the decoder's, which reads the same text as its encoder."""
    given = {"input_ids": tokens, "attention_mask": mask}
    if isinstance(model, transformers.MarianModel):
        given |= {"decoder_input_ids": tokens, "decoder_attention_mask": mask}
    with torch.no_grad():
        return model(**given).last_hidden_state


@pytest.fixture(scope="module")
def names():
    return [*huggingface.register_with_transformers(), *huggingface.register_with_transformers("softmax", kernel="exp")]


def implementations():
    return ["elu1", "relu", "poly", "top-r", "top-r-shifted", "value-aware-r", "value-norm-r", "softmax"]


def test_every_kernel_and_mixing_is_offered(names):
    assert sorted(names) == sorted(implementations())


@pytest.mark.parametrize("model", ["BERT", "RoBERTa", "GPT-2", "Llama", "Marian"])
@pytest.mark.parametrize("name", implementations())
def test_what_is_masked_changes_nothing(model, name, names):
    built, causal = build(model, name)
    tokens = torch.randint(4, 50, (2, 7))
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[1, 5:] = 0
    found = states(built, tokens, mask)
    others = tokens.clone()
    others[1, 5:] = 9
    torch.testing.assert_close(states(built, others, mask)[mask.bool()], found[mask.bool()], rtol=0, atol=1e-12)
    if causal and model != "Marian":  # whose encoder reads the same text
        others = tokens.clone()
        others[:, 4:] = 11
        torch.testing.assert_close(states(built, others, mask)[:, :4], found[:, :4], rtol=0, atol=1e-12)
    changed = tokens.clone()
    changed[:, 0] = 12
    assert not torch.allclose(states(built, changed, mask), found), "what is not masked does change it"


@pytest.mark.parametrize("model", ["BERT", "RoBERTa", "GPT-2", "Llama", "Marian"])
def test_softmax_over_all_keys_is_the_models_own(model, names):
    tokens = torch.randint(4, 50, (2, 7))
    mask = torch.ones(2, 7, dtype=torch.long)
    mask[0, 4:] = 0
    own, _ = build(model, "sdpa")
    ours, _ = build(model, "softmax")
    text = mask.bool()
    torch.testing.assert_close(states(ours, tokens, mask)[text], states(own, tokens, mask)[text], rtol=0, atol=1e-10)


def test_r_keys_are_what_is_kept(names):
    """All keys are softmax's; fewer, and another kernel, are something else."""
    tokens, mask = torch.randint(4, 50, (1, 6)), torch.ones(1, 6, dtype=torch.long)
    huggingface.register_with_transformers("top-2", mixing="top-r", r=2)
    own = states(build("GPT-2", "softmax")[0], tokens, mask)
    found = {name: states(build("GPT-2", name)[0], tokens, mask) for name in ("top-r", "top-2", "elu1")}
    torch.testing.assert_close(found["top-r"], own, rtol=0, atol=1e-10)
    torch.testing.assert_close(found["top-2"][:, :2], own[:, :2], rtol=0, atol=1e-10)
    assert not torch.allclose(found["top-2"][:, 2:], own[:, 2:])
    assert not torch.allclose(found["elu1"][:, 1:], own[:, 1:])


def test_what_has_no_meaning_is_refused():
    with pytest.raises(ValueError, match="leave projection out"):
        huggingface.register_with_transformers("x", projection="neural")
    with pytest.raises(TypeError, match="attention has no option 'kernal'"):
        huggingface.register_with_transformers("x", kernal="elu1")
    with pytest.raises(TypeError, match="give a name for r"):
        huggingface.register_with_transformers(r=4)
