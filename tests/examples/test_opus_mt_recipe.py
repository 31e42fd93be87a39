"""The recipes that begin with pretrained models, opus_mt.sh and roberta_base.sh: the paper's protocol, smoke runs."""

import json
import re
import shlex

import pytest
from fairseq import options
from pipeline_tools import ROOT, script, sentences, snapshot, write_pair

OPUS, ROBERTA = "examples/neural_qkv/opus_mt.sh", "examples/neural_qkv/roberta_base.sh"
VARIANTS = ["neuralqkv", "baseline", "baseline-reinit", "matched"]


def commands(output, name):
    """The arguments of each such command that a dry run prints, on its own or under torch.distributed.run."""
    found = re.findall(rf"^(?:\S+ -m torch\.distributed\.run .*)?\bfairseq-{name} (.*)$", output, re.M)
    return [shlex.split(line) for line in found]


def trained(output):
    (words,) = commands(output, "train")
    return options.parse_args_and_arch(options.get_training_parser(), words)


def warm_start(output):
    """The options of the warm start that a dry run prints, or nothing."""
    line = next((line for line in output.splitlines() if " warm-start " in line), "")
    return shlex.split(line.partition(" warm-start ")[2])


def dry_run(recipe, variant, tmp_path, *more):
    folders = ["--data-dir", tmp_path / "data", "--runs", tmp_path / "runs"]
    output = script(recipe, "--variant", variant, "--seed", 5, "--dry-run", *folders, *(more or ["--cpu"]))
    assert snapshot(tmp_path) == []
    return output


# ------------------------------------------------------------------ the paper's settings


@pytest.mark.parametrize("variant", VARIANTS)
def test_translation_protocol(variant, tmp_path):
    """AdamW 5e-5, linear to 0, no warm-up, weight decay 0, clip 1, 32 sentences, 6 epochs, beam 4, validation set."""
    output = dry_run(OPUS, variant, tmp_path)
    args = trained(output)
    assert args.arch == f"transformer_{variant.replace('-reinit', '')}"
    assert (args.lr, args.lr_scheduler, args.warmup_updates) == ([5e-5], "polynomial_decay", 0)
    assert (args.power, args.end_learning_rate) == (1.0, 0.0)
    assert (args.weight_decay, args.clip_norm, args.adam_betas) == (0.0, 1.0, "(0.9, 0.999)")
    assert (args.criterion, args.dropout, args.attention_dropout) == ("fused_cross_entropy", 0.1, 0.0)
    assert (args.batch_size, args.update_freq, args.max_tokens) == (32, [1], 32 * 512)
    assert args.max_update == int(args.total_num_update) == 6 * 6441  # ceil(206112 / 32)
    assert args.seed == 5
    start = tmp_path / "runs" / "starts" / f"{variant}-seed5.pt"
    start = tmp_path / "data" / "model" / "model.pt" if variant == "baseline" else start
    assert args.finetune_from_model == str(start)
    for subset, words in zip(("valid", "test"), commands(output, "generate")):
        found = options.parse_args_and_arch(options.get_generation_parser(), words)
        assert (found.gen_subset, found.beam, found.lenpen, found.post_process) == (subset, 4, 1, "sentencepiece")
        assert found.path == str(tmp_path / "runs" / f"{variant}-seed5" / "checkpoint_last.pt")
    scored = re.findall(r"-m sacrebleu (\S+) --input (\S+) ", output)
    assert [path.rsplit("data/", 1)[1] for path, _ in scored] == ["text/raw/valid.en", "text/raw/test.en"]
    assert all(path.endswith("hyp.tok") for _, path in scored)


def test_translation_shape(tmp_path):
    """opus-mt's: what import-huggingface gives for its config.json."""
    args = trained(dry_run(OPUS, "baseline", tmp_path))
    for side in ("encoder", "decoder"):
        names = ("layers", "embed_dim", "ffn_embed_dim", "attention_heads", "normalize_before", "learned_pos")
        assert [getattr(args, f"{side}_{name}") for name in names] == [6, 512, 2048, 8, False, False]
    assert (args.activation_fn, args.sinusoidal_positions, args.decoder_start_symbol) == ("swish", "marian", "bos")
    assert args.output_bias
    assert args.share_all_embeddings
    assert not args.no_scale_embedding


