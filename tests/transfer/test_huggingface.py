"""RoBERTa to Hugging Face's transformers and back: the same logits and the same token ids."""

import json
import os
import random
import subprocess
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import tiny_training
import torch
from builders import masked_lm_task, save
from fairseq import checkpoint_utils
from fairseq.data import Dictionary
from fairseq.data.encoders.gpt2_bpe import GPT2BPE, GPT2BPEConfig
from fairseq.models.roberta import RobertaModel
from hostile import Hostile
from running import forked

from fairseq_plugins import cli
from fairseq_plugins.checkpoints import safe_load
from fairseq_plugins.text import byte_bpe

TEXT = [
    "The cat sat on the mat, didn't it?",
    "  Two  blanks   and a tab\tand 1234 numbers!",
    "Über die Brücke — naïve café, 東京 🙂",
    "the cat's mat",
    "",
]
ROWS = 331


@pytest.fixture(scope="module", autouse=True)
def _imported():
    """Not by the file itself, which every worker collects: that takes a second."""
    global transformers, safetensors
    transformers = pytest.importorskip("transformers")
    safetensors = pytest.importorskip("safetensors.torch")
    if not transformers.utils.is_torch_available():
        pytest.skip("transformers wants another torch")


@pytest.fixture(scope="module")
def bpe(tmp_path_factory):
    """A folder with encoder.json, vocab.bpe and a dict.txt in another order, padded to ROWS rows with <mask>."""
    folder = tmp_path_factory.mktemp("bpe")
    vocabulary, merges = byte_bpe.learn(TEXT * 4, 300)
    byte_bpe.write_model(folder, vocabulary, merges)
    numbers = sorted(map(str, vocabulary.values()))
    random.Random(1).shuffle(numbers)
    padding = [f"madeupword{i:04d}" for i in range(ROWS - 5 - len(numbers))]
    assert len(padding) > 10
    (folder / "dict.txt").write_text("".join(f"{symbol} {7}\n" for symbol in numbers + padding))
    return folder


def checkpoint(path, arch, heads=(), dtype=torch.float32, **options):
    """A saved model with all parameters away from their initial values, and the model."""
    return save(path, arch, masked_lm_task(ROWS), dtype, dict(heads), **options)


def batch():
    """Sentences of several lengths, padded, the longest as long as the model allows; and where the text is."""
    tokens = torch.full((4, 32), 1)
    for row, length in enumerate((32, 2, 9, 20)):
        tokens[row, :length] = torch.randint(4, ROWS, (length,))
        tokens[row, 0], tokens[row, length - 1] = 0, 2
    return tokens, tokens != 1


def run(command, *arguments, status=0):
    assert cli.main([command, *map(str, arguments)]) == status


def theirs(folder, kind=None, **options):
    kind = kind or transformers.AutoModelForMaskedLM
    return kind.from_pretrained(folder, **options).eval()


ARCHITECTURES = [
    "roberta",
    *(f"roberta_{variant}_tiny" for variant in ("baseline", "symmetric", "pairwise", "identityquery", "sharedqkv")),
]


