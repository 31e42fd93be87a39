"""The roberta family: its sizes in parameters, its initialisation, its heads, and the ways to load it."""

import json
from argparse import Namespace

import pytest
import torch
from builders import ROBERTA_VARIANTS, batch, build, dictionary
from fairseq.models import ARCH_CONFIG_REGISTRY, ARCH_MODEL_REGISTRY
from fairseq.models.roberta import RobertaModel
from running import fairseq, forked, sparse
from torch import nn

from fairseq_plugins import cli
from fairseq_plugins.checkpoints.safe_load import load_checkpoint
from fairseq_plugins.models.roberta import StagedRobertaModel

TRAINING = [
    *("--task", "masked_lm", "--criterion", "masked_lm", "--sample-break-mode", "none", "--tokens-per-sample", "16"),
    *("--encoder-layers", "1", "--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "16"),
    *("--encoder-attention-heads", "2", "--max-positions", "16", "--max-tokens", "160", "--cpu", "--num-workers", "0"),
    *("--optimizer", "adam", "--lr", "0.01", "--seed", "3", "--log-format", "simple", "--dropout", "0.1"),
]


@pytest.fixture(params=ROBERTA_VARIANTS)
def arch(request):
    return request.param


# sparse, and with factors of its own: commands know a variant by its parameters and by what the model computes alone
@pytest.fixture(scope="module", params=["valueaware", "pairwise"])
def trained(request, corpus, plugin, tmp_path_factory):
    """A variant, and the folder of a few updates of it."""
    save, arch = tmp_path_factory.mktemp("roberta"), f"roberta_{request.param}_tiny"
    train(corpus, plugin, save, arch, 12)
    return arch, save


def train(corpus, plugin, save, arch, updates):
    return forked(
        *("train", corpus / "mono", "--user-dir", plugin, "--arch", arch, "--save-dir", save),
        *("--max-update", updates, *TRAINING, *sparse(arch)),
    )


# --- sizes ------------------------------------------------------------------------------------------------------------


def papers_count(arch, vocabulary, positions, types, **options):
    """As the symmetric paper and Hugging Face count: the encoder, a pooler and token types, no masked-LM head."""
    args = Namespace(arch=arch, max_positions=positions, **options)
    ARCH_CONFIG_REGISTRY[arch](args)
    task = Namespace(source_dictionary=dictionary(vocabulary), max_positions=lambda: positions)
    with torch.device("meta"):
        model = ARCH_MODEL_REGISTRY[arch].build_model(args, task)
    encoder = sum(p.numel() for p in model.encoder.sentence_encoder.parameters())
    d = args.encoder_embed_dim
    # fairseq's positions begin after the padding index: RoBERTa has two rows more than BERT
    beyond = 0 if positions == 514 - 2 and types == 1 else 2 * d
    return encoder + d * d + d + types * d - beyond


@pytest.mark.parametrize(
    ("model", "variant", "expected"),
    [
        ("bert-base", "baseline", 109_482_240),
        ("bert-base", "pairwise", 102_984_960),
        ("bert-base", "symmetric", 102_395_136),
        ("bert-small", "baseline", 28_763_648),
        ("bert-small", "pairwise", 27_844_096),
        ("bert-small", "symmetric", 27_713_024),
        ("roberta-base", "baseline", 124_645_632),
        ("roberta-base", "pairwise", 118_148_352),
        ("roberta-base", "symmetric", 117_558_528),
        ("roberta-base", "neuralqkv", 124_645_632 + 63_756_288),
    ],
)
def test_parameter_counts_of_the_papers(monkeypatch, model, variant, expected):
    draw_nothing(monkeypatch)
    kind, size = model.split("-")
    vocabulary, types = (30_522, 2) if kind == "bert" else (50_265, 1)
    assert papers_count(f"roberta_{variant}_{size}", vocabulary, 512, types) == expected


def draw_nothing(monkeypatch):
    """Drawing numbers needs storage, which the meta device has not."""
    monkeypatch.setattr("fairseq_plugins.models.roberta.init_parameters", lambda module: None)


def test_matched_base_meets_neuralqkv(monkeypatch):
    draw_nothing(monkeypatch)
    counts = []
    for variant in ("matched", "neuralqkv"):
        with torch.device("meta"):
            model = build(
                f"roberta_{variant}", encoder_embed_dim=768, encoder_ffn_embed_dim=3072, encoder_attention_heads=12
            )
        counts.append(sum(p.numel() for p in model.parameters()))
    assert abs(counts[0] / counts[1] - 1) < 1e-4


# --- initialisation ---------------------------------------------------------------------------------------------------


def test_every_linear_is_drawn_as_bert(arch):
    """N(0, 0.02^2) and zero biases in every linear map, the paper's networks of neural QKV too; S keeps its own."""
    model = build(arch, encoder_embed_dim=96, encoder_ffn_embed_dim=96, attention_init="paper")
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.08), name
            assert (module.bias == 0).all(), name
        if name.endswith("compatibility") and "pairwise" in arch:
            assert module.pairwise_factors.std().item() == pytest.approx(1.0, rel=0.1)