@pytest.mark.parametrize("recipe", [OPUS, ROBERTA])
@pytest.mark.parametrize(("variant", "chosen"), [
    ("neuralqkv", ["--neural-start", "reinit"]),
    ("baseline-reinit", ["--reinit", {OPUS: "q,k,out", ROBERTA: "q,k,v"}]),
    ("matched", ["--reinit", {OPUS: "q,k,out", ROBERTA: "q,k,v"}]),
])  # fmt: skip
def test_what_is_drawn_anew(recipe, variant, chosen, tmp_path):
    words = warm_start(dry_run(recipe, variant, tmp_path))
    option, value = chosen
    assert words[words.index(option) + 1] == (value if option == "--neural-start" else value[recipe])
    assert warm_start(dry_run(recipe, "baseline", tmp_path)) == []


def test_a_batch_is_shared_by_the_devices(tmp_path):
    args = trained(dry_run(OPUS, "baseline", tmp_path, "--gpus", 4))
    assert (args.batch_size, args.update_freq) == (8, [1])
    said = script(OPUS, "--dry-run", "--gpus", 5, "--data-dir", tmp_path, "--runs", tmp_path, status=2)
    assert "a batch of 32 sentences cannot be shared by 5 devices" in said


def test_masked_language_model_protocol(tmp_path):
    """AdamW 5e-5, linear to 0 without warm-up, 8 sequences of 512, 15 % masked, 5 epochs."""
    output = dry_run(ROBERTA, "neuralqkv", tmp_path)
    args = trained(output)
    assert (args.arch, args.mask_prob, args.tokens_per_sample) == ("roberta_neuralqkv_base", 0.15, 512)
    assert (args.lr, args.lr_scheduler, args.warmup_updates) == ([5e-5], "polynomial_decay", 0)
    assert (args.weight_decay, args.clip_norm, args.adam_betas) == (0.0, 1.0, "(0.9, 0.999)")
    assert args.max_tokens * args.update_freq[0] == 8 * 512
    assert args.max_update == int(args.total_num_update) == 5 * 230000 // 8
    assert args.finetune_from_model == str(tmp_path / "runs" / "starts" / "neuralqkv-seed5.pt")
    assert f"prepare_wikitext.sh 103 --gpt2-bpe {tmp_path / 'runs' / 'model'} --out {tmp_path / 'data'}" in output


@pytest.mark.parametrize(
    ("recipe", "name"), [(OPUS, "Helsinki-NLP/opus-mt-de-en"), (ROBERTA, "FacebookAI/roberta-base")]
)
def test_a_missing_model_is_said_with_the_way_to_fetch_it(recipe, name, tmp_path):
    folders = ["--data-dir", tmp_path / "data", "--runs", tmp_path / "runs"]
    assert f"huggingface-cli download {name} --local-dir" in script(recipe, *folders, status=2)
    said = script(recipe, "--model", tmp_path / "none", *folders, status=1)
    assert f"no config.json in {tmp_path / 'none'}; fetch the model with: huggingface-cli download {name}" in said
    assert snapshot(tmp_path) == []


@pytest.mark.parametrize(
    ("recipe", "arguments", "message"),
    [
        (OPUS, ["--variant", "best"], "choose one of neuralqkv baseline baseline-reinit matched"),
        (OPUS, ["--model"], "--model needs a value"),
        (ROBERTA, ["--warm-start", "x.pt"], "--warm-start has no meaning here: both come from --model"),
        (ROBERTA, ["--no-such-option"], "unknown option --no-such-option"),
    ],
)
def test_recipes_refuse(recipe, arguments, message):
    assert message in script(recipe, *arguments, status=2)


@pytest.mark.parametrize("recipe", [OPUS, ROBERTA])
def test_what_a_planner_reads(recipe):
    text = (ROOT / recipe).read_text()
    for name in ("VOCABULARY", "TRAIN_TOKENS", "DISK_GB"):
        assert re.search(rf"\b{name}=\d+", text), name
    for option in ("--model", "--variant", "--from", "--data-dir", "--runs", "--max-update", "--table", "--smoke"):
        assert option in script(recipe, "--help")


