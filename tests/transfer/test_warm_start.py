"""Warm starts: what is copied is equal, what is constructed computes the same, and every parameter is accounted for."""

import json
import re
import shlex
from argparse import Namespace

import pytest
import tiny_training
import torch
from builders import SMALL, VOCABULARY, build, family_of, run
from fairseq import checkpoint_utils
from running import forked
from transfer_trainings import MASKED_LM, TRANSLATION

from fairseq_plugins import cli
from fairseq_plugins.checkpoints import Checkpoint, CheckpointError, building, safe_load
from fairseq_plugins.models.grid import VARIANTS
from fairseq_plugins.transfer.attention_start import Settings
from fairseq_plugins.transfer.fold import fold_weights
from fairseq_plugins.transfer.warm_start import attention_inputs, warm_start

EVERYWHERE = {"attention_compatibility": "pairwise"}


def pretrained(arch, dtype=torch.float32, **options):
    """A checkpoint's state whose parameters are all away from their initial values, norms and biases included."""
    model = build(arch, **options)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    chosen = Namespace(**{**SMALL[family_of(arch)], **options, "arch": arch, "_name": arch})
    return {"model": model.to(dtype).state_dict(), "args": None, "cfg": {"model": chosen}}


def started(state, arch, settings=None, **given):
    return warm_start(Checkpoint("pretrained.pt", state), arch, given, settings or Settings(), lambda sentence: None)


def logits(state_or_model, **options):
    """Of the standard batch, at text positions."""
    model = state_or_model
    if isinstance(state_or_model, dict):
        arch = state_or_model["cfg"]["model"].arch
        model = build(arch, **{**vars(state_or_model["cfg"]["model"]), **options})
        model.to(next(iter(state_or_model["model"].values())).dtype).load_state_dict(state_or_model["model"])
    out, text = run(model.eval())
    return out[text]


def by_action(result, action):
    return {outcome.name: outcome for outcome in result.outcomes if outcome.action == action}


FAMILIES = ["transformer", "roberta", "transformer_lm"]
#: every start towards every end, and each of both in every family, which has no part in what becomes of one attention
STARTS = {
    (before, after): FAMILIES[(i + j) % len(FAMILIES)]
    for i, before in enumerate(["stock", "baseline", "pairwise", "neuralqkv", "identityquery", "sharedqkv"])
    for j, after in enumerate(VARIANTS)
}


@pytest.mark.parametrize(
    ("before", "after", "family"),
    [
        *((*ways, family) for ways, family in STARTS.items()),
        *(("stock", "baseline", family) for family in FAMILIES if family != STARTS["stock", "baseline"]),
    ],
)
def test_every_parameter_is_accounted_for(before, after, family):
    """Whatever starts from whatever: each new parameter once, copies are equal, nothing old is lost unsaid."""
    # our tiny language model is pre-norm, as fairseq's language models of any size but the unnamed one are
    stock = {"transformer_lm": "transformer_lm_gpt2_tiny"}.get(family, family)
    layers = {name: 1 for name in ("encoder_layers", "decoder_layers") if name in SMALL[family]}
    state = pretrained(stock if before == "stock" else f"{family}_{before}_tiny", **layers)
    result = started(state, f"{family}_{after}_tiny", Settings(neural_start="reinit", seed=3))
    old, new = state["model"], dict(result.model.named_parameters())

    told = [outcome for outcome in result.outcomes if outcome.action != "dropped"]
    assert [outcome.name for outcome in told] == list(dict.fromkeys(outcome.name for outcome in told))
    assert {outcome.name: outcome.shape for outcome in told} == {name: tuple(p.shape) for name, p in new.items()}
    copied, dropped = by_action(result, "copied"), by_action(result, "dropped")
    for name in copied:
        assert torch.equal(new[name], old[name]), name
    constructed = by_action(result, "constructed")
    sources = tuple(re.sub(r"(_attn)\..*", r"\1.", name) for name in constructed)
    for name in old:
        shared = name.endswith(("lm_head.weight", "version", "_float_tensor"))
        assert shared or name in dropped or name in copied or name.startswith(sources), name
    assert set(dropped) <= set(old)
    assert not set(dropped) & set(copied)
    if before == after or (before, after) == ("stock", "baseline"):
        assert len(copied) == len(result.outcomes)