def test_xavier_survives_the_blanket_initialisation():
    model = build("roberta_neuralqkv", encoder_embed_dim=96, attention_init="xavier")
    layer = model.encoder.sentence_encoder.layers[0]
    bound = 0.5**0.5 * (6 / (96 + 192)) ** 0.5
    assert layer.self_attn.q_proj[0].weight.abs().max().item() == pytest.approx(bound, rel=0.02)
    assert layer.fc1.weight.std().item() == pytest.approx(0.02, rel=0.08)


# --- heads and loading ------------------------------------------------------------------------------------------------


def test_masked_tokens_alone_reach_the_head(arch):
    model = build(arch).eval()
    src, _, _ = batch()
    masked = torch.zeros_like(src, dtype=torch.bool)
    masked[0, 2] = masked[2, 0] = True
    everywhere, _ = model(src)
    torch.testing.assert_close(model(src, masked_tokens=masked)[0], everywhere[masked])
    features, extra = model(src, features_only=True, return_all_hiddens=True)
    assert features.shape == (3, 7, 24)
    assert len(extra["inner_states"]) == 3


def test_classification_head(arch):
    model = build(arch)
    model.register_classification_head("pairs", num_classes=3)
    out, _ = model(batch()[0], classification_head_name="pairs")
    assert out.shape == (3, 3)
    assert set(model.state_dict()) > {"classification_heads.pairs.dense.weight"}


def test_from_pretrained(trained, corpus):
    """Loaded by name: features as in the checkpoint, fill_mask, and a classification head for what follows."""
    arch, folder = trained
    fields = {"model_name_or_path": str(folder), "checkpoint_file": "checkpoint_last.pt"}
    hub = StagedRobertaModel.from_pretrained(**fields, data_name_or_path=str(corpus / "mono"), bpe=None).eval()
    model = build_like(hub)
    assert hub.cfg.model._name == arch
    assert type(hub.model) is type(model)
    model.load_state_dict(load_checkpoint(folder / "checkpoint_last.pt")["model"])
    tokens = torch.tensor([[0, 5, 6, 7, 2]])
    with torch.no_grad():
        expected = model.eval()(tokens, features_only=True)[0]
        torch.testing.assert_close(hub.extract_features(tokens), expected, rtol=0, atol=0)
    hub.register_classification_head("pairs", num_classes=2)
    assert hub.predict("pairs", tokens).shape == (1, 2)


def build_like(hub):
    args = hub.cfg.model
    return ARCH_MODEL_REGISTRY[args._name].build_model(args, hub.task)


def test_fill_mask(plugin, tmp_path):
    """Bytes in, words out: a model with a byte-level BPE, loaded from its folder alone."""
    letters = "abcdefgh"
    (tmp_path / "encoder.json").write_text(json.dumps({c: i for i, c in enumerate([*letters, "\u0120"])}))
    (tmp_path / "vocab.bpe").write_text("#version: 0.2\n")
    (tmp_path / "text.txt").write_text("\n".join(["0 1 8 2 3", "4 5 6 7 8 0"] * 30) + "\n")
    forked("preprocess", "--only-source", "--trainpref", tmp_path / "text.txt", "--validpref", tmp_path / "text.txt",
           "--destdir", tmp_path / "bin")  # fmt: skip
    forked(
        *("train", tmp_path / "bin", "--user-dir", plugin, "--arch", "roberta_pairwise_tiny", "--max-update", "3"),
        *("--save-dir", tmp_path / "model", *TRAINING),
    )
    hub = RobertaModel.from_pretrained(
        str(tmp_path / "model"), "checkpoint_last.pt", str(tmp_path / "bin"), bpe="gpt2",
        gpt2_encoder_json=str(tmp_path / "encoder.json"), gpt2_vocab_bpe=str(tmp_path / "vocab.bpe"),
    )  # fmt: skip
    assert isinstance(hub.model, StagedRobertaModel), "fairseq's own class builds what the checkpoint names"
    found = hub.eval().fill_mask("ab <mask>cd", topk=3)
    assert 1 <= len(found) <= 3  # special symbols among the best are left out
    assert all(text.startswith("ab") and text.endswith("cd") and 0 < p < 1 for text, p, _ in found)


HYDRA = """
# @package _group_
common: {cpu: true, log_format: simple, user_dir: "???"}
task: {_name: masked_lm, data: "???", sample_break_mode: none, tokens_per_sample: 16}
criterion: masked_lm
dataset: {max_tokens: 160, num_workers: 0}
optimizer: {_name: adam, adam_betas: "(0.9,0.98)"}
lr_scheduler: fixed
optimization: {max_update: 3, lr: [0.01]}
model: {_name: roberta_pairwise_tiny, max_positions: 16, encoder_layers: 1, attention_pairwise_init: identity}
"""