@pytest.mark.parametrize(
    ("arch", "options"),
    [*((arch, {}) for arch in ARCHITECTURES), ("roberta_sharedkv_tiny", {"attention_kv_heads": "2"})],
)
def test_an_exported_masked_language_model_has_the_same_logits(arch, options, tmp_path, capsys):
    model = checkpoint(tmp_path / "model.pt", arch, **options)
    run("export-huggingface", tmp_path / "model.pt", tmp_path / "out")
    assert "wrote no tokenizer" in capsys.readouterr().err
    files = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in files] == ["README.md", "config.json", "model.safetensors"]
    assert len({path.stat().st_mode for path in files}) == 1
    tokens, text = batch()
    with torch.no_grad():
        logits = theirs(tmp_path / "out")(input_ids=tokens, attention_mask=text.long()).logits
        torch.testing.assert_close(logits[text], model(tokens)[0][text], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("classes", [1, 3])
def test_an_exported_classifier_has_the_same_logits(classes, tmp_path):
    model = checkpoint(tmp_path / "model.pt", "roberta_pairwise_tiny", {"task": classes})
    run("export-huggingface", tmp_path / "model.pt", tmp_path / "out")
    tokens, text = batch()
    with torch.no_grad():
        classifier = theirs(tmp_path / "out", transformers.AutoModelForSequenceClassification)
        logits = classifier(input_ids=tokens, attention_mask=text.long()).logits
        expected = model(tokens, classification_head_name="task")[0]
    assert classifier.config.num_labels == classes
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def test_a_classifier_that_fairseq_trained_is_exported(corpus, tmp_path):
    """From a sentence_prediction training: the head's name and the dictionary are what fairseq made of them."""
    for split in ("train", "valid"):
        lines = (corpus / f"{split}.txt").read_text().splitlines()
        (tmp_path / f"{split}.label").write_text("".join(f"{len(line) % 2}\n" for line in lines))
    for part, prefix, more in (
        ("input0", f"{corpus}/{{}}.txt", ["--srcdict", corpus / "mono" / "dict.txt"]),
        ("label", f"{tmp_path}/{{}}.label", []),
    ):
        splits = [f"--{split}pref={prefix.format(split)}" for split in ("train", "valid")]
        forked("preprocess", "--only-source", *splits, "--destdir", tmp_path / "data" / part, *more)
    sizes = "--encoder-layers 2 --encoder-embed-dim 16 --encoder-ffn-embed-dim 16 --encoder-attention-heads 2"
    task = "--task sentence_prediction --criterion sentence_prediction --num-classes 2 --init-token 0"
    options = f"data {task} --arch roberta_pairwise {sizes} --max-positions 64 --optimizer adam"
    trained = tiny_training.train(tmp_path, tmp_path / "save", options, updates=2)
    run("export-huggingface", trained, tmp_path / "out", "--dict", corpus / "mono" / "dict.txt")
    models, _ = checkpoint_utils.load_model_ensemble([str(trained)])
    tokens = torch.tensor([[0, 5, 6, 7, 2], [0, 8, 2, 1, 1]])
    with torch.no_grad():
        classifier = theirs(tmp_path / "out", transformers.AutoModelForSequenceClassification)
        logits = classifier(input_ids=tokens, attention_mask=(tokens != 1).long()).logits
        expected = models[0].eval()(tokens, classification_head_name="sentence_classification_head")[0]
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)


def test_one_of_several_heads_or_the_masked_lm_is_exported(tmp_path, capsys):
    model = checkpoint(tmp_path / "model.pt", "roberta", {"first": 2, "second": 4}, untie_weights_roberta=True)
    run("export-huggingface", tmp_path / "model.pt", tmp_path / "out", status=1)
    assert "first, second: choose one with --head" in capsys.readouterr().err
    tokens, text = batch()
    inputs = {"input_ids": tokens, "attention_mask": text.long()}
    run("export-huggingface", tmp_path / "model.pt", tmp_path / "second", "--head", "second")
    run("export-huggingface", tmp_path / "model.pt", tmp_path / "lm", "--masked-lm")
    with torch.no_grad():
        logits = theirs(tmp_path / "second", transformers.AutoModelForSequenceClassification)(**inputs).logits
        torch.testing.assert_close(logits, model(tokens, classification_head_name="second")[0], atol=1e-4, rtol=1e-4)
        logits = theirs(tmp_path / "lm")(**inputs).logits  # its output matrix is not the embeddings
        torch.testing.assert_close(logits[text], model(tokens)[0][text], atol=1e-4, rtol=1e-4)


IN_TRANSFORMERS_ALONE = """
import json, sys
from transformers import AutoModelForMaskedLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForMaskedLM.from_pretrained(sys.argv[1]).eval()
inputs = tokenizer(json.loads(sys.argv[2]), padding=True, return_tensors="pt")
print(json.dumps([inputs["input_ids"].tolist(), model(**inputs).logits.tolist()]))
assert not [name for name in sys.modules if name.startswith("fairseq")]
"""


