"""Marian models of Hugging Face's transformers as ``transformer_baseline``: the same logits, the same translations."""

import json
import os
import random

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch
from builders import build
from fairseq import checkpoint_utils
from fairseq.data import Dictionary
from fairseq.sequence_generator import SequenceGenerator
from running import forked

from fairseq_plugins import cli
from fairseq_plugins.attention import StagedMultiheadAttention
from fairseq_plugins.checkpoints import Checkpoint, building, safe_load
from fairseq_plugins.models.conventions import MarianPositionalEmbedding
from fairseq_plugins.text.toy import generate

transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.torch")
sentencepiece = pytest.importorskip("sentencepiece")
if not transformers.utils.is_torch_available():
    pytest.skip("transformers wants another torch", allow_module_level=True)

from marian_folders import EOS, PAD, ROWS, UNK, marian, numbered_pieces  # noqa: E402

OURS = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}


def run(command, *arguments, status=0):
    assert cli.main([command, *map(str, arguments)]) == status


def train(model, folder, given, labels, steps):
    """Learn some translations by heart, so that hypotheses differ in words and length, and save the model again."""
    optimizer = torch.optim.Adam((p for p in model.parameters() if p.requires_grad), lr=0.01)
    labels = labels.masked_fill(labels == model.config.pad_token_id, -100)
    for _ in range(steps):
        optimizer.zero_grad()
        model(**given, labels=labels).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)


def weights_of(path):
    """A checkpoint's weights, but for a buffer that fairseq leaves uninitialised."""
    weights = safe_load.load_checkpoint(path)["model"]
    return {name: tensor for name, tensor in weights.items() if not name.endswith("_float_tensor")}


def load(path):
    return building.load(Checkpoint.read(path))


def our_rows(path):
    """Our row of each of Marian's, by the pieces' names."""
    words = Dictionary.load(str(path.parent / "dict.txt"))
    pieces = json.loads((path.parent.parent / "in" / "vocab.json").read_text())
    return torch.tensor([words.index(piece) for piece, _ in sorted(pieces.items(), key=lambda pair: pair[1])])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out" / "model.pt"


def sentences(lengths, seed=0):
    """Random rows of Marian's, no special ones."""
    rows = torch.tensor([row for row in range(ROWS) if row not in (PAD, EOS, UNK)])
    words = torch.Generator().manual_seed(seed)
    return [rows[torch.randint(len(rows), (length,), generator=words)] for length in lengths]


def padded(rows, pad, left=False):
    width = max(map(len, rows))
    fill = [torch.full((width - len(row),), pad) for row in rows]
    return torch.stack([torch.cat([gap, row] if left else [row, gap]) for row, gap in zip(rows, fill)])


def sources(place, left=True):
    """Sentences with </s>: Marian's ids and attention mask, and fairseq's src_tokens and src_lengths."""
    rows = [torch.cat([row, torch.tensor([EOS])]) for row in sentences((9, 4, 0, 12))]
    theirs = padded(rows, PAD)
    given = {"input_ids": theirs, "attention_mask": (theirs != PAD).long()}
    return given, padded([place[row] for row in rows], OURS["<pad>"], left), torch.tensor(list(map(len, rows)))


# ------------------------------------------------------------------ the same logits


@pytest.mark.parametrize(("dtype", "exact", "left"), [(torch.float32, 1e-5, True), (torch.float64, 1e-12, False)])
def test_the_same_logits(dtype, exact, left, folder, out):
    model = marian(folder, dtype)
    run("import-huggingface", folder, out)
    place = our_rows(out)
    theirs, src, lengths = sources(place, left)
    targets = sentences((5, 12, 1, 30), seed=1)
    start = torch.tensor([PAD])
    before = padded([torch.cat([start, row]) for row in targets], PAD)
    previous = padded([torch.cat([torch.tensor([OURS["</s>"]]), place[row]]) for row in targets], OURS["<pad>"])
    text = previous != OURS["<pad>"]
    ours = load(out)
    with torch.no_grad():
        expected = model(**theirs, decoder_input_ids=before).logits[text]
        logits = ours(src, lengths, previous)[0][text]
    assert logits.dtype == dtype
    torch.testing.assert_close(logits[:, place], expected, atol=exact, rtol=0)
    # <s>, which Marian does not have, takes no probability from the others
    torch.testing.assert_close(logits.log_softmax(-1)[:, place], expected.log_softmax(-1), atol=exact, rtol=0)
    assert logits.softmax(-1)[:, OURS["<s>"]].max() == 0