def test_what_is_initialised_is_as_the_architecture_does_by_the_seed():
    state = pretrained("roberta_neuralqkv_tiny")
    first, again, other = (started(state, "roberta_pairwise_tiny", Settings(seed=seed)) for seed in (1, 1, 2))
    names = by_action(first, "initialised")
    assert {re.sub(r".*self_attn\.", "", name) for name in names} == {
        *(f"{role}_proj.{kind}" for role in "qv" for kind in ("weight", "bias")),
        "compatibility.pairwise_factors",
    }
    left, right, third = (dict(result.model.named_parameters()) for result in (first, again, other))
    for name in names:
        assert torch.equal(left[name], right[name])
        assert name.endswith("bias") or not torch.equal(left[name], third[name])
    factors = torch.cat([left[name].flatten() for name in names if name.endswith("factors")])
    assert factors.std().item() == pytest.approx(1.0, abs=0.1)  # the paper's N(0, 1)


ROBERTA_SHAPE = {"neural_qkv_shape": "roberta"}


@pytest.mark.parametrize(("arch", "options"), [
    ("roberta_neuralqkv_tiny", {}),
    ("roberta_neuralqkv_tiny", {"neural_qkv_activation": "gelu", "neural_qkv_expansion": 3.0}),
    ("roberta_neuralqkv_tiny", {"neural_qkv_projections": "q,out", "neural_qkv_activation": "gelu_accurate"}),
    ("transformer_neuralqkv_tiny", {**ROBERTA_SHAPE, "attention_init": "xavier"}),
    ("transformer_neuralqkv_tiny", {"neural_qkv_residual": True, "neural_qkv_activation": "tanh"}),
])  # fmt: skip
def test_networks_begin_as_the_projections_they_replace(arch, options):
    """To rounding in both precisions (with relu layers: fairseq computes gelu in float32 whatever its input)."""
    plain = arch.replace("neuralqkv", "baseline")
    torch.manual_seed(2)
    for dtype, tolerance in ((torch.float32, 2e-5), (torch.float64, 1e-12)):
        state = pretrained(plain, dtype, activation_fn="relu")
        result = started(state, arch, **options)
        before = logits(state)
        torch.testing.assert_close(logits(result.model), before, atol=tolerance, rtol=tolerance)
        assert result.change["logit"] < tolerance
    assert all("exact" in outcome.how for outcome in by_action(result, "constructed").values())
    assert by_action(result, "initialised") == {}


def test_noise_breaks_the_tie_by_a_measured_amount():
    state = pretrained("roberta_baseline_tiny")
    changes = {}
    for std in (0.0, 0.001, 0.01):
        result = started(state, "roberta_neuralqkv_tiny", Settings(neural_noise=std))
        first = result.model.encoder.sentence_encoder.layers[0].self_attn.q_proj[0].weight
        assert torch.equal(first[:24], -first[24:]) == (std == 0)
        measured = [change for attention in result.attention.values() for change in attention.noise.values()]
        changes[std] = sum(measured) / len(measured) if measured else 0.0
        assert len(measured) == (6 if std else 0)  # q, k and v of two layers
    again = started(state, "roberta_neuralqkv_tiny", Settings(neural_noise=std)).model
    for one, other in zip(result.model.parameters(), again.parameters()):
        assert torch.equal(one, other), "of one seed, one noise"
    assert 0.0005 < changes[0.001] < 0.004
    assert changes[0.01] == pytest.approx(10 * changes[0.001], rel=0.1)
    assert 0 < result.change["kl"] < 0.01


