"""The transformer_lm family: stock's embeddings and adaptive softmax, decoding, fairseq's own commands."""

import re
from argparse import Namespace

import pytest
import tiny_training
import torch
from builders import CASES, batch, build, dictionary, family_of, language_modeling_task
from fairseq import checkpoint_utils, options
from fairseq.models import ARCH_CONFIG_REGISTRY, build_model
from fairseq.models.transformer_lm import TransformerLanguageModel
from running import fairseq, forked, sparse

from fairseq_plugins import cli
from fairseq_plugins.attention import StagedMultiheadAttention
from fairseq_plugins.checkpoints.safe_load import load_checkpoint

SMALL = (
    *("--decoder-layers", "1", "--decoder-embed-dim", "16", "--decoder-ffn-embed-dim", "16"),
    *("--decoder-input-dim", "16", "--decoder-output-dim", "16"),
    *("--decoder-attention-heads", "2"),
)
TRAINING = (
    *("--task", "language_modeling", "--tokens-per-sample", "16", "--sample-break-mode", "none", "--cpu"),
    *("--optimizer", "adam", "--lr", "0.01", "--max-tokens", "160", "--num-workers", "0", "--no-epoch-checkpoints"),
)
ADAPTIVE = {
    "adaptive_input": True,
    "adaptive_input_cutoff": "12,20",
    "adaptive_softmax_cutoff": "12,20",
    "tie_adaptive_weights": True,
    "tie_adaptive_proj": True,
}


@pytest.fixture(params=[name for name in CASES if family_of(name) == "transformer_lm"])
def case(request):
    return request.param


# --- as stock fairseq -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "overrides",
    [
        {"share_decoder_input_output_embed": True},
        {"decoder_input_dim": 16, "decoder_output_dim": 12, "decoder_learned_pos": True},
        ADAPTIVE,
        {"character_embeddings": True, "character_filters": "[(1, 4), (2, 6)]"},
        {"decoder_layers_to_keep": "1", "no_decoder_final_norm": True},
    ],
    ids=["tied", "widths", "adaptive", "characters", "pruned"],
)
def test_baseline_is_stock_with_every_embedding(overrides):
    """The same seed gives the same parameters, the same parameters the same loss terms and gradients."""
    models, outs = [], []
    prev = batch()[2]
    for arch in ("transformer_lm", "transformer_lm_baseline"):
        torch.manual_seed(7)
        models.append(build(arch, **overrides).double().train())
        out = models[-1](prev)[0][prev != 1]
        outs.append(out)
        out.square().mean().backward()
    assert list(models[0].state_dict()) == list(models[1].state_dict())
    torch.testing.assert_close(outs[1], outs[0], rtol=0, atol=1e-6)
    for (name, p), q in zip(models[0].named_parameters(), models[1].parameters()):
        assert torch.equal(p, q), name
        if p.grad is not None:
            torch.testing.assert_close(q.grad, p.grad, rtol=1e-5, atol=1e-6)


def test_adaptive_softmax_gives_log_probabilities():
    models = [build(arch, **ADAPTIVE).double().eval() for arch in ("transformer_lm", "transformer_lm_baseline")]
    models[1].load_state_dict(models[0].state_dict())
    prev = batch()[2]
    theirs, ours = (m.get_normalized_probs(m(prev), log_probs=True) for m in models)
    torch.testing.assert_close(ours[prev != 1], theirs[prev != 1], rtol=0, atol=1e-6)
    torch.testing.assert_close(ours.exp().sum(-1), torch.ones(3, 6, dtype=ours.dtype), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"adaptive_input": False}, "--adaptive-input"),
        ({"adaptive_input_factor": 2}, "--adaptive-softmax-factor"),
        ({"adaptive_input_cutoff": "10"}, "--adaptive-softmax-cutoff"),
        ({"decoder_input_dim": 12}, "--decoder-output-dim"),
    ],
)
def test_tied_adaptive_weights_say_what_they_need(change, message):
    with pytest.raises(ValueError, match=message):
        build("transformer_lm_baseline", **{**ADAPTIVE, **change})


def test_the_context_is_as_long_as_the_samples():
    args = options.parse_args_and_arch(
        options.get_training_parser(),
        ["data", "--task", "language_modeling", "--arch", "transformer_lm_pairwise_tiny", "--tokens-per-sample", "77"],
    )
    assert build_model(args, language_modeling_task(tokens_per_sample=77)).max_positions() == 77
    bare = Namespace(_name="transformer_lm_baseline_tiny")
    ARCH_CONFIG_REGISTRY[bare._name](bare)
    assert build_model(bare, language_modeling_task(tokens_per_sample=55)).max_positions() == 55