@pytest.mark.parametrize("given", [
    {"scale_embedding": False, "activation_function": "relu"},
    {"encoder_layers": 1, "decoder_layers": 1, "d_model": 36, "encoder_attention_heads": 3},
])  # fmt: skip
def test_other_shapes(given, folder, out):
    model = marian(folder, **given)
    run("import-huggingface", folder, out)
    place = our_rows(out)
    theirs, src, lengths = sources(place)
    with torch.no_grad():
        expected = model(**theirs, decoder_input_ids=torch.full((4, 1), PAD)).logits
        logits = load(out)(src, lengths, torch.full((4, 1), OURS["</s>"]))[0]
    torch.testing.assert_close(logits[..., place], expected, atol=1e-5, rtol=0)


def test_the_table_grows_with_the_input():
    """Past the size that it was built with, and with padding on either side."""
    positions = MarianPositionalEmbedding(7, 1, rows=5)
    words = torch.tensor([[1, 1, 1, *range(5, 15)], [*range(5, 15), 1, 1, 1]])
    found = positions(words)
    expected = [[p / 10000 ** (2 * i / 7) for i in range(4)] for p in range(10)]
    expected = torch.tensor(expected, dtype=torch.float64)
    expected = torch.cat([expected.sin(), expected[:, :3].cos()], dim=1).float()
    torch.testing.assert_close(found[0, 3:], expected)
    torch.testing.assert_close(found[1, :10], expected)
    assert found[0, :3].abs().max() == found[1, 10:].abs().max() == 0
    torch.testing.assert_close(positions(words[1:, :4], incremental_state={})[0, 0], expected[3])


# ------------------------------------------------------------------ the same translations


def test_the_same_hypotheses(folder, out):
    model = marian(folder)
    targets = [torch.cat([row, torch.tensor([EOS])]) for row in sentences((4, 1, 7, 9), seed=1)]
    train(model, folder, sources(torch.arange(ROWS))[0], padded(targets, PAD), 25)
    run("import-huggingface", folder, out)
    place = our_rows(out)
    theirs, src, lengths = sources(place)
    words = Dictionary.load(str(out.parent / "dict.txt"))
    search = {"early_stopping": True, "bad_words_ids": [[PAD]], "max_length": 12, "do_sample": False}
    for beam in (1, 4):
        found = model.generate(**theirs, **search, num_beams=beam)
        generator = SequenceGenerator([load(out)], words, beam_size=beam, max_len_b=10)
        made = generator.generate([], {"net_input": {"src_tokens": src, "src_lengths": lengths}})
        for row, hypotheses in zip(found, made):
            assert hypotheses[0]["tokens"].tolist() == place[row[1:][row[1:] != PAD]].tolist()
        assert len({tuple(hypotheses[0]["tokens"].tolist()) for hypotheses in made}) == 4


@pytest.fixture(scope="module")
def opus(tmp_path_factory):
    """The parts of a folder of opus-mt: two SentencePiece models, and a vocabulary that does not have all of them."""
    folder = tmp_path_factory.mktemp("opus")
    pairs = generate(1, {"train": 400, "test": 12})
    for side in ("de", "en"):
        for name, some in pairs.items():
            (folder / f"{name}.{side}").write_text("".join(f"{getattr(pair, side)}\n" for pair in some))
    pieces = {"</s>": 0, "<unk>": 1}
    for name, side in (("source", "de"), ("target", "en")):
        sentencepiece.SentencePieceTrainer.train(
            input=str(folder / f"train.{side}"), model_prefix=str(folder / name), vocab_size=120, minloglevel=2
        )
        (folder / f"{name}.model").rename(folder / f"{name}.spm")
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{name}.spm"))
        for piece in map(model.id_to_piece, range(model.get_piece_size())):
            if piece not in ("<s>", "▁der", "r"):
                pieces.setdefault(piece, len(pieces))
    pieces["<pad>"] = len(pieces)
    (folder / "vocab.json").write_text(json.dumps(pieces))
    (folder / "tokenizer_config.json").write_text('{"source_lang": "deu", "target_lang": "eng"}')
    return folder


