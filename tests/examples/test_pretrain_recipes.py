"""The masked-LM recipes: their commands against the papers' settings, and whole runs with --smoke."""

import json
import math
import re
import shlex

import pytest
from fairseq import options, tasks
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from pipeline_tools import ROOT, parameters, script, snapshot
from running import forked

pytest.importorskip("tokenizers")

#: recipe -> the variants that it offers, its default first
RECIPES = {
    "examples/symmetric_attention/pretrain_small.sh": ["pairwise", "baseline", "symmetric"],
    "examples/symmetric_attention/pretrain_base.sh": ["pairwise", "baseline", "symmetric"],
    "examples/symmetric_attention/wikitext2.sh": ["pairwise", "baseline", "symmetric", "neuralqkv", "matched"],
    "examples/neural_qkv/roberta_wikitext103.sh": ["neuralqkv", "baseline", "matched"],
}
WIKITEXT2 = "examples/symmetric_attention/wikitext2.sh"
ROBERTA = "examples/neural_qkv/roberta_wikitext103.sh"
LOSS_ROW = re.compile(r"^\| (\w+) \| ([\d,]+) \| 1 \| ([\d.]+) \| ([\d.]+) \|", re.M)


def training_words(output):
    """The options of the training command that a dry run prints; several devices have it started by torchrun."""
    return shlex.split(re.search(r"^(?:\S*python\S* .*)?\bfairseq-train (.*)$", output, re.M)[1])


def trained(output):
    """fairseq's own reading of them."""
    return options.parse_args_and_arch(options.get_training_parser(), training_words(output))


def dry_run(recipe, *arguments, data):
    return trained(script(recipe, "--dry-run", "--data-dir", data / "bin", *arguments))


def test_every_recipe_is_run_here():
    paths = (ROOT / "examples").glob("*/*.sh")
    found = {str(path.relative_to(ROOT)) for path in paths if "pretrain_lib.sh" in path.read_text()}
    elsewhere = ("value_aware/", "roberta_base.sh")  # test_mixing_recipes.py, test_opus_mt_recipe.py
    assert set(RECIPES) == {path for path in found if not any(name in path for name in elsewhere)}


# ------------------------------------------------------------------ settings


@pytest.mark.parametrize(("size", "layers", "width"), [("small", 4, 512), ("base", 12, 768)])
def test_symmetric_papers_pretraining(size, layers, width, data, tmp_path):
    """256 sequences of 512, 200k updates, AdamW 0.9/0.999, 1e-4 after 10k updates, linear decay, dropout 0.1, fp16."""
    recipe = f"examples/symmetric_attention/pretrain_{size}.sh"
    for gpus in (1, 8):
        args = dry_run(recipe, "--gpus", gpus, "--runs", tmp_path / "runs", data=data)
        assert args.max_tokens * args.update_freq[0] * gpus == 256 * 512
        assert args.max_tokens % (8 * 512) == 0
    assert args.arch == f"roberta_pairwise_{size}"
    assert (args.encoder_layers, args.encoder_embed_dim, args.encoder_ffn_embed_dim) == (layers, width, 4 * width)
    assert (args.tokens_per_sample, args.max_positions, args.mask_prob) == (512, 512, 0.15)
    assert (args.optimizer, args.adam_betas, args.adam_eps, args.weight_decay) == ("adam", "(0.9, 0.999)", 1e-12, 0.01)
    assert (args.lr, args.lr_scheduler, args.warmup_updates) == ([1e-4], "polynomial_decay", 10_000)
    assert (args.max_update, float(args.total_num_update), args.end_learning_rate, args.power) == (200_000, 2e5, 0, 1)
    assert (args.dropout, args.attention_dropout, args.clip_norm, args.fp16) == (0.1, 0.1, 1.0, True)
    assert args.save_dir == str(tmp_path / "runs" / "pairwise-seed1")
    args = dry_run(recipe, "--gpus", 1, "--", "--bf16", data=data)
    assert (args.fp16, args.bf16) == (False, True)
    args = dry_run(recipe, "--gpus", 1, "--preset", "fast-bf16", data=data)
    assert (args.fp16, args.criterion) == (False, "autocast_masked_lm")
    args = dry_run(recipe, "--cpu", "--max-update", 700, data=data)
    assert not args.fp16
    assert (args.max_update, float(args.total_num_update)) == (700, 700)
    assert snapshot(tmp_path) == []