# --- decoding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("in_place", [False, True])
def test_incremental_decoding_equals_training_forward(case, in_place):
    """Step by step, rows reordered after every step and one leaving on the way: equal to teacher forcing."""
    model = build(case).double().eval()
    prev = torch.randint(4, 37, (5, 1))
    state = {}
    with torch.set_grad_enabled(not in_place):  # what may be differentiated is not written over
        for step in range(6):
            full = model(prev)[0][:, -1]
            logits = model.decoder(prev, incremental_state=state)[0][:, -1]
            torch.testing.assert_close(logits, full, rtol=0, atol=1e-10)
            order = torch.randint(len(prev), (len(prev) - (step == 2),))
            model.decoder.reorder_incremental_state_scripting(state, order)
            prev = torch.cat([prev[order], torch.randint(4, 37, (len(order), 1))], dim=1)


def test_the_future_changes_nothing(case):
    model = build(case).double().eval()
    prev = batch()[2]
    future = prev.clone()
    future[0, 4:] = 5
    out, changed = model(prev)[0], model(future)[0]
    torch.testing.assert_close(changed[0, :4], out[0, :4], rtol=0, atol=1e-12)
    assert (changed[0, 4:] - out[0, 4:]).abs().max() > 1e-6


def test_only_a_task_that_pads_on_the_right_gets_the_shortcut():
    def promises(model):
        return {m.right_padded for m in model.modules() if isinstance(m, StagedMultiheadAttention)}

    assert promises(build("transformer_lm_baseline")) == {True}
    words = dictionary()
    task = Namespace(args=Namespace(), source_dictionary=words, target_dictionary=words)
    assert promises(build("transformer_lm_baseline", task)) == {False}


# --- fairseq's commands -----------------------------------------------------------------------------------------------


def train(corpus, plugin, save, arch, updates, *extra):
    forked(
        *("train", corpus / "mono", "--user-dir", plugin, "--arch", arch, "--save-dir", save),
        *("--max-update", updates, *SMALL, *TRAINING, *sparse(arch), *extra),
    )
    return save / "checkpoint_last.pt"


# sparse, and a map under two names; commands know a variant by its parameters and by what the model computes alone
@pytest.fixture(scope="module", params=["valueaware", "sharedkv"])
def variant(request):
    return request.param


@pytest.fixture(scope="module")
def trained(variant, corpus, plugin, tmp_path_factory):
    save = tmp_path_factory.mktemp(f"lm_{variant}")
    return train(corpus, plugin, save, f"transformer_lm_{variant}_tiny", 12, "--dropout", "0.1")


def perplexity(corpus, checkpoint, plugin, *extra):
    output = forked(
        *("eval-lm", corpus / "mono", "--user-dir", plugin, "--path", checkpoint, "--gen-subset", "valid", "--cpu"),
        *("--max-tokens", "160", "--tokens-per-sample", "16", "--num-workers", "0", *extra),
    )
    assert "Evaluated 0 tokens" not in output
    return float(re.search(r"Perplexity: ([\d.]+)", output)[1])


def test_resume_is_bit_identical(variant, trained, corpus, plugin, tmp_path):
    for updates in (6, 12):
        resumed = train(corpus, plugin, tmp_path, f"transformer_lm_{variant}_tiny", updates, "--dropout", "0.1")
    straight, resumed = (load_checkpoint(path)["model"] for path in (trained, resumed))
    assert straight.keys() == resumed.keys()
    for name, value in straight.items():
        if "_float_tensor" not in name:
            assert torch.equal(value, resumed[name]), name


def test_eval_lm_is_the_models_own_loss(trained, corpus, plugin):
    """By fairseq-eval-lm, in blocks and with a context window; by hand, sentence by sentence."""
    state = checkpoint_utils.load_model_ensemble_and_task([str(trained)], {"data": str(corpus / "mono")})
    (model,), _, task = state
    model.eval()
    words = task.source_dictionary
    nll, count = 0.0, 0
    for line in (corpus / "valid.txt").read_text().splitlines():
        target = words.encode_line(line, add_if_not_exist=False).long()[None]
        prev = torch.cat([torch.tensor([[words.eos()]]), target[:, :-1]], dim=1)
        with torch.no_grad():
            log_probs = model(prev)[0].log_softmax(-1)
        nll -= log_probs.gather(-1, target[..., None]).sum().item()
        count += target.numel()
    expected = torch.tensor(nll / count).exp().item()
    assert perplexity(corpus, trained, plugin, "--sample-break-mode", "eos") == pytest.approx(expected, abs=0.02)
    blocks = perplexity(corpus, trained, plugin, "--sample-break-mode", "none")
    windows = perplexity(corpus, trained, plugin, "--sample-break-mode", "none",
                         "--context-window", "8")  # fmt: skip
    assert blocks != windows