def test_every_layer_has_noise_of_its_own():
    """Layers 11 and 20, 12 and 21 and so on, too, whose names have equal sums of characters."""
    state = pretrained("roberta_baseline_tiny", encoder_layers=22)
    plain, noisy = (
        started(state, "roberta_neuralqkv_tiny", Settings(neural_noise=noise)).model.encoder.sentence_encoder.layers
        for noise in (0.0, 0.1)
    )
    for role in ("q_proj", "k_proj", "v_proj"):
        noises = []
        for layers in zip(plain, noisy):
            weights = [getattr(layer.self_attn, role)[0].weight for layer in layers]
            noises.append((weights[1] - weights[0]).flatten() / weights[0].square().mean().sqrt())
        alike = torch.corrcoef(torch.stack(noises).double()).fill_diagonal_(0)
        assert alike.abs().max() < 0.2


@pytest.mark.parametrize(("before", "after", "same"), [
    ({}, {}, True),
    ({"neural_qkv_activation": "gelu_fast"}, {"neural_qkv_activation": "gelu_accurate"}, True),
    ({"neural_qkv_activation": "gelu"}, {"neural_qkv_activation": "gelu_accurate"}, False),
    ({"neural_qkv_activation": "relu"}, {"neural_qkv_activation": "gelu"}, False),
    ({"neural_qkv_norm": "none"}, {"neural_qkv_norm": "layernorm"}, False),
    ({"neural_qkv_expansion": 2.0}, {"neural_qkv_expansion": 3.0}, False),
])  # fmt: skip
def test_networks_are_copied_where_they_compute_the_same(before, after, same):
    """Whatever they print of themselves: gelu_fast and gelu_accurate are two names of one function."""
    state = pretrained("roberta_neuralqkv_tiny", **before)
    result = started(state, "roberta_neuralqkv_tiny", Settings(reinit=("k",)), **after)
    copied = {name for name in by_action(result, "copied") if ".q_proj." in name}
    assert bool(copied) == same
    if same:
        assert {name for name in dict(result.model.named_parameters()) if ".q_proj." in name} == copied


def test_what_goes_on_builds_the_same_model_again():
    """A switch of the architecture's that is off in the model is in no option: it is said, and not given as on."""
    size = "roberta_pairwise_tiny"
    assert "--untie-weights-roberta" in started(pretrained(size, untie_weights_roberta=True), size).words
    assert "--layernorm-embedding" not in started(pretrained(size), size).words
    with pytest.raises(CheckpointError, match=f"has --layernorm-embedding off, which no option of {size} can say"):
        started(pretrained(size, layernorm_embedding=False), size)


@pytest.mark.parametrize(("family", "reinit"), [("roberta", ("q", "k", "v")), ("transformer", ("q", "k", "out"))])
def test_reinit_is_the_papers_protocol_and_its_control_loses_the_same_weights(family, reinit):
    """However the new model's networks would begin by themselves."""
    state = pretrained(f"{family}_baseline_tiny", **({"encoder_embed_dim": 48} if family == "roberta" else {}))
    neural = started(state, f"{family}_neuralqkv_tiny", Settings(neural_start="reinit"), attention_init="linear")
    control = started(state, f"{family}_baseline_tiny", Settings(reinit=reinit))
    for result in (neural, control):
        lost = by_action(result, "dropped")
        assert {re.sub(r".*attn\.(\w+)\..*", r"\1", name) for name in lost} == {f"{role}_proj" for role in reinit}
        drawn = by_action(result, "initialised")
        parameters = dict(result.model.named_parameters())
        weights = [parameters[name] for name in drawn if name.endswith("weight")]
        matrices = torch.cat([weight.flatten() for weight in weights if weight.dim() == 2])
        assert matrices.std().item() == pytest.approx(0.02, rel=0.03)
        assert all((gain == 1).all() for gain in weights if gain.dim() == 1)
        assert all((parameters[name] == 0).all() for name in drawn if name.endswith("bias"))
        assert {name for name in parameters if name not in drawn} == set(by_action(result, "copied"))
    assert set(by_action(neural, "dropped")) == set(by_action(control, "dropped"))


