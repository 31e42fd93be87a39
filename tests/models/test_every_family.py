"""What every variant of every family must prove, and the grid that names them."""

import copy
import subprocess
from argparse import Namespace

import pytest
import torch
from builders import CASES, SMALL, batch, build, family_of, run, run_alone
from choices import KERNELS, SPARSE
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from zygote import quick_python

from fairseq_plugins.attention import StagedMultiheadAttention
from fairseq_plugins.models.grid import (
    OWN_SIZES,
    SIZES,
    VARIANTS,
    architecture_name,
    register_family,
    stock_name,
    variant_options,
)
from fairseq_plugins.models.roberta import StagedRobertaModel
from fairseq_plugins.models.transformer import StagedTransformerModel
from fairseq_plugins.models.transformer_lm import StagedTransformerLanguageModel

GRID = [(family, size) for family in SIZES for size in SIZES[family]]


@pytest.fixture(params=CASES)
def case(request):
    return request.param


def parameters(model):
    return sum(p.numel() for p in model.parameters())


# --- the grid ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("family", "size"), GRID)
def test_every_name_has_its_meaning(family, size):
    """The size's own shape comes from stock fairseq where it has that size; the variant's defaults from the table."""
    stock = Namespace(**OWN_SIZES.get((family, size), {}))
    ARCH_CONFIG_REGISTRY[stock_name(family, size)](stock)
    for variant in VARIANTS:
        ours = Namespace()
        ARCH_CONFIG_REGISTRY[architecture_name(family, variant, size)](ours)
        extra = {name: value for name, value in vars(ours).items() if name not in vars(stock)}
        assert extra == variant_options(family, variant), variant
        assert {name: getattr(ours, name) for name in vars(stock)} == vars(stock), variant


def test_registering_again_is_harmless():
    before = dict(ARCH_MODEL_REGISTRY)
    register_family("transformer", StagedTransformerModel)
    register_family("roberta", StagedRobertaModel)
    register_family("transformer_lm", StagedTransformerLanguageModel)
    assert before == ARCH_MODEL_REGISTRY


# --- the control of equal size ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "overrides"),
    [
        ("transformer", {}),
        ("transformer", {"encoder_layers": 1, "decoder_layers": 3}),
        ("transformer", {"decoder_embed_dim": 16}),
        ("transformer", {"neural_qkv_expansion": 3.0}),
        ("transformer", {"neural_qkv_shape": "roberta"}),
        ("roberta", {}),
        ("transformer_lm", {}),
        ("roberta", {"neural_qkv_shape": "marian", "neural_qkv_expansion": 3.0}),
    ],
)
def test_matched_meets_neuralqkv_layer_by_layer(family, overrides):
    matched, neural = build(f"{family}_matched", **overrides), build(f"{family}_neuralqkv", **overrides)
    for ours, theirs in zip(layers(matched), layers(neural)):
        unit = 2 * ours.embed_dim + 1
        assert abs(parameters(ours) - parameters(theirs)) <= unit / 2
        assert isinstance(ours.self_attn.q_proj, torch.nn.Linear)


def layers(model):
    """The layers of a model, encoder first."""
    return [m for m in model.modules() if hasattr(m, "self_attn")]


def test_a_smaller_variant_is_matched_too():
    matched, pairwise = build("roberta_matched", match_parameters_of="pairwise"), build("roberta_pairwise")
    for ours, theirs in zip(layers(matched), layers(pairwise)):
        assert abs(parameters(ours) - parameters(theirs)) <= (2 * 24 + 1) / 2


@pytest.mark.parametrize("family", SMALL)
def test_matching_does_not_disturb_the_random_stream(family):
    """Counting the other variant's parameters draws nothing: the model is the baseline of the same widths and seed."""
    torch.manual_seed(3)
    matched = build(f"{family}_matched")
    after_matched = torch.rand(1)
    sides = {"encoder": layers(matched)[0], "decoder": layers(matched)[-1]}
    torch.manual_seed(3)
    widths = {f"{side}_ffn_embed_dim": layer.fc1.out_features for side, layer in sides.items()}
    baseline = build(f"{family}_baseline", **widths)
    assert torch.equal(after_matched, torch.rand(1))
    for (name, ours), theirs in zip(matched.named_parameters(), baseline.parameters()):
        assert torch.equal(ours, theirs), name