# ------------------------------------------------------------------ whole runs


@pytest.fixture(scope="module")
def packages():
    for name in ("transformers", "sentencepiece", "tokenizers"):
        pytest.importorskip(name)
    if not pytest.importorskip("transformers").utils.is_torch_available():
        pytest.skip("transformers wants another torch")


def test_smoke_translates_from_raw_text_to_a_score(packages, tmp_path):
    arguments = ["--smoke", "--cpu", "--data-dir", tmp_path / "data", "--runs", tmp_path / "runs"]
    output = script(OPUS, "--variant", "neuralqkv", *arguments)
    assert "finished: 6 updates" in output
    assert len(re.findall(r"^BLEU [\d.]+ \(nrefs:1\|case:mixed\|eff:no\|tok:13a", output, re.M)) == 2
    run = tmp_path / "runs" / "neuralqkv-seed1"
    record = json.loads((tmp_path / "runs" / "starts" / "neuralqkv-seed1.json").read_text())
    drawn = {outcome["name"].split(".")[-3] for outcome in record["parameters"] if outcome["action"] == "initialised"}
    assert drawn == {"q_proj", "k_proj", "out_proj"}
    log = (run / "train.log").read_text()
    assert f"Loaded checkpoint {tmp_path / 'runs' / 'starts' / 'neuralqkv-seed1.pt'} (epoch 1 @ 0 updates)" in log
    for subset in ("valid", "test"):
        score = json.loads((run / f"gen.{subset}" / "score.json").read_text())
        assert score["reference"] == str(tmp_path / "data" / "text" / "raw" / f"{subset}.en")
        assert score["sentences"] == 60
    assert "▁" not in (run / "gen.valid" / "hyp.tok").read_text()
    table = script(OPUS, "--table", "--runs", tmp_path / "runs")
    assert re.search(r"^\| neuralqkv \| 1 \| [\d,]+ \| ", table, re.M)

    parts = ["--model", tmp_path / "data" / "random-model", "--from", tmp_path / "data" / "text" / "raw"]
    again = script("scripts/prepare_opus_mt.sh", *parts, "--out", tmp_path / "data")
    assert re.findall(r": (\w+): up to date", again) == ["model", "encode", "binarise", "record"]


def test_smoke_of_the_masked_language_model(packages, tmp_path):
    arguments = ["--smoke", "--cpu", "--data-dir", tmp_path / "data", "--runs", tmp_path / "runs"]
    output = script(ROBERTA, "--variant", "baseline-reinit", *arguments)
    assert "finished: 6 updates" in output
    assert re.search(r"^\| baseline-reinit \| [\d,]+ \| 1 \| ", output, re.M)
    record = json.loads((tmp_path / "runs" / "starts" / "baseline-reinit-seed1.json").read_text())
    drawn = {outcome["name"].split(".")[-2] for outcome in record["parameters"] if outcome["action"] == "initialised"}
    assert drawn == {"q_proj", "k_proj", "v_proj"}


def test_preparation_names_what_is_missing(tmp_path):
    prepare = "scripts/prepare_opus_mt.sh"
    model, text = tmp_path / "model", tmp_path / "raw"
    model.mkdir()
    for number, name in enumerate(("train", "valid")):
        write_pair(text / name, sentences(5, number))
    assert "which model? Give --model" in script(prepare, "--from", text, status=2)
    assert "which text? Give --from" in script(prepare, "--model", model, status=2)
    assert "--bpe has no meaning here" in script(prepare, "--bpe", 100, status=2)
    arguments = ["--model", model, "--from", text, "--out", tmp_path / "out"]
    assert f"no {model / 'config.json'}; --model takes a folder" in script(prepare, *arguments, status=1)
    for name in ("config.json", "vocab.json", "source.spm", "target.spm"):
        (model / name).write_text("{}")
    assert f"no {text / 'test.de'}; --from takes a folder" in script(prepare, *arguments, status=1)
    write_pair(text / "test", sentences(5, 2))
    assert "the stage 'model' stopped" in script(prepare, *arguments, status=1)
    assert not (tmp_path / "out").exists() or snapshot(tmp_path / "out") == []
