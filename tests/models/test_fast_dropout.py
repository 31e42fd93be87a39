"""--fast-dropout: the distribution of its masks, their gradient, and that seeds decide them as they do torch's."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from builders import VOCABULARY, batch, build, run
from fairseq.checkpoint_utils import load_checkpoint_to_cpu
from fairseq.modules.fairseq_dropout import FairseqDropout
from scipy import stats
from tiny_training import AT_THE_END, SMALL, train
from torch import nn
from torch.utils.checkpoint import checkpoint

from fairseq_plugins.models import fast_dropout
from fairseq_plugins.models.fast_dropout import LEAST_ELEMENTS, FastDropout, SeededMasks

#: odd, and large enough for the fast masks
SHAPE = (5, 7, 1009)
FAMILIES = ("transformer", "transformer_lm", "roberta")


def mask(p, shape=SHAPE):
    """Which ones are kept, and the value that they have for an input of ones."""
    out = FastDropout(p)(torch.ones(shape))
    (value,) = out[out != 0].unique()
    return out != 0, value.item()


@pytest.fixture
def no_torch_dropout(monkeypatch):
    """Drawing a mask by torch is an error."""

    def dropout(*args, **kwargs):
        raise AssertionError("F.dropout was called")

    monkeypatch.setattr(F, "dropout", dropout)


@pytest.mark.usefixtures("no_torch_dropout")
@pytest.mark.parametrize("p", [0.1, 0.25, 0.3, 0.9, 2 / 65536])
def test_rate_and_scale(p):
    kept, value = mask(p, (1009, 1013))
    q = round(p * 65536) / 65536
    assert stats.binomtest(int((~kept).sum()), kept.numel(), q).pvalue > 1e-4
    assert value == np.float32(1 / (1 - q))


def test_the_expectation_is_the_input():
    """The mean of 400 calls, within 5 standard deviations of the mean of all elements."""
    x, p = torch.randn(SHAPE), 0.3
    dropout = FastDropout(p)
    mean = sum(dropout(x).double() for _ in range(400)) / 400
    deviation = (p / (1 - p) * x.double().square() / 400).sqrt()
    z = (mean - x.double()) / deviation
    assert abs(z.mean().item()) < 5 / x.numel() ** 0.5
    assert z.abs().max() < 6


def test_positions_are_independent():
    """Neighbours, the four numbers of one random word, and rows are uncorrelated; runs of four have their share."""
    p = 0.25
    kept = mask(p, (1000, 1000))[0].flatten()
    drop = (~kept).double() - p
    for lag in (1, 2, 3, 4, 5, 8, 1000):
        correlation = (drop[lag:] * drop[:-lag]).mean() / (p * (1 - p))
        assert abs(correlation) < 4.5 / len(drop) ** 0.5, lag
    patterns = (kept.view(-1, 4).long() * torch.tensor([1, 2, 4, 8])).sum(1).bincount(minlength=16)
    expected = [p ** (4 - bin(k).count("1")) * (1 - p) ** bin(k).count("1") * len(kept) / 4 for k in range(16)]
    assert stats.chisquare(patterns.numpy(), expected).pvalue > 1e-4


def test_calls_are_independent():
    p = 0.4
    first, second = mask(p, (500, 501))[0], mask(p, (500, 501))[0]
    table = np.histogram2d(first.flatten().long(), second.flatten().long(), bins=2)[0]
    assert stats.chi2_contingency(table).pvalue > 1e-4


@pytest.mark.usefixtures("no_torch_dropout")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "slice", "expanded gradient"])
def test_output_and_gradient_are_mask_times_scale(dtype, layout):
    x = torch.randn(SHAPE, dtype=torch.float64).to(dtype)
    if layout == "transposed":
        x = x.transpose(0, 1)
    elif layout == "slice":
        x = torch.randn(5, 7, 2 * 1009).to(dtype)[..., ::2]
    x.requires_grad_()
    grad = torch.randn(x.shape).to(dtype)
    if layout == "expanded gradient":
        grad = torch.ones((), dtype=dtype).expand(x.shape)
    out = FastDropout(0.2)(x)
    kept = (out != 0) | (x == 0)
    scale = 65536 / (65536 - round(0.2 * 65536))
    assert (out.dtype, out.shape) == (dtype, x.shape)
    assert out.stride() == F.relu(x).stride()
    assert torch.equal(out, torch.where(kept, x * scale, torch.zeros_like(x)))
    out.backward(grad)
    assert torch.equal(x.grad, torch.where(kept, grad * scale, torch.zeros_like(x)))
    assert 0.75 < kept.double().mean() < 0.85


def test_second_derivative(monkeypatch):
    monkeypatch.setattr(fast_dropout, "LEAST_ELEMENTS", 1)
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    dropout = FastDropout(0.4)

    def function(x):
        torch.manual_seed(3)
        return dropout(x**2)

    assert (function(x) == 0).any()
    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)


@pytest.mark.parametrize("size", [LEAST_ELEMENTS, LEAST_ELEMENTS + 1, LEAST_ELEMENTS + 2, LEAST_ELEMENTS + 3])
def test_sizes_that_are_no_multiple_of_a_word(size):
    x = torch.ones(size)
    out = FastDropout(0.5)(x)
    assert out.shape == x.shape
    assert set(out.tolist()) == {0.0, 2.0}


def test_evaluation_and_p_of_0_are_the_identity():
    x = torch.randn(SHAPE)
    assert FastDropout(0.5).eval()(x) is x
    assert FastDropout(0.0)(x) is x


def test_inference_with_dropout():
    """As fairseq's --retain-dropout asks for it."""
    kept, other = FastDropout(0.5, module_name="kept").eval(), FastDropout(0.5, module_name="other").eval()
    for module in (kept, other):
        module.make_generation_fast_("name", retain_dropout=True, retain_dropout_modules=["kept"])
    x = torch.ones(SHAPE)
    assert 0.4 < (kept(x) == 0).double().mean() < 0.6
    assert other(x) is x