def test_from_text_to_logits_without_this_package(bpe, tmp_path):
    model = checkpoint(tmp_path / "model.pt", "roberta_pairwise_tiny")
    files = ("--dict", bpe / "dict.txt", "--bpe-dir", bpe)
    run("export-huggingface", tmp_path / "model.pt", tmp_path / "out", *files)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", IN_TRANSFORMERS_ALONE, str(tmp_path / "out"), json.dumps(TEXT[:1] + TEXT[3:4])]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    tokens, logits = map(torch.tensor, json.loads(done.stdout.splitlines()[-1]))
    assert tokens.shape[0] == 2
    assert (tokens == 1).any()
    with torch.no_grad():
        expected = model(tokens)[0]
    torch.testing.assert_close(logits[tokens != 1], expected[tokens != 1], atol=1e-4, rtol=1e-4)


def fairseq_ids(bpe_dir, dictionary, *sentences):
    """As fairseq's RobertaHubInterface encodes one sentence, or several with a separator."""
    encoder = GPT2BPE(
        GPT2BPEConfig(gpt2_encoder_json=str(bpe_dir / "encoder.json"), gpt2_vocab_bpe=str(bpe_dir / "vocab.bpe"))
    )
    words = Dictionary.load(str(dictionary))
    words.add_symbol("<mask>")
    line = "<s> " + " </s> </s> ".join(encoder.encode(sentence) for sentence in sentences) + " </s>"
    return words.encode_line(line, append_eos=False, add_if_not_exist=False).tolist()


