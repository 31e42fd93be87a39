"""A folder of transformers through the mixings: its errors by hand, its losses by the model itself."""

import csv
import json
import math

import pytest
import torch

from fairseq_plugins import cli

TEXT = "w1 w2 w3 w4 w5 w6\n\nw7 w8 w9\nw2 w3 w9 w1\n"
SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.fixture
def folder(tmp_path):
    """``folder(class)``: a small model of that class of transformers, with its tokenizer, and lines of text."""
    transformers, tokenizers = pytest.importorskip("transformers"), pytest.importorskip("tokenizers")
    if int(transformers.__version__.split(".")[0]) < 5:
        pytest.skip(f"transformers {transformers.__version__} lets no BERT have its attention replaced")

    def make(name):
        words = ["<pad>", "<mask>", *(f"w{at}" for at in range(10))]
        model = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: at for at, word in enumerate(words)}, "<pad>"))
        model.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
        specials = {"unk_token": "<pad>", "pad_token": "<pad>", "mask_token": "<mask>"}
        transformers.PreTrainedTokenizerFast(tokenizer_object=model, **specials).save_pretrained(tmp_path / "model")
        config = transformers.BertConfig(vocab_size=len(words), pad_token_id=0, initializer_range=0.8, **SMALL)
        if "GPT2" in name:
            config = transformers.GPT2Config(vocab_size=len(words), n_embd=16, n_layer=2, n_head=2, n_positions=8)
        getattr(transformers, name)(config).save_pretrained(tmp_path / "model")
        (tmp_path / "text").write_text(TEXT)
        return getattr(transformers, name).from_pretrained(tmp_path / "model", attn_implementation="eager").eval()

    return make


def analyse(tmp_path, *words, status=0):
    arguments = ["analyse-attention", tmp_path / "model", "--out", tmp_path / "out", "--cpu", *words]
    assert cli.main(list(map(str, arguments))) == status
    if status == 0:
        return json.loads((tmp_path / "out" / "analysis.json").read_text())["results"]
    return None


def test_an_encoder_without_a_head(folder, tmp_path, capsys):
    """Error of one key in the first layer by hand; no loss; as many keys as there are change nothing."""
    model = folder("BertModel")
    dense, one, all_keys = analyse(tmp_path, "--text", tmp_path / "text", "--mixings", "top-r", "--r", "1,6")
    assert "loss" not in dense
    assert [place["site"] for place in one["errors"]] == ["encoder", "encoder"]
    values = []
    attention = model.encoder.layer[0].attention.self
    attention.value.register_forward_hook(lambda module, given, made: values.append(made[0]))
    errors = [[], []]
    for line in filter(None, TEXT.split("\n")):
        ids = torch.tensor([[2 + int(word[1:]) for word in line.split()]])
        with torch.no_grad():
            weights = model(input_ids=ids, output_attentions=True).attentions[0][0]
        for head, value in enumerate(values.pop().split(8, dim=-1)):
            out = weights[head] @ value
            near = value[weights[head].argmax(-1)]
            errors[head] += ((out - near).norm(dim=-1) / out.norm(dim=-1)).tolist()
    assert one["errors"][0]["error"] == pytest.approx([sum(head) / len(head) for head in errors], rel=1e-4)
    assert max(error for place in all_keys["errors"] for error in place["error"]) < 1e-5
    table = capsys.readouterr().out
    assert "| r | top-r: output error |" in " ".join(table.split())
    with open(tmp_path / "out" / "quality.csv", encoding="utf-8") as file:
        assert [row["loss"] for row in csv.DictReader(file)] == ["", "", ""]


def test_a_causal_language_model(folder, tmp_path):
    model = folder("GPT2LMHeadModel")
    dense, sparse = analyse(tmp_path, "--text", tmp_path / "text", "--mixings", "value-aware-r", "--r", "2")
    total, count = 0.0, 0
    for line in filter(None, TEXT.split("\n")):
        ids = torch.tensor([[2 + int(word[1:]) for word in line.split()]])
        with torch.no_grad():
            total += float(model(input_ids=ids, labels=ids).loss) * (ids.size(1) - 1)
        count += ids.size(1) - 1
    assert dense["loss"] == pytest.approx(total / count, rel=1e-5)
    assert sparse["loss"] != dense["loss"]
    assert {place["site"] for place in sparse["errors"]} == {"decoder"}


def test_a_masked_language_model_has_the_same_masks_for_all(folder, tmp_path):
    """As many keys as there are give the dense loss, so that nothing else has changed."""
    folder("BertForMaskedLM")
    (tmp_path / "text").write_text(TEXT * 8)
    dense, all_keys = analyse(tmp_path, "--text", tmp_path / "text", "--mixings", "top-r", "--r", "6")
    assert all_keys["loss"] == pytest.approx(dense["loss"], rel=1e-6)
    assert 0 < dense["loss"] < 20
    assert math.isfinite(dense["loss"])


def test_what_is_refused(folder, tmp_path, capsys):
    folder("GPT2LMHeadModel")
    (tmp_path / "long").write_text("w1 " * 9 + "\nw1 w2\n")
    for words, said in (
        ([], "a folder of transformers is analysed on --text FILE"),
        (["--text", tmp_path / "text", "--bleu"], "--bleu is for translation models of fairseq"),
        (["--text", tmp_path / "text", "--sites", "encoder"], "no attention at encoder; it has: decoder"),
        (["--text", tmp_path / "long"], "1 of 2 lines (9 tokens) are longer than the model takes (8 tokens)"),
        (["--text", tmp_path / "nowhere"], "nowhere: cannot be read"),
    ):
        analyse(tmp_path, "--mixings", "top-r", "--r", "1", *words, status=1)
        assert said in capsys.readouterr().err
    analyse(tmp_path, "--text", tmp_path / "long", "--r", "1", "--skip-invalid-size-inputs-valid-test")
    assert "1 of 2 lines (9 tokens) were left out" in capsys.readouterr().out
