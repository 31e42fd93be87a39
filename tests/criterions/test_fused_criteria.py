"""The fused criteria against fairseq's on whole models: loss, logging output, metrics, every parameter's gradient."""

from argparse import Namespace

import pytest
import torch
from builders import build, family_of, translation_task
from criteria import FUSIBLE, PLAIN, SMOOTHED, assert_equal, criterion, outcome, sample
from fairseq.logging import metrics
from fairseq.models import ARCH_CONFIG_REGISTRY, build_model

from fairseq_plugins.criterions.projection import plain_projection


@pytest.fixture
def never_whole():
    """A model's own projection fails: what passes did without it."""

    def forbid(model):
        model.decoder.output_projection.forward = None

    return forbid


@pytest.mark.parametrize("left_pad_target", [False, True])
@pytest.mark.parametrize("case", FUSIBLE)
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        (PLAIN, {}),
        (PLAIN, {"sentence_avg": True}),
        (SMOOTHED, {}),
        (SMOOTHED, {"label_smoothing": 0.1, "sentence_avg": True}),
        (SMOOTHED, {"label_smoothing": 0.3, "ignore_prefix_size": 2, "report_accuracy": True}),
    ],
)
def test_equals_fairseqs(case, name, settings, left_pad_target, never_whole):
    model = build(case)
    given = sample(model, left_pad_target)
    expected = outcome(name, model, given, **settings)
    never_whole(model)
    assert_equal(outcome(f"fused_{name}", model, given, loss_chunk_size=4, **settings), expected)


@pytest.mark.parametrize("loss_chunk_size", [1, 5, 1000, 0])
def test_any_chunk_size(loss_chunk_size):
    model = build(FUSIBLE[0], share_decoder_input_output_embed=True)
    given = sample(model)
    expected = outcome(SMOOTHED, model, given, label_smoothing=0.1)
    ours = outcome(f"fused_{SMOOTHED}", model, given, label_smoothing=0.1, loss_chunk_size=loss_chunk_size)
    assert_equal(ours, expected)


def test_stock_architectures_are_fused_too(never_whole):
    args = Namespace(arch="transformer_tiny", _name="transformer_tiny", dropout=0.0)
    ARCH_CONFIG_REGISTRY[args.arch](args)
    model = build_model(args, translation_task())
    given = sample(model)
    expected = outcome(SMOOTHED, model, given, label_smoothing=0.1)
    never_whole(model)
    assert_equal(outcome(f"fused_{SMOOTHED}", model, given, label_smoothing=0.1), expected)


@pytest.mark.parametrize(
    ("case", "options"),
    [
        ("transformer_baseline_tiny", {"output_bias": True}),
        ("roberta_baseline_tiny", {}),
    ],
)
def test_other_models_take_fairseqs_way(case, options, caplog):
    model = build(case, **options)
    if options.get("output_bias"):
        torch.nn.init.normal_(model.decoder.output_bias)
    given = sample(model)
    if family_of(case) == "roberta":
        given["net_input"] = {"src_tokens": given["target"]}
    expected = outcome(SMOOTHED, model, given, label_smoothing=0.1)
    with caplog.at_level("INFO"):
        ours = outcome(f"fused_{SMOOTHED}", model, given, label_smoothing=0.1)
        ours[-1](model, given)
    assert_equal(ours, expected, rtol=0, atol=0)
    assert caplog.text.count("the loss is not fused") == 1


def test_adaptive_softmax_takes_fairseqs_way():
    """fairseq cannot train it with these criteria, but it validates."""
    model = build(FUSIBLE[0], adaptive_softmax_cutoff="10,20").eval()
    assert plain_projection(model) is None
    with torch.no_grad():
        ours, theirs = (criterion(name)(model, sample(model))[0] for name in (f"fused_{SMOOTHED}", SMOOTHED))
    assert ours == theirs


def test_a_changed_projection_is_not_passed_by():
    """Whatever stands between the features and the loss, fairseq's way knows it."""
    model = build(FUSIBLE[0])
    assert plain_projection(model) is model.decoder.output_projection.weight
    hook = model.decoder.output_projection.register_forward_pre_hook(lambda module, inputs: None)
    assert plain_projection(model) is None
    hook.remove()

    class Sharper(type(model)):
        def get_normalized_probs(self, net_output, log_probs, sample=None):
            return super().get_normalized_probs((2 * net_output[0], None), log_probs, sample)

    model.__class__ = Sharper
    assert plain_projection(model) is None


def test_losses_of_single_words_are_fairseqs():
    model = build(FUSIBLE[0]).eval()
    given = sample(model)
    ours, theirs = (criterion(name)(model, given, reduce=False)[0] for name in (f"fused_{PLAIN}", PLAIN))
    assert ours.shape == (given["target"].numel(),)
    assert torch.equal(ours, theirs)


def test_validation_and_metrics_are_fairseqs(never_whole):
    model = build(FUSIBLE[0]).eval()
    given, values = sample(model), []
    for name in (SMOOTHED, f"fused_{SMOOTHED}"):
        made = criterion(
            name, label_smoothing=0.1, report_accuracy=True, **({} if not values else {"loss_chunk_size": 3})
        )
        with torch.no_grad(), metrics.aggregate(new_root=True) as found:
            logs = [made(model, given)[2], made(model, sample(model, sentences=2))[2]]
            type(made).reduce_metrics(logs)
        values.append(found.get_smoothed_values())
        if len(values) == 1:
            never_whole(model)
    assert set(values[0]) >= {"loss", "nll_loss", "ppl", "accuracy"}
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_a_batch_of_padding_only():
    """As fairseq's dummy batches: no loss and no gradient, and the graph is whole."""
    model = build(FUSIBLE[0])
    given = sample(model)
    given["target"].fill_(1)
    loss, _, _, gradients, _ = outcome(f"fused_{SMOOTHED}", model, given, label_smoothing=0.1)
    assert loss == 0
    assert all(gradient.eq(0).all() for gradient in gradients.values())
    assert gradients.keys() == {name for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    "case", ["transformer_baseline_tiny", "transformer_lm_baseline_tiny", "transformer_kernel-elu1"]
)
def test_autocast_is_near_and_in_training_only(case):
    model = build(case)
    given = sample(model)
    settings = {"label_smoothing": 0.1}
    full = outcome(f"fused_{SMOOTHED}", model, given, **settings)
    half = outcome(f"fused_{SMOOTHED}", model, given, autocast_bf16=True, **settings)
    assert half[0] != full[0]
    assert half[0].dtype == torch.float32
    torch.testing.assert_close(half[0], full[0], rtol=0.01, atol=0)
    for name, gradient in full[3].items():
        assert half[3][name].dtype == torch.float32
        error = (half[3][name] - gradient).norm()
        assert error <= 0.1 * gradient.norm() + 1e-3 * given["ntokens"], name
    validation = half[-1].eval()
    with torch.no_grad():
        assert validation(model, given)[0] == full[-1].eval()(model, given)[0]


def test_autocast_where_the_loss_is_not_fused():
    model = build("transformer_baseline_tiny", output_bias=True)
    given = sample(model)
    full, half = (outcome(f"fused_{PLAIN}", model, given, autocast_bf16=on)[0] for on in (False, True))
    assert full != half
    torch.testing.assert_close(half, full, rtol=0.02, atol=0)


def test_a_negative_chunk_is_refused():
    with pytest.raises(ValueError, match="--loss-chunk-size -1"):
        criterion(f"fused_{PLAIN}", loss_chunk_size=-1)