def test_interactive_goes_on_with_a_prefix(trained, corpus, plugin, tmp_path):
    """Greedy continuations by fairseq-interactive and by the model's own argmax, of prefixes of unequal lengths."""
    prefixes = ["w1 w2 w3 w4", "w5"]
    (tmp_path / "prefixes").write_text("\n".join(prefixes) + "\n")
    output = forked(
        *("interactive", corpus / "mono", "--user-dir", plugin, "--task", "language_modeling", "--path", trained),
        *("--input", tmp_path / "prefixes", "--beam", "1", "--max-len-b", "9", "--min-len", "9", "--cpu"),
        *("--buffer-size", "2", "--sample-break-mode", "eos"),
    )
    (model,), _, task = checkpoint_utils.load_model_ensemble_and_task([str(trained)], {"data": str(corpus / "mono")})
    model.eval()
    words = task.source_dictionary
    for i, prefix in enumerate(prefixes):
        tokens = [words.eos(), *(words.index(w) for w in prefix.split())]
        while len(tokens) < 10:
            with torch.no_grad():
                logits = model(torch.tensor([tokens]))[0][0, -1]
            logits[[words.pad(), words.eos()]] = -float("inf")
            tokens.append(int(logits.argmax()))
        found = re.search(rf"^H-{i}\t\S+\t(.*)$", output, flags=re.M)[1]
        assert found == words.string(torch.tensor(tokens[1:]))


HYDRA = """
# @package _group_
common: {cpu: true, log_format: simple, user_dir: "???"}
task: {_name: language_modeling, data: "???", sample_break_mode: none, tokens_per_sample: 16}
criterion: cross_entropy
dataset: {max_tokens: 160, num_workers: 0}
optimizer: {_name: adam, adam_betas: "(0.9,0.98)"}
lr_scheduler: fixed
optimization: {max_update: 3, lr: [0.01]}
model: {_name: transformer_lm_pairwise_tiny, decoder_layers: 1, attention_kernel: elu1}
"""


def test_hydra(corpus, plugin, tmp_path):
    (tmp_path / "lm.yaml").write_text(HYDRA.lstrip())
    fairseq(
        *("hydra-train", "--config-dir", tmp_path, "--config-name", "lm", f"common.user_dir={plugin}"),
        *(f"task.data={corpus / 'mono'}", f"checkpoint.save_dir={tmp_path / 'checkpoints'}"),
        cwd=tmp_path,
    )
    checkpoint = tmp_path / "checkpoints" / "checkpoint_last.pt"
    weights = load_checkpoint(checkpoint)["model"]
    assert weights["decoder.layers.0.self_attn.compatibility.pairwise_factors"].shape == (2, 64, 64)
    assert "decoder.layer_norm.weight" in weights
    assert perplexity(corpus, checkpoint, plugin) > 1


def test_stock_checkpoints_in_baseline_and_back(corpus, plugin, tmp_path):
    """The same perplexity to the last digit, post-norm (fairseq's plain transformer_lm) or pre-norm (its sizes)."""
    for arch, pre_norm in (("transformer_lm", False), ("transformer_lm_gpt2_tiny", True)):
        stock = train(corpus, plugin, tmp_path / arch, arch, 4, *tiny_training.AT_THE_END.split())
        assert ("decoder.layer_norm.weight" in load_checkpoint(stock)["model"]) == pre_norm
        ours, back = tmp_path / arch / "ours.pt", tmp_path / arch / "back.pt"
        assert cli.main(["convert-checkpoint", str(stock), str(ours), "--to", "baseline"]) == 0
        assert cli.main(["convert-checkpoint", str(ours), str(back), "--to", "stock"]) == 0
        values = [perplexity(corpus, path, plugin) for path in (stock, ours, back)]
        assert values[0] == values[1] == values[2]


@pytest.mark.parametrize("arch", ["transformer_lm_pairwise_tiny", "transformer_lm_symmetric_gpt2_tiny"])
def test_folded_into_a_stock_model(arch, corpus, plugin, tmp_path):
    ours = train(corpus, plugin, tmp_path / "ours", arch, 4, *tiny_training.AT_THE_END.split())
    stock = tmp_path / "stock.pt"
    assert cli.main(["fold-checkpoint", str(ours), str(stock)]) == 0
    (model,), _, _ = checkpoint_utils.load_model_ensemble_and_task([str(stock)], {"data": str(corpus / "mono")})
    assert type(model) is TransformerLanguageModel
    assert perplexity(corpus, stock, plugin) == perplexity(corpus, ours, plugin)