def test_the_tokenizer_gives_the_rows_of_the_dictionary(bpe, tmp_path):
    checkpoint(tmp_path / "model.pt", "roberta_baseline_tiny")
    (tmp_path / "dict.txt").write_bytes((bpe / "dict.txt").read_bytes())  # beside the checkpoint: found without --dict
    run("export-huggingface", tmp_path / "model.pt", tmp_path / "out", "--bpe-dir", bpe)
    folder = tmp_path / "out"
    whole = transformers.AutoTokenizer.from_pretrained(folder)
    (folder / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    from_parts = transformers.AutoTokenizer.from_pretrained(folder)
    for tokenizer in (whole, from_parts):
        for text in TEXT:
            expected = fairseq_ids(bpe, bpe / "dict.txt", text)
            assert tokenizer(text)["input_ids"] == expected
            assert tokenizer.decode(expected, skip_special_tokens=True, clean_up_tokenization_spaces=False) == text
        assert tokenizer(TEXT[0], TEXT[3])["input_ids"] == fairseq_ids(bpe, bpe / "dict.txt", TEXT[0], TEXT[3])
        assert len(tokenizer) == ROWS
        assert tokenizer.mask_token_id == ROWS - 1
        assert (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.model_max_length) == (1, 3, 32)
        before, after = (fairseq_ids(bpe, bpe / "dict.txt", part) for part in ("the", " sat"))
        # the blank before <mask> is <mask>'s, as in fairseq's fill_mask
        assert tokenizer("the <mask> sat")["input_ids"] == [*before[:-1], ROWS - 1, *after[1:]]


def huggingface_config(**options):
    return transformers.RobertaConfig(**{
        **{"vocab_size": ROWS, "hidden_size": 24, "intermediate_size": 20, "max_position_embeddings": 34},
        **{"num_hidden_layers": 2, "num_attention_heads": 4, "type_vocab_size": 1, "layer_norm_eps": 1e-5},
        **{"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, **options},
    })  # fmt: skip


def random_model(kind, folder, dtype=torch.float32, **options):
    """Saved by transformers itself, nothing at its initial 0 or 1: token types, norms and biases matter."""
    model = kind(huggingface_config(**options)).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return model


def imported(path, **overrides):
    """As fairseq's hub loads it: with heads."""
    overrides = {"data": str(path.parent), "load_checkpoint_heads": True, **overrides}
    models, _ = checkpoint_utils.load_model_ensemble([str(path)], arg_overrides=overrides)
    return models[0].eval()


@pytest.mark.parametrize("to", ["stock", "baseline"])
@pytest.mark.parametrize("tied", [True, False])
def test_an_imported_masked_language_model_has_the_same_logits(to, tied, tmp_path):
    model = random_model(transformers.RobertaForMaskedLM, tmp_path / "in", tie_word_embeddings=tied)
    run("import-huggingface", tmp_path / "in", tmp_path / "new" / "model.pt", "--to", to)
    ours = imported(tmp_path / "new" / "model.pt")
    assert type(ours).__module__.startswith("fairseq_plugins") == (to == "baseline")
    tokens, text = batch()
    with torch.no_grad():
        logits = model(input_ids=tokens, attention_mask=text.long()).logits
        torch.testing.assert_close(ours(tokens)[0][text], logits[text], atol=1e-4, rtol=1e-4)


def test_an_imported_classifier_has_the_same_logits(tmp_path, capsys):
    model = random_model(transformers.RobertaForSequenceClassification, tmp_path / "in", num_labels=3)
    run("import-huggingface", tmp_path / "in", tmp_path / "model.pt")
    assert "the masked-LM head is initialised" in capsys.readouterr().err
    tokens, text = batch()
    with torch.no_grad():
        logits = model(input_ids=tokens, attention_mask=text.long()).logits
        ours = imported(tmp_path / "model.pt")(tokens, classification_head_name="sentence_classification_head")[0]
    torch.testing.assert_close(ours, logits, atol=1e-4, rtol=1e-4)


def test_the_import_is_exact(tmp_path):
    """To rounding in float64, after exchanging fairseq's gelu, which computes in float32 whatever its input."""
    model = random_model(transformers.RobertaForMaskedLM, tmp_path / "in", torch.float64)
    run("import-huggingface", tmp_path / "in", tmp_path / "model.pt")
    weights = safe_load.load_checkpoint(tmp_path / "model.pt")["model"]
    ours = imported(tmp_path / "model.pt").double()
    ours.load_state_dict(weights)
    for layer in [*ours.encoder.sentence_encoder.layers, ours.encoder.lm_head]:
        layer.activation_fn = torch.nn.functional.gelu
    tokens, text = batch()
    with torch.no_grad():
        logits = model(input_ids=tokens, attention_mask=text.long()).logits
        torch.testing.assert_close(ours(tokens)[0][text], logits[text], atol=1e-10, rtol=1e-10)


def test_older_folders_are_read(tmp_path):
    """pytorch_model.bin with a pooler, buffers and gamma/beta, or safetensors in parts: the same checkpoint."""
    model = random_model(transformers.RobertaForMaskedLM, tmp_path / "in")
    run("import-huggingface", tmp_path / "in", tmp_path / "a" / "model.pt")
    weights = safetensors.load_file(tmp_path / "in" / "model.safetensors")
    (tmp_path / "in" / "model.safetensors").unlink()
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in weights.items()
    }
    old["roberta.pooler.dense.weight"] = torch.zeros(24, 24)
    old["roberta.embeddings.position_ids"] = torch.arange(34)[None]
    torch.save(old, tmp_path / "in" / "pytorch_model.bin")
    run("import-huggingface", tmp_path / "in", tmp_path / "b" / "model.pt")
    (tmp_path / "in" / "pytorch_model.bin").unlink()
    model.save_pretrained(tmp_path / "in", max_shard_size="20KB")
    assert not (tmp_path / "in" / "model.safetensors").exists()
    run("import-huggingface", tmp_path / "in", tmp_path / "c" / "model.pt")
    first, *others = (safe_load.load_checkpoint(tmp_path / name / "model.pt")["model"] for name in "abc")
    for other in others:
        assert set(other) == set(first)
        for name, tensor in first.items():
            assert torch.equal(other[name], tensor) or name.endswith("_float_tensor"), name


def test_there_and_back_and_there_again(bpe, tmp_path):
    """The same weights, configuration, tokenizer and dictionary; fairseq's hub encodes as the first BPE did."""
    checkpoint(tmp_path / "model.pt", "roberta_pairwise_tiny")
    files = ("--dict", bpe / "dict.txt", "--bpe-dir", bpe)
    run("export-huggingface", tmp_path / "model.pt", tmp_path / "one", *files)
    run("import-huggingface", tmp_path / "one", tmp_path / "back" / "model.pt")
    again = ("--bpe-dir", tmp_path / "back")
    run("export-huggingface", tmp_path / "back" / "model.pt", tmp_path / "two", *again)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "two").iterdir())
    assert {"tokenizer.json", "vocab.json", "merges.txt", "dict.txt", "config.json"} < set(names)
    for name in set(names) - {"README.md"}:  # which tells the architecture, and that is another one after folding
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    hub = RobertaModel.from_pretrained(
        str(tmp_path / "back"),
        "model.pt",
        str(tmp_path / "back"),
        bpe="gpt2",
        gpt2_encoder_json=str(tmp_path / "back" / "encoder.json"),
        gpt2_vocab_bpe=str(tmp_path / "back" / "vocab.bpe"),
    )
    for text in TEXT:
        assert hub.encode(text).tolist() == fairseq_ids(bpe, bpe / "dict.txt", text)