def apply(model, words, source, target):
    arguments = ["--model", model, "--dict", words, source, "--output", target]
    return cli.main(["apply-sentencepiece", *map(str, arguments)])


def test_from_text_to_text_through_fairseq_generate(opus, tmp_path):
    """Tokenizer, model and search against transformers' own, from files alone."""
    folder, out = tmp_path / "in", tmp_path / "out" / "model.pt"
    pieces = json.loads((opus / "vocab.json").read_text())
    model = marian(folder, pieces=pieces, max_position_embeddings=90)
    for name in ("source.spm", "target.spm", "tokenizer_config.json"):
        (folder / name).write_bytes((opus / name).read_bytes())
    tokenizer = transformers.MarianTokenizer.from_pretrained(folder)
    lines = (opus / "test.de").read_text().splitlines()
    pairs = tokenizer(lines, text_target=(opus / "test.en").read_text().splitlines(), return_tensors="pt", padding=True)
    train(model, folder, {name: pairs[name] for name in ("input_ids", "attention_mask")}, pairs["labels"], 60)
    run("import-huggingface", folder, out)
    lines.append("Ein ganz anderes Wort: 東京, 🙂 & ~!")
    (tmp_path / "test.de").write_text("".join(f"{line}\n" for line in lines))
    (tmp_path / "test.en").write_text((opus / "test.en").read_text() + "x\n")
    for side, name in (("de", "source"), ("en", "target")):
        words = out.parent / "dict.txt"
        assert apply(out.parent / f"{name}.spm", words, tmp_path / f"test.{side}", tmp_path / f"spm.{side}") == 0

    given = tokenizer(lines, return_tensors="pt", padding=True)
    words = Dictionary.load(str(out.parent / "dict.txt"))
    place = our_rows(out)
    for line, row in zip((tmp_path / "spm.de").read_text().splitlines(), given["input_ids"]):
        expected = place[row[row != pieces["<pad>"]]].tolist()
        assert words.encode_line(line, add_if_not_exist=False).tolist() == expected
    assert OURS["<unk>"] in place[given["input_ids"][0]]

    search = {"num_beams": 4, "early_stopping": True, "bad_words_ids": [[pieces["<pad>"]]], "max_length": 82}
    found = []
    for row in model.generate(**given, **search):
        words = tokenizer.convert_ids_to_tokens([i for i in row if i not in (pieces["<pad>"], pieces["</s>"])])
        found.append("".join(words).replace("▁", " ").strip())
    data = ["-s", "de", "-t", "en", "--srcdict", out.parent / "dict.txt", "--joined-dictionary"]
    forked("preprocess", *data, f"--testpref={tmp_path / 'spm'}", "--destdir", tmp_path / "bin")
    flags = ["--cpu", "--num-workers", 0, "--beam", 4, "--max-len-b", 80, "--remove-bpe", "sentencepiece"]
    log = forked("generate", tmp_path / "bin", "--path", out, *flags)
    made = dict(line[2:].split("\t")[::2] for line in log.splitlines() if line.startswith("H-"))
    assert [made[str(number)] for number in range(len(lines))] == found
    assert len(set(found)) > len(found) / 2