# --- what every variant must prove ------------------------------------------------------------------------------------


def test_padding_changes_nothing(case):
    """On either side of a source, which a language model has not."""
    model = build(case).double().eval()
    with torch.no_grad():
        alone = [run_alone(model, row) for row in range(3)]
        for left_pad_source in (False, True)[: 1 if family_of(case) == "transformer_lm" else 2]:
            out, text = run(model, left_pad_source)
            assert len(out) == len(alone)
            for row, expected in enumerate(alone):
                torch.testing.assert_close(out[row][text[row]], expected, rtol=0, atol=1e-10)


def test_custom_attention_is_called_in_every_layer_after_loading(case):
    """fairseq's fused encoder path would skip it in a model that never trained; and the output is the same."""
    trained = build(case)
    model = build(case)
    model.load_state_dict(copy.deepcopy(trained.state_dict()))
    calls = []
    for module in model.modules():
        if isinstance(module, StagedMultiheadAttention):
            module.register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        assert torch.equal(run(model.eval())[0], run(trained.eval())[0])
    assert len(calls) == {"transformer": 2 + 2 * 2, "roberta": 2, "transformer_lm": 2}[family_of(case)]


#: every variant where it attends most, but for the long search among values, and two in each other family
TRACED = [
    *(("transformer", variant) for variant in VARIANTS if variant != "valueaware"),
    *((family, variant) for family in ("roberta", "transformer_lm") for variant in ("baseline", "valueaware")),
]


class Logits(torch.nn.Module):
    """A model that returns its logits alone: a trace gives nothing but tensors."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *inputs):
        return self.model(*inputs)[0]


def inputs_of(model, *lengths):
    src, sizes, prev = batch(*lengths)
    if not hasattr(model, "decoder"):
        return (src,)
    return (src, sizes, prev) if hasattr(model, "encoder") else (prev,)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("arch", [architecture_name(*names, "tiny") for names in TRACED])
def test_traced_it_computes_the_same(arch):
    """By torch.jit.trace, of these sentences and of others; how many keys are chosen of how many is the trace's own."""
    model = Logits(build(arch, encoder_layers=1, decoder_layers=1).eval())
    given, longer = inputs_of(model.model), inputs_of(model.model, (9, 5, 2), (8, 3, 5))
    with torch.no_grad():
        traced = torch.jit.trace(model, given, check_trace=False)
        for inputs in (given, longer)[: 1 if "attention_r" in CASES[arch] else 2]:
            text = inputs[-1] != 1
            torch.testing.assert_close(traced(*inputs)[text], model(*inputs)[text])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("option", ["fast_inference", "compile_layers", "fast_dropout"])
def test_a_trace_knows_every_way_to_be_fast(option):
    chosen = {"fast_inference": True, "compile_layers": "aot_eager", "fast_dropout": True}[option]
    model = Logits(build("transformer_neuralqkv_tiny", **{option: chosen}).eval())
    generation = Namespace(print_alignment=None, no_beamable_mm=False, beam=5, retain_dropout=False)
    model.model.prepare_for_inference_(Namespace(generation=generation))
    with torch.no_grad():
        traced = torch.jit.trace(model, inputs_of(model.model), check_trace=False)
        inputs = inputs_of(model.model, (9, 5, 2), (8, 3, 5))
        torch.testing.assert_close(traced(*inputs), model(*inputs))


#: of each family one that has nothing of the baseline's; that loading is enough for all others, a test above says
ELSEWHERE = ["transformer_pairwise_neural_everywhere", "roberta_value_aware_poly", "transformer_lm_poly_neural"]


@pytest.fixture(scope="module")
def reloaded(tmp_path_factory, root):
    """Cases saved with their output, and what one other process, which loads them all, makes of them."""
    folder = tmp_path_factory.mktemp("models")
    for case in ELSEWHERE:
        model = build(case).eval()
        with torch.no_grad():
            torch.save((model.state_dict(), run(model)[0]), folder / f"{case}.pt")
    program = f"""
import sys, torch
sys.path[:0] = [{str(root)!r}, {str(root / "tests" / "support")!r}]
import fairseq_plugins.models
from builders import build, run
for case in sys.argv[1:]:
    model = build(case)
    model.load_state_dict(torch.load(f"{folder}/{{case}}.pt")[0])
    with torch.no_grad():
        torch.save(run(model.eval())[0], f"{folder}/{{case}}.out")
"""
    subprocess.run([quick_python(), "-c", program, *ELSEWHERE], check=True, timeout=300)
    return folder