def test_a_tokenizer_without_a_dictionary_gives_one(bpe, tmp_path):
    """From transformers' files alone, whole or in parts: other numbers, the same rows."""
    checkpoint(tmp_path / "model.pt", "roberta_baseline_tiny")
    files = ("--dict", bpe / "dict.txt", "--bpe-dir", bpe)
    run("export-huggingface", tmp_path / "model.pt", tmp_path / "out", *files)
    (tmp_path / "out" / "dict.txt").unlink()
    for number, gone in enumerate(([], ["vocab.json", "merges.txt"])):
        for name in gone:
            (tmp_path / "out" / name).unlink()
        back = tmp_path / f"back{number}"
        run("import-huggingface", tmp_path / "out", back / "model.pt")
        for text in TEXT:
            assert fairseq_ids(back, back / "dict.txt", text) == fairseq_ids(bpe, bpe / "dict.txt", text)
        imported(back / "model.pt")


@pytest.mark.parametrize(("arch", "options", "sentence"), [
    ("roberta_neuralqkv_tiny", {}, "are networks (by --attention-projection)"),
    ("roberta", {"encoder_normalize_before": True}, "trained with --encoder-normalize-before True"),
    ("roberta", {"activation_fn": "relu"}, "trained with --activation-fn relu: Hugging Face's RoBERTa has gelu only"),
    ("roberta_pairwise_tiny", {"no_token_positional_embeddings": True}, "--no-token-positional-embeddings True"),
    ("roberta_pairwise_tiny", {"layernorm_embedding": False}, "trained with --layernorm-embedding False"),
    ("roberta_pairwise_tiny", {"no_scale_embedding": False}, "trained with --no-scale-embedding False"),
    ("roberta_pairwise_tiny", {"encoder_learned_pos": False}, "trained with --encoder-learned-pos False"),
    ("roberta_pairwise_tiny", {"pooler_activation_fn": "relu"}, "trained with --pooler-activation-fn relu"),
    (
        "roberta_pairwise_tiny",
        {"attention_kernel": "relu", "attention_mixing": "top-r"},
        "trained with --attention-kernel relu, --attention-mixing top-r, which stock fairseq does not have",
    ),
])  # fmt: skip
def test_what_roberta_cannot_be_is_a_staged_model(arch, options, sentence, tmp_path, capsys):
    """The command says why; that outputs are the same, it checks itself."""
    checkpoint(tmp_path / "model.pt", arch, **options)
    run("export-huggingface", tmp_path / "model.pt", tmp_path / "out")
    assert sentence in capsys.readouterr().err
    assert json.loads((tmp_path / "out" / "config.json").read_text())["model_type"] == "staged_roberta"


def test_all_that_is_in_the_way_is_said_at_once(tmp_path, capsys):
    options = {"spectral_norm_classification_head": True, "quant_noise_scalar": 0.1}
    checkpoint(tmp_path / "model.pt", "roberta_neuralqkv_tiny", **options)
    run("export-huggingface", tmp_path / "model.pt", tmp_path / "out", status=1)
    said = capsys.readouterr().err
    for sentence in ("trained with --quant-noise-scalar", "trained with --spectral-norm-classification-head"):
        assert sentence in said
    assert said.count("\n") == 1
    run("export-huggingface", tmp_path / "model.pt", tmp_path / "out", "--head", "mnli", status=1)
    assert "no classification head mnli; it has none" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pt"]