# ------------------------------------------------------------------ on with training


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """An imported model and its warm start with neural QKV: both paths, and the record of the latter."""
    folder = tmp_path_factory.mktemp("warm start")
    torch.manual_seed(1)
    marian(folder / "in")
    run("import-huggingface", folder / "in", folder / "model.pt")
    arguments = ["--arch", "transformer_neuralqkv", "--neural-start", "reinit", "--json", folder / "record.json"]
    run("warm-start", folder / "model.pt", folder / "start.pt", *arguments)
    return folder / "model.pt", folder / "start.pt", json.loads((folder / "record.json").read_text())


def test_warm_start_draws_the_papers_networks_and_keeps_the_rest(started):
    before, after = map(weights_of, started[:2])
    drawn = {p["name"] for p in started[2]["parameters"] if p["action"] == "initialised"}
    for name, tensor in after.items():
        if name in drawn:
            assert any(f".{role}_proj." in name for role in ("q", "k", "out"))
            assert not tensor.any() if name.endswith("bias") else 0 < tensor.std() < 0.03 or (tensor == 1).all()
        else:
            assert torch.equal(tensor, before[name]), name
    networks = {name.partition("_proj.")[0] for name in drawn}
    assert {"--sinusoidal-positions", "--decoder-start-symbol", "--output-bias"} <= set(started[2]["options"])
    assert len(networks) == 3 * (2 + 3 + 3)  # q, k, out in two encoder layers and twice in three decoder layers
    assert torch.equal(after["decoder.output_bias"], before["decoder.output_bias"])


def test_reinit_of_the_baseline_is_the_same_loss_of_weights(started, tmp_path):
    run("warm-start", started[0], tmp_path / "start.pt", "--arch", "transformer_baseline", "--reinit", "q,k,out")
    before, after = map(weights_of, (started[0], tmp_path / "start.pt"))
    changed = {name.partition("_proj.")[0] for name, tensor in after.items() if not torch.equal(tensor, before[name])}
    drawn = {p["name"].partition("_proj.")[0] for p in started[2]["parameters"] if p["action"] == "initialised"}
    assert changed == drawn


def test_added_parameters_at_the_shape_of_opus_mt():
    """One layer of either side at width 512, times six: the paper's +42,633,216."""
    shape = {"encoder_embed_dim": 512, "encoder_attention_heads": 8, "decoder_attention_heads": 8}
    shape.update(encoder_layers=1, decoder_layers=1, decoder_embed_dim=512)
    counts = []
    for variant in ("neuralqkv", "baseline"):
        model = build(f"transformer_{variant}", **shape)
        attention = [module for module in model.modules() if isinstance(module, StagedMultiheadAttention)]
        counts.append(sum(parameter.numel() for module in attention for parameter in module.parameters()))
        assert len(attention) == 3
    assert 6 * (counts[0] - counts[1]) == 42_633_216