@pytest.mark.parametrize(("options", "reason"), [
    ({}, "it normalises its hidden layer (the marian shape); choose --neural-start reinit, --neural-qkv-residual"),
    ({**ROBERTA_SHAPE, "neural_qkv_expansion": 1.5}, "has 36 units, fewer than twice its width 24"),
    ({**ROBERTA_SHAPE, "neural_qkv_activation": "tanh"}, "its activation tanh is no phi with phi(z)"),
])  # fmt: skip
def test_networks_that_cannot_begin_as_projections_are_refused(options, reason):
    with pytest.raises(CheckpointError, match=re.escape(reason)) as error:
        started(pretrained("transformer_baseline_tiny"), "transformer_neuralqkv_tiny", **options)
    assert "encoder.layers.0.self_attn.k_proj" in str(error.value) or "q_proj" in str(error.value)
    assert "--neural-start reinit" in str(error.value)


@pytest.mark.parametrize(("before", "after", "options"), [
    ("transformer_pairwise_tiny", "transformer_baseline_tiny", EVERYWHERE),
    ("transformer_symmetric_tiny", "transformer_baseline_tiny", {"attention_compatibility": "symmetric"}),
    ("transformer_symmetric_tiny", "transformer_pairwise_tiny", {}),
    ("roberta_pairwise_tiny", "roberta_baseline_tiny", {}),
    ("roberta_symmetric_tiny", "roberta_pairwise_tiny", {}),
    ("transformer_identityquery_tiny", "transformer_baseline_tiny", {}),
    ("transformer_sharedkv_tiny", "transformer_baseline_tiny", {}),
    ("transformer_sharedqkv_tiny", "transformer_sharedkv_tiny", {}),
    ("transformer_sharedqkv_tiny", "transformer_baseline_tiny", {"attention_compatibility": "cross=pairwise"}),
    ("roberta_sharedqkv_tiny", "roberta_neuralqkv_tiny", {}),
    ("roberta_pairwise_tiny", "roberta_neuralqkv_tiny", {}),
    ("roberta_symmetric_tiny", "roberta_neuralqkv_tiny", {"attention_projection": "neural", **ROBERTA_SHAPE}),
])  # fmt: skip
def test_towards_more_general_attention_nothing_changes(before, after, options):
    state = pretrained(before, **options)
    result = started(state, after)
    torch.testing.assert_close(logits(result.model), logits(state), atol=2e-5, rtol=1e-5)
    assert result.attention
    assert all(attention.score_errors is None for attention in result.attention.values())


@pytest.mark.parametrize("family", ["transformer", "roberta"])
def test_a_folded_model_is_found_again(family):
    """Pairwise attention from plain attention that hides a pairwise one: error 0, and the same outputs."""
    state = pretrained(f"{family}_pairwise_tiny", torch.float64, activation_fn="relu")
    folded = {**state, "model": dict(state["model"]), "cfg": {"model": Namespace(**vars(state["cfg"]["model"]))}}
    changed = fold_weights(folded["model"])
    vars(folded["cfg"]["model"]).update(arch=family, _name=family)
    result = started(folded, f"{family}_pairwise_tiny")
    torch.testing.assert_close(logits(result.model), logits(state), atol=1e-6, rtol=1e-6)
    errors = {name: attention.score_errors for name, attention in result.attention.items() if attention.score_errors}
    assert set(errors) == set(changed)
    assert max(error for heads in errors.values() for error in heads) < 1e-10