@pytest.mark.parametrize("case", ELSEWHERE)
def test_reloaded_in_a_fresh_process(case, reloaded):
    """Saved, loaded in another process, same output."""
    _, expected = torch.load(reloaded / f"{case}.pt")
    assert torch.equal(torch.load(reloaded / f"{case}.out"), expected)


def test_gradients_equal_finite_differences(case):
    """In float64, along a random direction of all parameters; of text alone: padding's own embedding has none."""
    # smooth activations: relu has kinks, and fairseq computes its plain gelu in float32
    smooth = {"activation_fn": "gelu_accurate", "neural_qkv_activation": "gelu_accurate"}
    model = build(case, **smooth).double().eval()

    def loss():
        out, text = run(model)
        return out[text].log_softmax(-1)[:, ::5].square().mean()

    loss().backward()
    direction = [torch.randn_like(p) for p in model.parameters()]
    slope = sum((p.grad * d).sum() for p, d in zip(model.parameters(), direction))
    step, values = 1e-6, []
    with torch.no_grad():
        for sign in (1, -2):  # forth, and back through the start
            for p, d in zip(model.parameters(), direction):
                p.add_(d, alpha=sign * step)
            values.append(loss())
    assert (values[0] - values[1]).item() / (2 * step) == pytest.approx(slope.item(), rel=1e-5)


def test_activation_checkpointing_changes_no_gradient(case):
    """Every parameter has one."""
    gradients = []
    for checkpoint in (False, True):
        torch.manual_seed(5)
        model = build(case, checkpoint_activations=checkpoint).train()
        run(model)[0].square().mean().backward()
        assert not [name for name, p in model.named_parameters() if p.grad is None]
        gradients.append([p.grad for p in model.parameters()])
    for plain, checkpointed in zip(*gradients):
        torch.testing.assert_close(plain, checkpointed)


# every kernel with every mixing, and each of both in every family: where a model attends is nothing to either
@pytest.mark.parametrize(
    ("family", "kernel", "mixing"),
    [
        (list(SMALL)[(i + j) % len(SMALL)], kernel, mixing)
        for i, kernel in enumerate(KERNELS)
        for j, mixing in enumerate(SPARSE)
    ],
)
def test_as_many_keys_as_there_are_is_dense_exactly(family, kernel, mixing):
    models = []
    for options in ({}, {"attention_mixing": mixing, "attention_r": "7"}):
        torch.manual_seed(5)
        models.append(build(f"{family}_baseline", attention_kernel=kernel, **options).eval())
    (dense, _), (sparse, _) = (run(model) for model in models)
    assert torch.equal(dense, sparse)
    sparser = build(f"{family}_baseline", attention_kernel=kernel, attention_mixing=mixing, attention_r="2").eval()
    sparser.load_state_dict(models[0].state_dict())
    assert (run(sparser)[0] - dense).abs().max() > 1e-4


# --- against stock fairseq --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", SMALL)
def test_baseline_is_stock_fairseq(family):
    """The same seed gives the same parameters; the same parameters the same output, loss and gradients."""
    models = []
    for arch in (family, f"{family}_baseline"):
        torch.manual_seed(11)
        models.append(build(arch).double())
    stock, ours = models
    assert list(stock.state_dict()) == list(ours.state_dict())
    for (name, value), mine in zip(stock.named_parameters(), ours.parameters()):
        assert torch.equal(value, mine), name
    for training in (True, False):
        (theirs, text), (mine, _) = [run(model.train(training)) for model in models]
        # stock cross-attention takes its softmax in float32
        torch.testing.assert_close(mine[text], theirs[text], rtol=0, atol=1e-6)
        for model, out in zip(models, (theirs, mine)):
            model.zero_grad()
            out[text].log_softmax(-1)[:, 5].sum().backward()
        for (name, p), q in zip(stock.named_parameters(), ours.parameters()):
            torch.testing.assert_close(q.grad, p.grad, rtol=1e-5, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