def test_train_and_resume(started, tmp_path):
    """From the warm start, with label smoothing; the bias stays, and a resumed run ends like one in one go."""
    names = [f"w{row}" for row in range(ROWS) if row not in (PAD, EOS, UNK)]
    words = random.Random(1)
    for split, size in (("train", 40), ("valid", 8)):
        lines = [" ".join(words.choice(names) for _ in range(words.randrange(2, 9))) for _ in range(size)]
        for side in ("de", "en"):
            (tmp_path / f"{split}.{side}").write_text("".join(f"{line}\n" for line in lines))
    data = ["-s", "de", "-t", "en", "--srcdict", started[0].parent / "dict.txt", "--joined-dictionary"]
    prefixes = [f"--{split}pref={tmp_path / split}" for split in ("train", "valid")]
    forked("preprocess", *data, *prefixes, "--destdir", tmp_path / "bin")
    sizes = "--encoder-layers 2 --encoder-embed-dim 32 --encoder-ffn-embed-dim 20 --encoder-attention-heads 4"
    sizes += " --decoder-layers 3 --decoder-embed-dim 32 --decoder-ffn-embed-dim 28 --decoder-attention-heads 2"
    marians = "--sinusoidal-positions marian --decoder-start-symbol bos --output-bias --activation-fn swish"
    model = f"--arch transformer_neuralqkv {sizes} {marians} --share-all-embeddings --max-source-positions 40"
    rest = "--criterion label_smoothed_cross_entropy --label-smoothing 0.1 --optimizer adam --lr 0.001 --cpu"
    rest += " --max-tokens 200 --no-epoch-checkpoints --num-workers 0 --max-target-positions 40 --log-format json"
    command = ["train", tmp_path / "bin", *f"{model} {rest}".split(), "--finetune-from-model", started[1]]
    forked(*command, "--save-dir", tmp_path / "whole", "--max-update", 4)
    forked(*command, "--save-dir", tmp_path / "parts", "--max-update", 2)
    forked(*command, "--save-dir", tmp_path / "parts", "--max-update", 4)
    whole, parts = (weights_of(tmp_path / name / "checkpoint_last.pt") for name in ("whole", "parts"))
    start = weights_of(started[1])
    for name, tensor in whole.items():
        assert torch.equal(tensor, parts[name]), name
        assert tensor.isfinite().all()
    assert torch.equal(whole["decoder.output_bias"], start["decoder.output_bias"])
    assert not torch.equal(whole["encoder.layers.0.fc1.weight"], start["encoder.layers.0.fc1.weight"])
    models_, _ = checkpoint_utils.load_model_ensemble([str(tmp_path / "whole" / "checkpoint_last.pt")])
    assert isinstance(models_[0].encoder.embed_positions, MarianPositionalEmbedding)


# ------------------------------------------------------------------ vocabularies, old folders, what cannot be


def test_pieces_that_fairseq_cannot_write_keep_their_rows(folder, out, capsys):
    """White space in a piece, a symbol of fairseq's, and a row without a piece: every other row is in its place."""
    marian(folder)
    pieces = numbered_pieces()
    for number, strange in ((5, "a\u3000b"), (6, "<s>"), (7, "\x85"), (8, "")):
        pieces[strange] = pieces.pop(f"w{number}")
    del pieces["w9"]
    (folder / "vocab.json").write_text(json.dumps(pieces))
    run("import-huggingface", folder, out)
    assert "4 pieces, such as 'a\\u3000b', cannot stand in fairseq's text" in capsys.readouterr().err
    words = Dictionary.load(str(out.parent / "dict.txt"))
    assert len(words) == ROWS + 1
    table = safetensors.load_file(folder / "model.safetensors")["model.shared.weight"]
    found = load(out).encoder.embed_tokens.weight
    for row in range(ROWS):
        name = {PAD: "<pad>", EOS: "</s>", UNK: "<unk>"}.get(row, f"<row{row}>" if 5 <= row <= 9 else f"w{row}")
        assert name in words
        assert torch.equal(found[words.index(name)], table[row])


def test_older_folders_are_read(folder, out, tmp_path):
    """pytorch_model.bin in half precision, with copies of the embeddings and the table of positions, if it is that."""
    model = marian(folder)
    run("import-huggingface", folder, out)
    weights = safetensors.load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    shared = weights["model.shared.weight"]
    copies = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight")
    table = model.model.encoder.embed_positions.weight
    for name, positions in (("other", torch.zeros(40, 32)), ("old", table.detach())):
        old = {**weights, **dict.fromkeys(copies, shared), "model.encoder.embed_positions.weight": positions}
        torch.save({key: tensor.half() for key, tensor in old.items()}, folder / "pytorch_model.bin")
        run("import-huggingface", folder, tmp_path / name / "model.pt", status=int(name == "other"))
    assert not (tmp_path / "other").exists()
    first, second = weights_of(out), weights_of(tmp_path / "old" / "model.pt")
    for name, tensor in first.items():
        assert torch.equal(tensor.half(), second[name].half()), name
    assert second["decoder.output_bias"].dtype == torch.float16