def test_neural_qkv_papers_protocol(data):
    """Batches of 8 sequences of 512, 5 epochs, AdamW, lr 5e-5, linear decay, no warm-up, no weight decay, clip 1."""
    args = dry_run(ROBERTA, "--gpus", 1, "--variant", "matched", data=data)
    assert (args.arch, args.encoder_layers, args.encoder_embed_dim) == ("roberta_matched_base", 12, 768)
    assert (args.max_tokens, args.update_freq, args.tokens_per_sample) == (8 * 512, [1], 512)
    assert (args.lr, args.lr_scheduler, args.warmup_updates) == ([5e-5], "polynomial_decay", 0)
    assert (args.optimizer, args.adam_betas, args.adam_eps, args.weight_decay) == ("adam", "(0.9, 0.999)", 1e-8, 0.0)
    assert (args.clip_norm, args.mask_prob) == (1.0, 0.15)
    # five epochs as fairseq itself cuts them into batches
    task = tasks.setup_task(convert_namespace_to_omegaconf(args).task)
    task.load_dataset("train")
    batches = task.get_batch_iterator(
        task.dataset("train"), max_tokens=args.max_tokens, required_batch_size_multiple=8, max_positions=512
    )
    assert args.max_update == float(args.total_num_update) == 5 * len(batches)


@pytest.mark.parametrize("recipe", RECIPES)
def test_variants_and_seeds(recipe, data, tmp_path):
    default, *others = RECIPES[recipe]
    assert f"roberta_{default}_" in dry_run(recipe, "--cpu", "--max-update", 9, data=data).arch
    for seed, variant in enumerate(others, start=2):
        options = ["--variant", variant, "--seed", seed, "--runs", tmp_path, "--max-update", 9]
        args = dry_run(recipe, "--cpu", *options, data=data)
        assert f"roberta_{variant}_" in args.arch
        assert args.seed == seed
        assert args.save_dir == str(tmp_path / f"{variant}-seed{seed}")
        assert (args.task, args.criterion, args.sample_break_mode) == ("masked_lm", "masked_lm", "none")
        assert args.max_update == float(args.total_num_update) == 9
    message = script(recipe, "--variant", "best", status=2)
    assert f"--variant best: choose one of {' '.join(RECIPES[recipe])}" in message


def test_from_raw_text(tmp_path):
    """Without prepared data the recipe prepares its own, and says so under --dry-run."""
    folders = ["--data-dir", tmp_path / "data", "--runs", tmp_path / "runs", "--cpu", "--dry-run"]
    for number, recipe in ((2, WIKITEXT2), (103, ROBERTA)):
        output = script(recipe, *folders)
        assert f"wikitext-{number}-raw-v1.zip" in output
        assert f"--size {4096 if number == 2 else 50257} " in output
        assert trained(output).data == str(tmp_path / "data" / "bin")
    # the last one's length follows from data that is not there yet
    assert "the data, once they are there, say it exactly" in output
    assert snapshot(tmp_path) == []


# ------------------------------------------------------------------ whole runs


@pytest.fixture(scope="module")
def smoked(data, tmp_path_factory):
    """A finished smoke run of a neural model, and the text of it."""
    runs = tmp_path_factory.mktemp("smoke runs") / "roberta"
    return runs, script(ROBERTA, "--smoke", "--cpu", "--data-dir", data, "--runs", runs)


def test_smoke_ends_in_a_perplexity(smoked):
    runs, output = smoked
    assert "finished: 6 updates" in output
    variant, _, loss, perplexity = LOSS_ROW.search(output).groups()
    assert variant == "neuralqkv"
    assert math.exp(float(loss)) == pytest.approx(float(perplexity), rel=1e-3)
    # fairseq says the same in bits
    log = (runs / "neuralqkv-seed1" / "train.log").read_text()
    bits = [float(found) for found in re.findall(r'"valid_loss": "([\d.]+)"', log)]
    perplexities = [float(found) for found in re.findall(r'"valid_ppl": "([\d.]+)"', log)]
    assert len(bits) == 2
    assert min(bits) * math.log(2) == pytest.approx(float(loss), abs=1e-3)
    assert min(perplexities) == pytest.approx(float(perplexity), rel=1e-3)


def test_table_and_resume(smoked, data):
    runs, _ = smoked
    output = script(ROBERTA, "--smoke", "--cpu", "--data-dir", data, "--runs", runs, "--resume")
    assert "is finished (6 updates); nothing to do" in output
    assert output.count("up to date") == 5
    assert "loss at 3 | loss at 6 |" in script(ROBERTA, "--table", "--runs", runs)
    assert [row["name"] for row in json.loads((runs / "table.json").read_text())["rows"]] == ["neuralqkv"]
    assert len((runs / "table.csv").read_text().splitlines()) == 3
    assert "no finished run in" in script(ROBERTA, "--table", "--runs", runs / "none", status=1)


def losses_of(folder):
    return re.findall(r'"valid_loss": "([\d.]+)"', (folder / "train.log").read_text())