@pytest.mark.parametrize(
    ("p", "x", "inplace"),
    [
        (0.3, torch.ones(LEAST_ELEMENTS - 1), False),
        (1.0, torch.ones(SHAPE), False),
        (1e-6, torch.ones(SHAPE), False),
        (0.3, torch.ones(SHAPE), True),
    ],
    ids=["small", "p of 1", "p below a step", "in place"],
)
def test_elsewhere_it_is_torchs(p, x, inplace):
    out = []
    for dropout in (FairseqDropout(p), FastDropout(p)):
        torch.manual_seed(5)
        out.append(dropout(x.clone(), inplace=inplace))
    assert torch.equal(*out)


def test_other_devices_are_left_to_torch(monkeypatch):
    calls = []
    monkeypatch.setattr(F, "dropout", lambda x, **_: calls.append(x.device.type) or x)
    FastDropout(0.3)(torch.empty(SHAPE, device="meta"))
    assert calls == ["meta"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_it_is_torchs():
    out = []
    for dropout in (FairseqDropout(0.3), FastDropout(0.3)):
        torch.manual_seed(5)
        out.append(dropout(torch.ones(SHAPE, device="cuda")))
    assert torch.equal(*out)


def test_the_seed_decides():
    x, dropout = torch.ones(SHAPE), FastDropout(0.3)
    torch.manual_seed(7)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(7)
    assert torch.equal(dropout(x), first)
    assert torch.equal(dropout(x), second)
    assert not torch.equal(first, second)
    np.random.seed(7)
    assert not torch.equal(dropout(x), first)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_activation_checkpointing_draws_the_same_mask(use_reentrant):
    x = torch.randn(SHAPE, requires_grad=True)
    dropout = FastDropout(0.3)
    # the product is where the mask is not 0 only if the backward pass draws the forward's mask
    out = checkpoint(lambda x: dropout(torch.exp(x)), x, use_reentrant=use_reentrant)
    out.sum().backward()
    torch.testing.assert_close(x.grad, out.detach())
    assert (out == 0).any()


def test_compiled_code_has_torchs():
    """Without a graph break, which a call into numpy would be."""
    torch._dynamo.reset()
    dropout, x = FastDropout(0.3), torch.ones(SHAPE)
    out = torch.compile(dropout, backend="aot_eager", fullgraph=True)(x)
    assert 0.25 < (out == 0).double().mean() < 0.35


@pytest.mark.parametrize("family", FAMILIES)
def test_every_dropout_of_a_model(family, monkeypatch):
    """All of them with the option, attention's too; the same classes as ever without it; the same evaluation."""
    monkeypatch.setattr(fast_dropout, "LEAST_ELEMENTS", 1)
    settings = {"dropout": 0.1, "attention_dropout": 0.2, "activation_dropout": 0.3}
    models = []
    for given in ({}, {"fast_dropout": True}):
        torch.manual_seed(2)
        models.append(build(f"{family}_neuralqkv_tiny", **settings, **given))
    plain, fast = models
    dropouts = [
        {name: module for name, module in model.named_modules() if isinstance(module, FairseqDropout)}
        for model in models
    ]
    assert {type(module) for module in dropouts[0].values()} == {FairseqDropout}
    assert {type(module) for module in dropouts[1].values()} == {FastDropout}
    assert dropouts[0].keys() == dropouts[1].keys()
    for name, module in dropouts[0].items():
        assert vars(dropouts[1][name]).keys() == vars(module).keys()
        assert (module.p, module.module_name) == (dropouts[1][name].p, dropouts[1][name].module_name), name
    assert {module.p for module in dropouts[1].values()} == {0.1, 0.2, 0.3}

    calls = []
    original = SeededMasks.draw
    monkeypatch.setattr(SeededMasks, "draw", lambda masks, size: calls.append(masks.scale) or original(masks, size))
    run(fast.train())
    assert set(calls) == {65536 / (65536 - round(p * 65536)) for p in (0.1, 0.2, 0.3)}
    assert torch.equal(run(fast.eval())[0], run(plain.eval())[0])


def test_with_layerdrop_checkpointing_and_adaptive_softmax():
    settings = {"decoder_layerdrop": 0.5, "checkpoint_activations": True, "adaptive_softmax_cutoff": "10,20"}
    model = build("transformer_lm_baseline_tiny", fast_dropout=True, adaptive_softmax_dropout=0.2, **settings)
    found = [module for module in model.modules() if isinstance(module, FairseqDropout)]
    assert {type(module) for module in found} == {FastDropout}
    assert len({name for name, _ in model.named_modules() if name.startswith("decoder.layers.1.dropout")}) == 1


def test_classification_head_keeps_its_own():
    model = build("roberta_baseline_tiny", fast_dropout=True, pooler_dropout=0.1, pooler_activation_fn="tanh")
    model.register_classification_head("sentences", num_classes=3)
    assert type(model.classification_heads["sentences"].dropout) is nn.Dropout


def test_activation_checkpointing_changes_no_gradient(monkeypatch):
    """fairseq's own, of whole layers."""
    monkeypatch.setattr(fast_dropout, "LEAST_ELEMENTS", 1)
    gradients = []
    for checkpointed in (False, True):
        torch.manual_seed(4)
        model = build(
            "transformer_pairwise_tiny",
            **{"fast_dropout": True, "dropout": 0.3, "attention_dropout": 0.3, "encoder_ffn_embed_dim": VOCABULARY},
            checkpoint_activations=checkpointed,
        )
        model.double().train()
        src, lengths, prev = batch()
        torch.manual_seed(6)
        model(src, lengths, prev)[0].square().sum().backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, checkpointed in zip(*gradients):
        torch.testing.assert_close(plain, checkpointed)


def parameters(path):
    model = load_checkpoint_to_cpu(str(path))["model"]
    return {name: value for name, value in model.items() if "_float_tensor" not in name}


def test_resume_is_bit_identical(corpus, tmp_path, monkeypatch):
    """Of translation, whose models have the dropout of the other families', in as many places or more."""
    monkeypatch.setattr(fast_dropout, "LEAST_ELEMENTS", 1)
    model = f"bin --arch transformer_neuralqkv_tiny {SMALL} --criterion label_smoothed_cross_entropy"
    options = f"{model} --fast-dropout --dropout 0.2 --attention-dropout 0.2 --optimizer adam {AT_THE_END}"
    straight = parameters(train(corpus, tmp_path / "straight", options, updates=6))
    train(corpus, tmp_path / "resumed", options, updates=3)
    resumed = parameters(train(corpus, tmp_path / "resumed", options, updates=6))
    assert straight.keys() == resumed.keys()
    for name, value in straight.items():
        assert torch.equal(value, resumed[name]), name
    # it did draw masks of its own
    other = parameters(train(corpus, tmp_path / "stock", options.replace("--fast-dropout", ""), updates=6))
    assert any(not torch.equal(value, other[name]) for name, value in straight.items())