def test_folders_that_cannot_be_imported_are_said(folder, out, capsys):
    marian(folder)
    config = json.loads((folder / "config.json").read_text())
    weights = safetensors.load_file(folder / "model.safetensors")
    capsys.readouterr()

    def refused(sentence, *more, pieces=None, **change):
        kept = {name: value for name, value in {**config, **change}.items() if value is not None}
        (folder / "config.json").write_text(json.dumps(kept))
        (folder / "vocab.json").write_text(json.dumps({**numbered_pieces(), **(pieces or {})}))
        run("import-huggingface", folder, out, *more, status=1)
        said = capsys.readouterr().err
        assert sentence in said
        assert said.count("\n") == 1
        assert not out.parent.exists()

    refused("share_encoder_decoder_embeddings is False, and only True", share_encoder_decoder_embeddings=False)
    refused("activation_function is mish", activation_function="mish")
    refused("the decoder starts with 3", decoder_start_token_id=3)
    refused("decoder_ffn_dim is missing", decoder_ffn_dim=None)
    refused("fc1.weight is (20, 32), but config.json means (24, 32)", encoder_ffn_dim=24)
    refused("no parameter model.decoder.layers.3.", decoder_layers=4)
    refused("model.decoder.layers.2.", decoder_layers=2)
    refused("leave --to out", "--to", "stock")
    refused("vocab.json has <pad> at 7", pieces={"<pad>": 7})
    refused("two pieces share a row", pieces={"more": 7})
    refused("'more' has no row among 59", pieces={"more": 59})
    safetensors.save_file({**weights, "final_logits_bias": torch.zeros(1, 58)}, folder / "model.safetensors")
    refused("final_logits_bias has 58 entries for 59 embeddings")
    (folder / "vocab.json").unlink()
    (folder / "config.json").write_text(json.dumps(config))
    run("import-huggingface", folder, out, status=1)
    assert "vocab.json: cannot be read" in capsys.readouterr().err


def test_files_that_are_there_are_not_overwritten(folder, out, capsys):
    marian(folder)
    out.parent.mkdir()
    (out.parent / "dict.txt").write_text("precious 1\n")
    run("import-huggingface", folder, out, status=1)
    assert "dict.txt exists with other content" in capsys.readouterr().err
    assert [path.name for path in out.parent.iterdir()] == ["dict.txt"]


def test_options_that_do_not_go_together_are_said():
    with pytest.raises(ValueError, match="--output-bias goes with no --adaptive-softmax-cutoff"):
        build("transformer_baseline", output_bias=True, adaptive_softmax_cutoff="10,20")
    with pytest.raises(ValueError, match="--sinusoidal-positions marian goes with no learned positions"):
        build("transformer_baseline", sinusoidal_positions="marian", encoder_learned_pos=True)
    with pytest.raises(ValueError, match="--decoder-start-symbol pad: choose from eos, bos"):
        build("transformer_baseline", decoder_start_symbol="pad")


def test_text_that_cannot_be_encoded_is_said(opus, tmp_path, capsys):
    (tmp_path / "dict.txt").write_text("a 1\n")
    (tmp_path / "broken.txt").write_text("a\n")
    text, target = opus / "test.de", tmp_path / "target"
    for model, words, source, sentence in (
        (tmp_path / "none.spm", tmp_path / "dict.txt", text, "none.spm: cannot be read, or is no SentencePiece model"),
        (opus / "source.spm", tmp_path / "broken.txt", text, "broken.txt:1: not a symbol and its count"),
        (opus / "source.spm", tmp_path / "dict.txt", tmp_path / "none", "none: cannot be read"),
    ):
        assert apply(model, words, source, target) == 1
        assert sentence in capsys.readouterr().err
        assert not target.exists()


def test_stock_fairseq_could_not_load_it(folder, out, capsys):
    """Positions, start symbol and bias are ours: a stock checkpoint would compute something else."""
    marian(folder)
    run("import-huggingface", folder, out)
    capsys.readouterr()
    run("convert-checkpoint", out, out.with_name("stock.pt"), "--to", "stock", status=1)
    said = capsys.readouterr().err
    assert "--sinusoidal-positions marian" in said
    assert "which stock fairseq does not have" in said
    assert not out.with_name("stock.pt").exists()
