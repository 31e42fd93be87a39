"""Models pruned to some of their layers: converted, folded and exported they compute the same."""

import os
from argparse import Namespace

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch
from builders import SMALL, TASKS, build, family_of, run, translation_task
from fairseq.models import build_model

from fairseq_plugins import cli
from fairseq_plugins.checkpoints import Checkpoint, building

KEPT = {
    "transformer": {"encoder_layers_to_keep": "0,2", "decoder_layers_to_keep": "1"},
    "roberta": {"encoder_layers_to_keep": "0,2"},
    "transformer_lm": {"decoder_layers_to_keep": "0,2"},
}


def pruned(path, arch):
    """The checkpoint of a training that began with two of three layers, and its model."""
    family = family_of(arch)
    three = {"encoder_layers": 3, "decoder_layers": 3}
    whole = build(arch, **three)
    with torch.no_grad():
        for parameter in whole.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    options = Namespace(**{**SMALL[family], **three, **KEPT[family], "arch": arch, "_name": arch})
    model = build_model(options, TASKS[family]())
    model.load_state_dict(whole.state_dict(), model_cfg=options)
    torch.save({"model": model.state_dict(), "args": None, "cfg": {"model": options, "common": {}}}, path)
    return model.eval()


@pytest.mark.parametrize(
    ("arch", "command", "more"),
    [
        ("transformer_pairwise_tiny", "fold-checkpoint", []),
        ("roberta_symmetric_tiny", "fold-checkpoint", []),
        ("transformer_lm_pairwise_tiny", "fold-checkpoint", []),
        ("transformer_identityquery_tiny", "fold-checkpoint", []),
        ("transformer_lm_sharedkv_tiny", "fold-checkpoint", []),
        ("roberta_sharedqkv_tiny", "fold-checkpoint", []),
        ("transformer_lm_baseline_tiny", "convert-checkpoint", ["--to", "stock"]),
    ],
)
def test_another_checkpoint_of_it(arch, command, more, tmp_path):
    model = pruned(tmp_path / "model.pt", arch)
    assert cli.main([command, str(tmp_path / "model.pt"), str(tmp_path / "out.pt"), *more]) == 0
    other = building.load(Checkpoint.read(tmp_path / "out.pt"))
    assert not type(other).__module__.startswith("fairseq_plugins")
    with torch.no_grad():
        (expected, text), (found, _) = run(model), run(other)
    torch.testing.assert_close(found[text], expected[text], atol=2e-5, rtol=1e-5)


def test_in_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    if not transformers.utils.is_torch_available():
        pytest.skip("transformers wants another torch")
    model = pruned(tmp_path / "model.pt", "roberta_pairwise_tiny")
    assert cli.main(["export-huggingface", str(tmp_path / "model.pt"), str(tmp_path / "out")]) == 0
    tokens = torch.tensor([[0, 5, 6, 7, 8, 2], [0, 6, 5, 2, 1, 1]])
    with torch.no_grad():
        exported = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "out").eval()
        logits = exported(input_ids=tokens, attention_mask=(tokens != 1).long()).logits
        torch.testing.assert_close(logits[tokens != 1], model(tokens)[0][tokens != 1], atol=1e-4, rtol=1e-4)


def test_in_ctranslate2(tmp_path):
    ctranslate2 = pytest.importorskip("ctranslate2")
    model = pruned(tmp_path / "model.pt", "transformer_pairwise_tiny")
    words = translation_task().source_dictionary
    words.save(str(tmp_path / "dict.txt"))
    arguments = [str(tmp_path / "model.pt"), str(tmp_path / "out"), "--dict", str(tmp_path / "dict.txt")]
    assert cli.main(["export-ctranslate2", *arguments]) == 0
    source, target = torch.tensor([[5, 6, 7, 2]]), torch.tensor([[9, 8, 2]])
    with torch.no_grad():
        logits = model(source, torch.tensor([4]), torch.tensor([[2, 9, 8]]))[0]
    expected = logits.log_softmax(-1).gather(-1, target[..., None]).view(-1)
    texts = [[[words[i] for i in row[:-1]] for row in side.tolist()] for side in (source, target)]
    (found,) = ctranslate2.Translator(str(tmp_path / "out"), device="cpu").score_batch(*texts)
    torch.testing.assert_close(torch.tensor(found.log_probs), expected, atol=1e-4, rtol=0)