@pytest.mark.parametrize("norm_first", [False, True])
def test_the_fit_is_nearer_to_the_pretrained_model_than_its_queries_alone(norm_first):
    """Against the obvious other start, P = W_q and S = I; and pairwise, which can do more, beats symmetric."""
    state = pretrained("roberta_baseline_tiny", encoder_normalize_before=norm_first)
    pairwise, symmetric = (started(state, f"roberta_{variant}_tiny") for variant in ("pairwise", "symmetric"))
    obvious = started(state, "roberta_symmetric_tiny")
    for name, attention in obvious.model.named_modules():
        if name.endswith("self_attn"):
            for kind in ("weight", "bias"):
                getattr(attention.q_proj, kind).data.copy_(state["model"][f"{name}.q_proj.{kind}"])
    wanted = logits(state)
    distance = [(logits(model) - wanted).norm() for model in (pairwise.model, symmetric.model, obvious.model)]
    assert distance[0] < distance[1] < distance[2]
    for ours, theirs in zip(pairwise.attention.values(), symmetric.attention.values()):
        assert len(ours.score_errors) == 4
        assert all(0 < left < right < 1 for left, right in zip(ours.score_errors, theirs.score_errors))
    assert set(by_action(pairwise, "dropped")) == {name for name in state["model"] if name.endswith("k_proj.bias")}


