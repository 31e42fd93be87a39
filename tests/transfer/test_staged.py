"""Checkpoints as staged models and back: the same weights, loaded by the folder's own code or by this package."""

import json
import subprocess
import sys

import pytest
import torch
from builders import batch, family_of, masked_lm_task, save
from staged_models import forward

from fairseq_plugins import cli
from fairseq_plugins.checkpoints import Checkpoint
from fairseq_plugins.checkpoints.checkpoint import UNUSED
from fairseq_plugins.transfer.huggingface.code import flattened

CASES = {
    "roberta_neuralqkv_tiny": "StagedRobertaForMaskedLM",
    "transformer_grouped": "StagedForTranslation",
    "transformer_lm_elu1": "StagedForCausalLM",
}


@pytest.fixture(scope="module", autouse=True)
def _imported():
    """Not by the file itself, which every worker collects: that takes seconds."""
    global huggingface, transformers
    transformers = pytest.importorskip("transformers")
    huggingface = pytest.importorskip("fairseq_plugins.huggingface")


def command(name, *words, status=0):
    assert cli.main([name, *map(str, words)]) == status


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Case -> its checkpoint, and its folder."""
    made = {}
    for case in CASES:
        folder = tmp_path_factory.mktemp(case)
        save(folder / "model.pt", case)
        command("export-huggingface", folder / "model.pt", folder / "out", "--staged")
        made[case] = folder / "model.pt", folder / "out"
    return made


@pytest.mark.parametrize("case", CASES)
def test_round_trip(case, exported, tmp_path, capsys):
    """The same weights bit by bit, and an architecture that says what the model is."""
    source, folder = exported[case]
    command("import-huggingface", folder, tmp_path / "back.pt")
    before, after = Checkpoint.read(source), Checkpoint.read(tmp_path / "back.pt")
    assert before.weights.keys() == after.weights.keys()
    for name, tensor in before.weights.items():
        assert name.endswith(UNUSED) or torch.equal(tensor, after.weights[name]), name
    named = {"roberta_neuralqkv_tiny": "roberta_neuralqkv"}.get(case, f"{family_of(case)}_baseline")
    assert after.architecture == named
    assert f"architecture {named}" in capsys.readouterr().err


def test_the_folders_own_code_needs_neither_fairseq_nor_this_package(exported, tmp_path):
    """In a process where neither can be imported, the Auto classes load it, compute the same, search, and save it."""
    expected = {}
    for case, (_, folder) in exported.items():
        staged = getattr(huggingface, CASES[case]).from_pretrained(folder).eval()
        with torch.no_grad():
            expected[case] = forward(staged, batch())
    torch.save({"batch": batch(), "logits": expected}, tmp_path / "expected.pt")
    program = """
import sys, torch
for name in ("fairseq", "fairseq_plugins", "omegaconf", "hydra"):
    sys.modules[name] = None
import transformers
given = torch.load(sys.argv[1])
src, _, prev = given["batch"]
for case, folder, auto in zip(sys.argv[2::3], sys.argv[3::3], sys.argv[4::3]):
    for _ in range(2):
        model = getattr(transformers, auto).from_pretrained(folder, trust_remote_code=True).eval()
        with torch.no_grad():
            if case.startswith("transformer_lm"):
                found = model(prev).logits
                assert model.generate(prev[:1], max_new_tokens=3, eos_token_id=None, do_sample=False).size(1) == 9
            elif case.startswith("roberta"):
                found = model(src).logits
            else:
                found = model(src, decoder_input_ids=prev).logits
                chosen = model.generation_config
                assert (chosen.num_beams, chosen.eos_token_id, chosen.pad_token_id) == (5, 2, 1)
                assert len(model.generate(src, max_new_tokens=3)) == 3
        torch.testing.assert_close(found, given["logits"][case], rtol=0, atol=1e-6)
        folder = f"{folder}-again"
        model.save_pretrained(folder)