def test_warm_start_takes_the_weights_alone(smoked, data, tmp_path):
    """On a folder of other text: with frozen weights, the loss is the checkpoint's from the first update on."""
    warm = smoked[0] / "neuralqkv-seed1" / "checkpoint_last.pt"
    arguments = ["--smoke", "--cpu", "--data-dir", data / "bin", "--runs", tmp_path, "--warm-start", warm]
    output = script(ROBERTA, *arguments, "--", "--lr", 0)
    assert "prepare_wikitext.sh" not in output
    run = tmp_path / "neuralqkv-seed1"
    assert losses_of(run) == [losses_of(warm.parent)[-1]] * 2
    assert f"Loaded checkpoint {warm} (epoch 1 @ 0 updates)" in (run / "train.log").read_text()

    # a run whose last checkpoints are lost goes on from its own, not from the warm start
    (run / "done").unlink()
    for name in ("checkpoint_last.pt", "checkpoint_best.pt", "checkpoint_1_6.pt"):
        (run / name).write_bytes(b"damaged")
    output = script(ROBERTA, *arguments, "--resume", "--", "--lr", 0)
    assert re.search(r"going on from \S+checkpoint_1_3\.pt \(3 updates\)", output)
    assert "finished: 6 updates" in output


def test_pretrained_becomes_the_variant_of_the_run(smoked, data, tmp_path):
    """Wider feed-forward layers begin without effect: with frozen weights the loss stays the pretrained model's."""
    pretrained = smoked[0] / "neuralqkv-seed1" / "checkpoint_last.pt"
    arguments = ["--cpu", "--data-dir", data / "bin", "--runs", tmp_path, "--pretrained", pretrained]
    for variant, how in (("neuralqkv-reinit", "--neural-start reinit"), ("baseline-reinit", "--reinit q,k,v")):
        output = script(ROBERTA, *arguments, "--variant", variant, "--max-update", 9, "--dry-run")
        assert f" {how} " in next(line for line in output.splitlines() if " warm-start " in line)
        args = trained(output)
        assert args.arch == f"roberta_{variant.removesuffix('-reinit')}_base"
        assert args.finetune_from_model == str(tmp_path / "starts" / f"{variant}-seed1.pt")
    script(ROBERTA, *arguments, "--smoke", "--name", "wide", "--", "--lr", 0, "--encoder-ffn-embed-dim", 80)
    run = tmp_path / "wide-seed1"
    assert losses_of(run) == [losses_of(pretrained.parent)[-1]] * 2
    weights = parameters(run / "checkpoint_last.pt")
    assert {len(weight) for name, weight in weights.items() if name.endswith("fc1.weight")} == {80}


def test_masks_of_training_change_and_those_of_validation_do_not(data, tmp_path):
    """A recipe's command with frozen weights: whatever changes from epoch to epoch is the masks."""
    output = script(WIKITEXT2, "--smoke", "--cpu", "--dry-run", "--data-dir", data / "bin", "--runs", tmp_path)
    frozen = ["--lr", 0, "--dropout", 0, "--attention-dropout", 0, "--max-update", 0, "--max-epoch", 3]
    log = forked("train", *training_words(output), *frozen, "--max-tokens", 4800, "--no-save")
    valid, train = (re.findall(rf'"{split}_loss": "([\d.]+)"', log) for split in ("valid", "train"))
    assert len(train) == 3
    assert len(set(train)) > 1
    assert len(valid) > 3
    assert len(set(valid)) == 1


# ------------------------------------------------------------------ what users get wrong


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--warm-start", "x.pt"], 2, "--warm-start needs data in the checkpoint's own dictionary"),
        (["--warm-start", "x.pt", "--data-dir", "y"], 1, "no checkpoint x.pt; make it with fairseq-plugins warm-start"),
        (["--variant", "neuralqkv-reinit"], 2, "--variant neuralqkv-reinit: choose one of"),
        (["--pretrained", "x.pt"], 1, "no checkpoint x.pt; give one with --pretrained FILE"),
        (["--pretrained", ROOT / "README.md", "--warm-start", "x.pt"], 2, "--pretrained and --warm-start: give one"),
        (["--gpt2-bpe"], 2, "--gpt2-bpe needs a value"),
        (["--variant"], 2, "--variant needs a value"),
        (["--no-such-option"], 2, "unknown option --no-such-option"),
    ],
)
def test_recipes_refuse(arguments, status, message):
    assert message in script(ROBERTA, *arguments, status=status)


def test_text_is_not_prepared_into_a_bin_folder(data):
    arguments = ["--data-dir", data / "bin", "--from", data / "raw", "--dry-run"]
    assert f"{data / 'bin'} is prepared data already" in script(WIKITEXT2, *arguments, status=2)


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_help(recipe):
    text = script(recipe, "--help")
    for option in ("--variant", "--from", "--data-dir", "--gpt2-bpe", "--runs", "--max-update", "--warm-start"):
        assert option in text
    for option in ("--table", "--smoke", "--resume", "--gpus", "--seed", "Examples:"):
        assert option in text