def test_hydra(corpus, plugin, tmp_path):
    """As in fairseq's examples/roberta/config/pretraining, an option of ours among the model's."""
    (tmp_path / "pretraining.yaml").write_text(HYDRA.lstrip())
    fairseq(
        *("hydra-train", "--config-dir", tmp_path, "--config-name", "pretraining", f"common.user_dir={plugin}"),
        *(f"task.data={corpus / 'mono'}", f"checkpoint.save_dir={tmp_path / 'checkpoints'}"),
        cwd=tmp_path,
    )
    weights = load_checkpoint(tmp_path / "checkpoints" / "checkpoint_last.pt")["model"]
    factors = weights["encoder.sentence_encoder.layers.0.self_attn.compatibility.pairwise_factors"]
    assert factors.shape == (2, 64, 64)
    torch.testing.assert_close(factors, torch.eye(64).expand(2, 64, 64), rtol=0, atol=0.05)
    assert not any("layers.1." in name or "k_proj" in name for name in weights)
    hub = RobertaModel.from_pretrained(
        str(tmp_path / "checkpoints"), "checkpoint_last.pt", str(corpus / "mono"), bpe=None
    )
    assert hub.extract_features(torch.tensor([[0, 5, 2]])).shape == (1, 3, 128)


def test_resume_is_bit_identical(trained, corpus, plugin, tmp_path):
    arch, straight = trained
    train(corpus, plugin, tmp_path, arch, 6)
    train(corpus, plugin, tmp_path, arch, 12)
    straight, resumed = (load_checkpoint(folder / "checkpoint_last.pt")["model"] for folder in (straight, tmp_path))
    assert straight.keys() == resumed.keys()
    for name, value in straight.items():
        assert torch.equal(value, resumed[name]), name


def published_layout(model, args):
    """A model's weights as fairseq's published ``roberta.base`` has them: of 2019, one matrix for q, k and v."""
    state = {}
    weights = model.state_dict()
    for name, value in weights.items():
        name = name.replace("encoder.", "decoder.", 1).replace("layernorm_embedding", "emb_layer_norm")
        for kind in ("weight", "bias"):
            if name.endswith(f"self_attn.q_proj.{kind}"):
                parts = [weights[name.replace("decoder.", "encoder.", 1).replace("q_proj", p)] for p in PROJECTIONS]
                name, value = name.replace("q_proj.", "in_proj_"), torch.cat(parts)
        if not any(p in name for p in PROJECTIONS):
            state[name] = value
    history = [{"criterion_name": "MaskedLmLoss", "optimizer_name": "MemoryEfficientFP16Optimizer", "num_updates": 0}]
    history[0]["lr_scheduler_state"] = {"best": None}
    return {"args": args, "model": state, "extra_state": {}, "optimizer_history": history, "last_optimizer_state": None}


PROJECTIONS = ("q_proj", "k_proj", "v_proj")


def test_published_layout_and_stock_checkpoints_load_into_the_baseline(corpus, plugin, tmp_path):
    """Converted by the command, and loaded as it stands with the architecture's name exchanged."""
    forked(
        *("train", corpus / "mono", "--arch", "roberta_base", "--save-dir", tmp_path / "stock", "--max-update", "3"),
        *("--user-dir", plugin, *TRAINING),
    )
    stock = RobertaModel.from_pretrained(
        str(tmp_path / "stock"), "checkpoint_last.pt", str(corpus / "mono"), bpe=None
    ).eval()
    tokens = torch.tensor([[0, 5, 6, 7, 2], [0, 6, 2, 1, 1]])
    (tmp_path / "old").mkdir()
    args = Namespace(**{k: v for k, v in vars(stock.cfg.model).items() if k != "_name"})
    args.data, args.task = str(corpus / "mono"), "masked_lm"
    torch.save(published_layout(stock.model, args), tmp_path / "old" / "checkpoint_last.pt")
    for folder in ("stock", "old"):
        source, target = tmp_path / folder / "checkpoint_last.pt", tmp_path / folder / "ours.pt"
        assert cli.main(["convert-checkpoint", str(source), str(target), "--to", "baseline"]) == 0
        ours = StagedRobertaModel.from_pretrained(str(tmp_path / folder), "ours.pt", str(corpus / "mono"), bpe=None)
        assert isinstance(ours.model, StagedRobertaModel)
        with torch.no_grad():
            torch.testing.assert_close(ours.eval().model(tokens)[0], stock.model(tokens)[0], rtol=0, atol=1e-6)
        back = tmp_path / folder / "back.pt"
        assert cli.main(["convert-checkpoint", str(target), str(back), "--to", "stock"]) == 0
        again = RobertaModel.from_pretrained(str(tmp_path / folder), "back.pt", str(corpus / "mono"), bpe=None).eval()
        assert not isinstance(again.model, StagedRobertaModel)
        with torch.no_grad():
            torch.testing.assert_close(again.model(tokens)[0], stock.model(tokens)[0], rtol=0, atol=0)