print("done")
"""
    words = []
    for case, (_, folder) in exported.items():
        config = json.loads((folder / "config.json").read_text())
        words += [case, folder, next(name for name in config["auto_map"] if name != "AutoConfig")]
    called = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "expected.pt", *words],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")},
        cwd=tmp_path,
    )
    assert called.stdout == "done\n", called.stderr


def test_a_classifier_keeps_its_head(tmp_path, capsys):
    model = save(tmp_path / "model.pt", "roberta_nonlinearquery_tiny", masked_lm_task(), heads={"mnli": 3})
    command("export-huggingface", tmp_path / "model.pt", tmp_path / "out")
    assert "not the RobertaForSequenceClassification of transformers: " in capsys.readouterr().err
    src, _, _ = batch()
    staged = huggingface.StagedRobertaForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    with torch.no_grad():
        expected = model(src, classification_head_name="mnli")[0]
        torch.testing.assert_close(staged(src).logits, expected, rtol=0, atol=1e-5)
    command("import-huggingface", tmp_path / "out", tmp_path / "back.pt")
    assert "the masked-LM head is initialised" in capsys.readouterr().err
    weights = Checkpoint.read(tmp_path / "back.pt").weights
    assert torch.equal(
        weights["classification_heads.mnli.dense.weight"], model.classification_heads["mnli"].dense.weight
    )


@pytest.mark.parametrize(
    ("case", "options", "kind"),
    [
        ("transformer_tiny", {}, "fsmt"),
        ("transformer_pairwise_tiny", {"share_all_embeddings": True, "activation_fn": "gelu"}, "fsmt"),
        ("transformer_sharedkv_tiny", {"attention_kv_heads": "2", "share_decoder_input_output_embed": True}, "fsmt"),
        ("transformer_lm_baseline_tiny", {"share_decoder_input_output_embed": True}, "xglm"),
        ("transformer_lm_identityquery_tiny", {"no_scale_embedding": True}, "xglm"),
        ("transformer_baseline_tiny", {"encoder_normalize_before": True}, "staged_transformer"),
        ("transformer_lm_baseline_tiny", {"decoder_learned_pos": True}, "staged_transformer_lm"),
        ("roberta_baseline_tiny", {}, "roberta"),
    ],
)
def test_what_transformers_has_itself_is_taken(case, options, kind, tmp_path, capsys):
    """Its outputs are compared by the export; here, that it loads by the Auto class without any code of the folder."""
    save(tmp_path / "model.pt", case, **options)
    command("export-huggingface", tmp_path / "model.pt", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["model_type"] == kind
    told = capsys.readouterr().err
    if kind.startswith("staged"):
        name = next(iter(options)).removeprefix("encoder_").removeprefix("decoder_")
        assert f"{name} is True" in told
    else:
        assert not list((tmp_path / "out").glob("*.py"))
    if kind in ("fsmt", "xglm"):
        command("import-huggingface", tmp_path / "out", tmp_path / "back.pt")
        assert Checkpoint.read(tmp_path / "back.pt").architecture == f"{family_of(case)}_baseline"
    if kind == "fsmt":
        model = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "out").eval()
        chosen = model.generation_config
        assert (chosen.num_beams, chosen.eos_token_id, chosen.pad_token_id) == (5, 2, 1)
        src, _, _ = batch()
        assert len(model.generate(src, attention_mask=src.ne(1).long(), max_new_tokens=3)) == 3


def test_a_card_says_what_the_model_is(tmp_path):
    """With the scores of the run's translations, and the licence left open."""
    (tmp_path / "gen.test").mkdir()
    metric = {"name": "BLEU", "score": 29.9, "signature": "nrefs:1|version:2"}
    score = {"sentences": 1000, "metrics": {"BLEU": metric}}
    (tmp_path / "gen.test" / "score.json").write_text(json.dumps(score))
    save(tmp_path / "model.pt", "transformer_kernel-elu1")
    command("export-huggingface", tmp_path / "model.pt", tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\n# license: yours to say\nlibrary_name: transformers\npipeline_tag: translation\n---\n")
    assert "| attention | attention_kernel elu1 |" in card
    assert "| test | 1000 | BLEU | 29.9 | `nrefs:1|version:2` |" in card
    assert 'AutoModelForSeq2SeqLM.from_pretrained("FOLDER", trust_remote_code=True)' in card


def test_a_staged_model_by_wish(tmp_path):
    save(tmp_path / "roberta.pt", "roberta_baseline_tiny")
    command("export-huggingface", tmp_path / "roberta.pt", tmp_path / "out", "--staged")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["model_type"] == "staged_roberta"


def test_half_precision_is_kept(tmp_path):
    save(tmp_path / "model.pt", "transformer_lm_sharedkv_tiny", dtype=torch.float16)
    command("export-huggingface", tmp_path / "model.pt", tmp_path / "out", "--staged")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "float16"
    command("import-huggingface", tmp_path / "out", tmp_path / "back.pt")
    assert Checkpoint.read(tmp_path / "back.pt").dtype == torch.float16


@pytest.mark.parametrize(
    ("case", "options", "message"),
    [
        (
            "transformer_lm_baseline_tiny",
            {"adaptive_softmax_cutoff": "10,20", "criterion": "adaptive_loss"},
            "trained with --adaptive-softmax-cutoff: a staged model of transformers has no such option",
        ),
        ("transformer_baseline_tiny", {"quant_noise_scalar": 0.1}, "trained with --quant-noise-scalar"),
    ],
)
def test_obstacles(case, options, message, tmp_path, capsys):
    save(tmp_path / "model.pt", case, **options)
    command("export-huggingface", tmp_path / "model.pt", tmp_path / "out", status=1)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_flattened_imports():
    text, needed = flattened("fairseq_plugins.attention.mix")
    assert "from .attention_mix_dense import __name__ as _dense" in text
    assert "fairseq_plugins.attention.mix.top_r" in needed
    text, needed = flattened("fairseq_plugins.huggingface.decoder")
    assert "from .attention import CAUSAL\n" in text
    assert "fairseq_plugins" not in text