def test_files_that_do_not_fit_are_said(bpe, tmp_path, capsys):
    checkpoint(tmp_path / "model.pt", "roberta", {"task": 2})
    (tmp_path / "short.txt").write_text("12 1\n")
    lines = (bpe / "dict.txt").read_text().splitlines()
    (tmp_path / "other.txt").write_text("\n".join(["strange 1", *lines[1:]]) + "\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("x")
    out = tmp_path / "out"
    for target, more, sentence in (
        (out, ["--bpe-dir", bpe], "give the dictionary of the training with --dict"),
        (out, ["--dict", tmp_path / "short.txt"], f"6 symbols with <mask>, but the model has {ROWS} rows"),
        (out, ["--dict", tmp_path / "other.txt", "--bpe-dir", bpe], "have no row in the dictionary"),
        (out, ["--dict", bpe / "dict.txt", "--bpe-dir", tmp_path], "encoder.json: cannot be read"),
        (out, ["--head", "mnli"], "no classification head mnli; it has task"),
        (tmp_path / "full", [], "exists: name a new folder"),
    ):
        run("export-huggingface", tmp_path / "model.pt", target, *more, status=1)
        assert sentence in capsys.readouterr().err
    assert not out.exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_missing_packages_are_named(tmp_path, capsys, monkeypatch):
    checkpoint(tmp_path / "model.pt", "roberta")
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    run("export-huggingface", tmp_path / "model.pt", tmp_path / "out", status=1)
    assert "safetensors is missing; run: pip install" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "transformers", None)
    run("export-huggingface", tmp_path / "model.pt", tmp_path / "out", status=1)
    assert "transformers is missing; run: pip install" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_folders_that_cannot_be_imported_are_said(tmp_path, capsys):
    folder, out = tmp_path / "in", tmp_path / "new" / "model.pt"
    random_model(transformers.RobertaForMaskedLM, folder)
    config = json.loads((folder / "config.json").read_text())
    weights = safetensors.load_file(folder / "model.safetensors")

    capsys.readouterr()  # of transformers

    def refused(sentence, **change):
        kept = {name: value for name, value in {**config, **change}.items() if value is not None}
        (folder / "config.json").write_text(json.dumps(kept))
        run("import-huggingface", folder, out, status=1)
        said = capsys.readouterr().err
        assert sentence in said
        assert said.count("\n") == 1
        assert not out.exists()

    refused("layer_norm_eps is 1e-12", layer_norm_eps=None)
    refused("model_type is bert", model_type="bert")
    refused("hidden_size is missing", hidden_size=None)
    refused("word_embeddings.weight is (331, 24), but config.json means (331, 48)", hidden_size=48)
    safetensors.save_file(
        {name: tensor for name, tensor in weights.items() if "layer.1.output" not in name}, folder / "model.safetensors"
    )
    refused("no parameter roberta.encoder.layer.1.output.dense.weight")
    (folder / "model.safetensors").write_bytes(b"no")
    refused("model.safetensors: cannot be read")
    (folder / "model.safetensors").unlink()
    refused("neither model.safetensors nor pytorch_model.bin")
    torch.save({"x": Hostile()}, folder / "pytorch_model.bin")
    refused("system")
    run("import-huggingface", tmp_path / "missing", out, status=1)
    assert "config.json: cannot be read" in capsys.readouterr().err


def test_a_dictionary_that_is_there_is_not_overwritten(tmp_path, capsys):
    random_model(transformers.RobertaForMaskedLM, tmp_path / "in")
    (tmp_path / "dict.txt").write_text("precious 1\n")
    run("import-huggingface", tmp_path / "in", tmp_path / "model.pt", status=1)
    assert "dict.txt exists with other content" in capsys.readouterr().err
    assert (tmp_path / "dict.txt").read_text() == "precious 1\n"
    assert not (tmp_path / "model.pt").exists()