@pytest.mark.parametrize("family", ["transformer", "roberta"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_the_inputs_of_attention_are_those_of_the_norm_before_it(family, norm_first):
    """What each self-attention really reads, less the mean and over the deviation, is a normalised vector."""
    sides = {f"{side}_normalize_before": norm_first for side in ("encoder", "decoder")}
    model = building.load(Checkpoint("pretrained.pt", pretrained(f"{family}_baseline_tiny", **sides)))
    read = {}

    def spied(name, forward):
        return lambda query, *args, **kwargs: read.update({name: query}) or forward(query, *args, **kwargs)

    for name, module in model.named_modules():
        if name.endswith("_attn"):
            module.forward = spied(name, module.forward)
    sentences = torch.randint(4, VOCABULARY, (3, 8))
    model(sentences, src_lengths=torch.full((3,), 8), prev_output_tokens=sentences)
    known = set()
    for name, x in read.items():
        inputs = attention_inputs(model, name)
        if inputs is not None:
            known.add(name)
            z = (x - inputs.mean) / inputs.gain
            assert z.mean(-1).abs().max() < 1e-4
            assert (z.var(-1, unbiased=False) - 1).abs().max() < 1e-2
    first = {"encoder.layers.0.self_attn", "decoder.layers.0.self_attn"}  # after embeddings without a norm
    expected = {name for name in read if name.endswith("self_attn")} - (set() if norm_first else first)
    assert known == expected


@pytest.mark.parametrize("variant", ["identityquery", "sharedqkv"])
def test_scores_are_fitted_to_whatever_made_them(variant):
    """Pairwise attention is the same, by its factors, as attention of a shared projection; nearly as an identity's."""
    state = pretrained(f"roberta_{variant}_tiny", torch.float64)
    result = started(state, "roberta_pairwise_tiny")
    errors = torch.tensor([attention.score_errors for attention in result.attention.values()])
    assert (errors < (1e-9 if variant == "sharedqkv" else 1)).all()
    folded = dict(state["model"])
    fold_weights(folded)
    of_values = {name: tensor for name, tensor in folded.items() if ".v_proj." in name}
    assert of_values
    for name, tensor in of_values.items():
        torch.testing.assert_close(result.model.get_parameter(name), tensor)


GROUPED = {"attention_kv_heads": "2"}


def test_heads_of_a_group_begin_as_their_mean():
    """Ainslie et al. 2023; the table says so. Heads 0 and 1 of four read the first group."""
    state = pretrained("transformer_baseline_tiny")
    result = started(state, "transformer_baseline_tiny", **GROUPED)
    made = by_action(result, "constructed")
    assert {outcome.how for outcome in made.values()} == {"mean of the heads of each group"}
    parameters = dict(result.model.named_parameters())
    assert set(made) == {name for name in parameters if re.search(r"_attn\.[kv]_proj", name)}
    assert set(by_action(result, "copied")) == set(parameters) - set(made)
    assert not by_action(result, "dropped")
    for name in made:
        heads = state["model"][name].split(state["model"][name].size(0) // 4)
        expected = torch.cat([(heads[0] + heads[1]) / 2, (heads[2] + heads[3]) / 2])
        torch.testing.assert_close(parameters[name], expected)


@pytest.mark.parametrize(("before", "after", "exact"), [
    ("1", "2", True), ("2", None, True), ("1", "4", True), ("2", "2", True), ("4", None, True), ("2", "1", False),
])  # fmt: skip
def test_more_heads_of_keys_and_values_change_nothing(before, after, exact):
    state = pretrained("transformer_sharedkv_tiny", torch.float64, activation_fn="relu", attention_kv_heads=before)
    result = started(state, "transformer_sharedkv_tiny", attention_kv_heads=after)
    assert (result.change["logit"] < 1e-10) == exact
    plain = started(state, "transformer_baseline_tiny", attention_kv_heads=after)
    assert (plain.change["logit"] < 1e-10) == exact


def test_scores_of_fewer_key_heads_are_fitted_too():
    """As those of the folded model."""
    state = pretrained("roberta_baseline_tiny", torch.float64, **GROUPED)
    folded = {**state, "model": dict(state["model"]), "cfg": {"model": Namespace(**vars(state["cfg"]["model"]))}}
    fold_weights(folded["model"], folded["cfg"]["model"])
    folded["cfg"]["model"].attention_kv_heads = None
    results = [started(given, "roberta_pairwise_tiny", attention_kv_heads=None) for given in (state, folded)]
    for ours, theirs in zip(*(result.model.parameters() for result in results)):
        torch.testing.assert_close(ours, theirs)


def test_a_nonlinear_query_keeps_its_start_and_all_else_is_copied():
    state = pretrained("transformer_baseline_tiny")
    result = started(state, "transformer_nonlinearquery_tiny")
    drawn = by_action(result, "initialised")
    assert {outcome.how for outcome in drawn.values()} == {"a network that can begin as no linear map"}
    queries = {name for name in dict(result.model.named_parameters()) if ".q_proj." in name}
    assert set(drawn) == queries
    assert set(by_action(result, "copied")) == set(dict(result.model.named_parameters())) - queries
    assert all(".q_proj." in name for name in by_action(result, "dropped"))


def test_a_pairwise_network_begins_as_the_fit():
    """Both constructions together: the network computes the fitted shared projection."""
    state = pretrained("roberta_baseline_tiny")
    plain = started(state, "roberta_pairwise_tiny")
    network = started(state, "roberta_pairwise_tiny", attention_projection="neural", **ROBERTA_SHAPE)
    torch.testing.assert_close(logits(network.model), logits(plain.model), atol=2e-5, rtol=1e-5)


def test_added_feed_forward_units_and_positions_change_nothing():
    state = pretrained("roberta_baseline_tiny")
    result = started(state, "roberta_matched_tiny", max_positions=48)
    assert result.model.encoder.sentence_encoder.layers[0].fc1.weight.size(0) > 20
    torch.testing.assert_close(logits(result.model), logits(state), atol=1e-6, rtol=1e-6)
    positions = by_action(result, "constructed")["encoder.sentence_encoder.embed_positions.weight"]
    assert positions.how == "all 34 rows; added ones are initialised"
    back = {"model": result.model.state_dict(), "args": None, "cfg": {"model": result.options}}
    narrowed = started(back, "roberta_baseline_tiny", max_positions=32)
    torch.testing.assert_close(logits(narrowed.model), logits(state), atol=1e-6, rtol=1e-6)


def test_sizes_and_options_are_the_pretrained_models_unless_given():
    state = pretrained("roberta_pairwise_tiny", encoder_normalize_before=True, attention_pairwise_init="scaled")
    result = started(state, "roberta_neuralqkv_base", dropout=0.3, encoder_layers=1)
    options = result.options
    assert (options.encoder_embed_dim, options.encoder_normalize_before) == (24, True)
    assert (options.dropout, options.encoder_layers) == (0.3, 1)
    assert options.attention_projection == "neural"
    assert not hasattr(options, "attention_pairwise_init")
    assert getattr(options, "attention_compatibility", None) is None
    assert "encoder.sentence_encoder.layers.1.fc1.weight" in by_action(result, "dropped")


def test_classification_heads_come_along():
    state = pretrained("roberta_baseline_tiny")
    head = {"dense.weight": (24, 24), "dense.bias": (24,), "out_proj.weight": (3, 24), "out_proj.bias": (3,)}
    for name, shape in head.items():
        state["model"][f"classification_heads.task.{name}"] = torch.randn(shape)
    copied = by_action(started(state, "roberta_pairwise_tiny"), "copied")
    assert {f"classification_heads.task.{name}" for name in head} <= set(copied)


def test_checkpoints_of_old_fairseq_are_read():
    """Names and options of 2019's RoBERTa: decoder.*, emb_layer_norm, one matrix for q, k and v."""
    state = pretrained("roberta")
    wanted = logits(state)
    old = {}
    for name, tensor in state["model"].items():
        match = re.fullmatch(r"(.*self_attn)\.([qkv])_proj\.(weight|bias)", name)
        if match is None:
            old[name.replace("encoder.", "decoder.", 1).replace("layernorm_embedding", "emb_layer_norm")] = tensor
        elif match[2] == "q":
            parts = [state["model"][f"{match[1]}.{role}_proj.{match[3]}"] for role in "qkv"]
            old[f"{match[1].replace('encoder.', 'decoder.', 1)}.in_proj_{match[3]}"] = torch.cat(parts)
    legacy = Namespace(**vars(state["cfg"]["model"]))
    del legacy._name
    result = started({"model": old, "args": legacy}, "roberta_neuralqkv_tiny")
    torch.testing.assert_close(logits(result.model), wanted, atol=2e-5, rtol=1e-5)


def command(*arguments, status=0):
    assert cli.main(["warm-start", *map(str, arguments)]) == status


@pytest.fixture(scope="module")
def masked_lm(train):
    return train(MASKED_LM, "baseline", "--max-positions 48")


def validation_loss(checkpoint, data, plugin, task):
    options = ["--task", task, "--user-dir", plugin, "--cpu", "--valid-subset", "valid", "--log-format", "simple"]
    output = forked("validate", data, "--path", checkpoint, "--max-tokens", "300", "--num-workers", "0", *options)
    return float(re.findall(r"\bloss ([\d.]+)", output)[-1])


def test_a_training_goes_on_from_the_file(masked_lm, corpus, plugin, tmp_path, capsys):
    """With the command that it prints, by --restore-file and by --finetune-from-model, from the pretrained loss."""
    out, record = tmp_path / "start.pt", tmp_path / "table.json"
    command(
        masked_lm, out, "--arch", "roberta_neuralqkv_base", "--dict", corpus / "mono" / "dict.txt", "--json", record
    )
    printed, said = capsys.readouterr()
    assert "| encoder.sentence_encoder.layers.0.self_attn.q_proj.0.weight | 32 x 16 | constructed |" in printed
    assert "self_attn (1 of 1)" in said
    state = safe_load.load_checkpoint(out)
    assert state["last_optimizer_state"] is None
    names = {entry["name"] for entry in json.loads(record.read_text())["parameters"]}
    assert names == {name for name in state["model"] if not name.endswith(("version", "lm_head.weight"))}
    assert validation_loss(out, corpus / "mono", plugin, "masked_lm") == validation_loss(
        masked_lm, corpus / "mono", plugin, "masked_lm"
    )

    words = shlex.split(printed.strip().splitlines()[-1])
    assert words[:4] == ["fairseq-train", "DATA", "--user-dir", "fairseq_plugins"]
    recipe = "mono --task masked_lm --criterion masked_lm --tokens-per-sample 32 --optimizer adam"
    start = words.index("--restore-file")
    for more in (words[4:], [*words[4:start], "--finetune-from-model", str(out)]):
        folder = tmp_path / ("finetuned" if "--finetune-from-model" in more else "restored")
        trained = tiny_training.train(corpus, folder, f"{recipe} {shlex.join(more)}", updates=2)
        after = safe_load.load_checkpoint(trained)
        assert after["optimizer_history"][-1]["num_updates"] == 2
        name = "encoder.sentence_encoder.layers.0.self_attn.q_proj.0.weight"
        step = (after["model"][name] - state["model"][name]).abs().max()
        assert 0 < step < 0.03, "two updates of Adam at 0.01 move a weight by at most 0.02"


def test_a_translation_training_goes_on(train, corpus, tmp_path, capsys):
    pretrained_file, out = train(TRANSLATION, "baseline"), tmp_path / "start.pt"
    command(pretrained_file, out, "--arch", "transformer_pairwise_iwslt_de_en", "--attention-compatibility", "pairwise")
    printed = capsys.readouterr().out
    assert len(re.findall(r"relative error of the scores, by head: (\S+): 0\.\d+ 0\.\d+", printed)) == 3
    more = shlex.join(shlex.split(printed.strip().splitlines()[-1])[4:])
    assert "--attention-compatibility pairwise" in more
    recipe = "bin --criterion cross_entropy --optimizer adam"
    trained = tiny_training.train(corpus, tmp_path / "on", f"{recipe} {more}", updates=2)
    models, _ = checkpoint_utils.load_model_ensemble([str(trained)], arg_overrides={"data": f"{corpus}/bin"})
    assert models[0].decoder.layers[0].encoder_attn.k_proj is None


def test_precision_is_kept(masked_lm, tmp_path):
    state = safe_load.load_checkpoint(masked_lm)
    state["model"] = {name: tensor.half() for name, tensor in state["model"].items()}
    torch.save(state, tmp_path / "half.pt")
    command(tmp_path / "half.pt", tmp_path / "out.pt", "--arch", "roberta_pairwise_base")
    weights = safe_load.load_checkpoint(tmp_path / "out.pt")["model"]
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    embeddings = (weights[name] for name in ("encoder.lm_head.weight", "encoder.sentence_encoder.embed_tokens.weight"))
    assert len({tensor.data_ptr() for tensor in embeddings}) == 1, "shared weights are stored once"


def test_what_cannot_start_is_said(masked_lm, corpus, tmp_path, capsys):
    out, other = tmp_path / "out.pt", tmp_path / "dict.txt"
    other.write_text("w1 1\n")
    for arguments, sentence in (
        (["--arch", "transformer_pairwise"], "choose an architecture roberta_*"),
        (["--arch", "roberta_pairwize"], "there is no architecture roberta_pairwize"),
        (["--arch", "roberta_base"], "the plugin has no architecture roberta_base"),
        (["--arch", "roberta_pairwise", "--decoder-layers", "2"], "--decoder-layers is no option of roberta_pairwise"),
        (["--arch", "roberta_pairwise", "--reinit", "k"], "--reinit k: roberta_pairwise has no k projection"),
        (["--arch", "roberta_pairwise", "--dict", other], "makes a vocabulary of 6 symbols, but"),
        (["--arch", "roberta_pairwise", "--encoder-attention-heads", "4"], "has 2 heads in the pretrained model and 4"),
        (["--arch", "roberta_pairwise", "--attention-kernel", "sharp"], "unknown choice 'sharp'"),
        (
            ["--arch", "roberta_pairwise", "--attention-mixing", "top-r", "--attention-r", "2:2:2"],
            "--attention-r 2:2:2: 3 heads given, the model has 2",
        ),
    ):
        command(masked_lm, out, *arguments, status=1)
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith("warm-start: ")
        assert sentence in said
    command(tmp_path / "missing.pt", out, "--arch", "roberta_pairwise", status=1)
    assert "missing.pt" in capsys.readouterr().err
    for arguments in (["--neural-noise", "-1"], ["--reinit", "q,x"]):
        with pytest.raises(SystemExit):
            command(masked_lm, out, "--arch", "roberta_neuralqkv", *arguments)
    assert not out.exists()
