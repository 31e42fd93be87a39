"""Every translation recipe and the quickstart: dry and, with --smoke, from raw text to a score."""

import json
import re
import shlex
from xml.sax.saxutils import escape

import pytest
from fairseq import options
from pipeline_tools import ROOT, script, sentences, snapshot, write_pair
from releases import iwslt14, wmt14, write_unpacked

from fairseq_plugins.models.grid import VARIANTS

#: but the toy corpus's, which takes no text: its setting is the quickstart's
PATHS = sorted(path for path in (ROOT / "examples").glob("*/*.sh") if path.parent.name != "toy")
RECIPES = [str(path.relative_to(ROOT)) for path in PATHS if "\nrecipe_run\n" in path.read_text(encoding="utf-8")]
#: recipe -> the variant of its smoke run: one of each way from a corpus to a score
SMOKE = {
    "examples/attention_is_all_you_need/iwslt14.sh": "pairwise",
    "examples/attention_is_all_you_need/wmt14_en_de_big.sh": "valueaware",
    "examples/neural_qkv/multi30k.sh": "neuralqkv",
    "examples/neural_qkv/opus_shape.sh": "baseline",
}
#: recipe -> the one of its corpus and its way, run above, from which it differs by hyper-parameters
LIKE = {
    "examples/attention_is_all_you_need/iwslt17.sh": "examples/neural_qkv/opus_shape.sh",
    "examples/attention_is_all_you_need/wmt14_en_de_base.sh": "examples/attention_is_all_you_need/wmt14_en_de_big.sh",
    "examples/attention_is_all_you_need/wmt14_en_fr_big.sh": "examples/attention_is_all_you_need/wmt14_en_de_big.sh",
    "examples/neural_qkv/iwslt17.sh": "examples/neural_qkv/opus_shape.sh",
}
#: whether a run translates with an average of checkpoints
AVERAGED = ("opus_shape", "wmt14")
#: the words of a variant come from what all recipes share: one recipe shows all, the others one each
DRY = [(RECIPES[0], "baseline"), (RECIPES[0], "neuralqkv"), (RECIPES[0], "matched")]
DRY += [(recipe, ("baseline", "neuralqkv", "matched")[number % 3]) for number, recipe in enumerate(RECIPES[1:])]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A little text in the official layouts of Multi30k, IWSLT 2014 and 2017 and WMT 2014."""
    folder = tmp_path_factory.mktemp("raw text")
    for seed, (name, count) in enumerate((("train", 250), ("val", 20), ("test_2016_flickr", 21))):
        write_pair(folder / "multi30k" / name, sentences(count, seed))
    iwslt = folder / "iwslt17"
    write_pair(iwslt / "train.tags.de-en", sentences(250, 7))
    for language in ("de", "en"):
        training = iwslt / f"train.tags.de-en.{language}"
        training.write_text(f"<url>x</url>\n<title>A talk & more</title>\n{training.read_text()}", encoding="utf-8")
        for number, name in enumerate(["dev2010", *(f"tst{year}" for year in range(2010, 2016))]):
            pairs = sentences(3 + number, 20 + number)
            lines = [escape(pair[language == "en"]) for pair in pairs]
            segments = "".join(f'<seg id="{index}"> {line} </seg>\n' for index, line in enumerate(lines, start=1))
            kind = "refset" if language == "en" else "srcset"
            (iwslt / f"IWSLT17.TED.{name}.de-en.{language}.xml").write_text(
                f'<?xml version="1.0" encoding="UTF-8"?>\n<mteval>\n<{kind} setid="x" srclang="de" trglang="en">\n'
                f'<doc docid="1" genre="lectures">\n{segments}</doc>\n</{kind}>\n</mteval>\n',
                encoding="utf-8",
            )
    write_unpacked(folder / "iwslt14", {"": iwslt14()})
    for pair in ("en-de", "en-fr"):
        write_unpacked(folder / f"wmt14_{pair.replace('-', '_')}", wmt14(pair))
    return folder


def from_folder(raw, recipe):
    return next((path for path in sorted(raw.iterdir()) if path.name in recipe), raw / "iwslt17")


def target(recipe):
    """Its target language."""
    match = re.search(r"_en_(\w\w)_", recipe)
    return match[1] if match else "en"


def fairseq_commands(output):
    lines = [line for line in output.splitlines() if re.match(r"fairseq-(train|generate) ", line)]
    return [shlex.split(line) for line in lines]


def reference_of(recipe):
    """What its translation is compared with, in the folder of its data."""
    return f"raw/test{'.lower' * ('iwslt14' in recipe)}.{target(recipe)}"


def test_every_recipe_is_run_here():
    assert {*SMOKE, *LIKE} == set(RECIPES)
    assert set(LIKE.values()) <= set(SMOKE)


@pytest.mark.parametrize(("recipe", "variant"), DRY)
def test_dry_run_prints_commands_that_fairseq_takes(recipe, variant, raw, tmp_path):
    arguments = ["--variant", variant, "--seed", 5, "--cpu", "--dry-run", "--from", from_folder(raw, recipe)]
    output = script(recipe, *arguments, "--data-dir", tmp_path / "data", "--runs", tmp_path / "runs")
    train, generate = fairseq_commands(output)
    parsed = options.parse_args_and_arch(options.get_training_parser(), train[1:])
    assert f"transformer_{variant}" in parsed.arch
    assert parsed.seed == 5
    assert parsed.save_dir == str(tmp_path / "runs" / f"{variant}-seed5")
    parsed = options.parse_args_and_arch(options.get_generation_parser(), generate[1:])
    assert (parsed.cpu, parsed.gen_subset) == (True, "test")
    (compared,) = set(re.findall(r" -m sacrebleu (\S+) --input \S+hyp", output))
    assert compared == str(tmp_path / "data" / reference_of(recipe))
    assert ("average-checkpoints " in output) == any(name in recipe for name in AVERAGED)
    assert snapshot(tmp_path) == []


def test_multi30k_is_the_measured_setting(raw, tmp_path):
    arguments = ["--cpu", "--dry-run", "--from", raw / "multi30k", "--data-dir", tmp_path, "--runs", tmp_path]
    train, generate = fairseq_commands(script("examples/neural_qkv/multi30k.sh", *arguments))
    parsed = options.parse_args_and_arch(options.get_training_parser(), train[1:])
    for side in ("encoder", "decoder"):
        shape = [
            getattr(parsed, f"{side}_{name}") for name in ("layers", "embed_dim", "ffn_embed_dim", "attention_heads")
        ]
        assert shape == [3, 128, 256, 4]
    assert parsed.share_all_embeddings
    assert (parsed.lr, parsed.lr_scheduler, parsed.warmup_updates) == ([0.003], "inverse_sqrt", 300)
    assert (parsed.dropout, parsed.weight_decay, parsed.label_smoothing) == (0.1, 0.0001, 0.1)
    assert (parsed.max_tokens, parsed.update_freq, parsed.adam_betas) == (4096, [1], "(0.9, 0.98)")
    assert parsed.max_update == 1000
    parsed = options.parse_args_and_arch(options.get_generation_parser(), generate[1:])
    assert (parsed.beam, parsed.path) == (5, str(tmp_path / "neuralqkv-seed1" / "checkpoint_best.pt"))


@pytest.fixture(scope="module")
def smoked(raw, tmp_path_factory):
    """Where the smoke runs of the recipes go; recipes that share a corpus share its preparation."""
    return tmp_path_factory.mktemp("smoke runs")


@pytest.mark.parametrize(("recipe", "variant"), SMOKE.items())
def test_smoke_goes_from_raw_text_to_a_score(recipe, variant, raw, smoked):
    source = from_folder(raw, recipe)
    folders = ["--from", source, "--data-dir", smoked / f"{source.name} data", "--runs", smoked / recipe.split("/")[-1]]
    arguments = ["--variant", variant, "--smoke", "--cpu", *folders]
    output = script(recipe, *arguments)
    assert "finished: 6 updates" in output
    assert re.search(r"^BLEU [\d.]+ \(nrefs:1\|case:mixed\|eff:no\|tok:13a.* \| chrF2 [\d.]+ \(", output, re.M)
    run = smoked / recipe.split("/")[-1] / f"{variant}-seed1"
    assert f"transformer_{variant}" in json.loads((run / "run.json").read_text())["arch"]
    score = json.loads((run / "gen.test" / "score.json").read_text())
    reference = smoked / f"{source.name} data" / reference_of(recipe)
    assert score["reference"] == str(reference)
    assert score["sentences"] == len(reference.read_text().splitlines())
    assert ("average of 2 checkpoints" in output) == any(name in recipe for name in AVERAGED)

    if "multi30k" in recipe or "opus_shape" in recipe:
        # a second call goes through what is there
        again = script(recipe, *arguments, "--resume")
        assert "is finished (6 updates); nothing to do" in again
        assert f"{run}/gen.test is there already" in again
        assert "is not empty; add --resume" in script(recipe, *arguments, status=1)

    if "multi30k" in recipe:
        runs = run.parent
        assert re.search(r"^\| neuralqkv \| 1 \| [\d,]+ \| ", script(recipe, "--table", "--runs", runs), re.M)
        assert json.loads((runs / "table.json").read_text())["baseline"] == "neuralqkv"
        assert "no finished run in" in script(recipe, "--table", "--runs", runs / "none", status=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--variant", "best"], "--variant best: choose one of "),
        (["--no-such-option"], "unknown option --no-such-option"),
        (["--seed"], "--seed needs a value"),
    ],
)
def test_recipes_refuse(arguments, message):
    for recipe in RECIPES:
        assert message in script(recipe, *arguments, status=2)


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if "attention_is_all_you_need" in recipe])
def test_the_grid_says_which_variants_there_are(recipe):
    assert f"choose one of {' '.join(VARIANTS)}\n" in script(recipe, "--variant", "best", status=2)


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_help(recipe):
    text = script(recipe, "--help")
    for option in ("--variant", "--from", "--data-dir", "--runs", "--max-update", "--table", "--smoke", "--resume"):
        assert option in text


def test_quickstart_dry_run(tmp_path):
    folders = ["--data-dir", tmp_path / "data", "--runs", tmp_path / "runs"]
    output = script("scripts/quickstart.sh", "--dry-run", "--cpu", *folders)
    names = [command[0] for command in fairseq_commands(output)]
    assert names == ["fairseq-train", "fairseq-train", "fairseq-generate", "fairseq-generate"]
    parsed = [
        options.parse_args_and_arch(options.get_training_parser(), command[1:])
        for command in fairseq_commands(output)[:2]
    ]
    assert [args.arch for args in parsed] == ["transformer_baseline_tiny", "transformer_neuralqkv_tiny"]
    assert snapshot(tmp_path) == []
    assert "--from is for --data multi30k" in script("scripts/quickstart.sh", "--from", tmp_path, status=2)
    assert "choose toy or multi30k" in script("scripts/quickstart.sh", "--data", "wmt", status=2)


def test_quickstart_smoke_and_again(tmp_path):
    arguments = ["--smoke", "--cpu", "--data-dir", tmp_path / "toy data", "--runs", tmp_path / "toy runs"]
    output = script("scripts/quickstart.sh", *arguments)
    reference = (tmp_path / "toy data" / "raw" / "test.en").read_text().splitlines()
    for variant in ("baseline", "neuralqkv"):
        assert re.search(rf"^\| {variant} \| 1 \| [\d,]+ \| [\d.]+ \| [\d.]+ \|", output, re.M)
        assert len(re.findall(rf"^{variant} {{2,}}", output, re.M)) == 4
        hypotheses = (tmp_path / "toy runs" / f"{variant}-seed1" / "gen.test" / "hyp.detok.en").read_text()
        assert len(hypotheses.splitlines()) == len(reference) == 60
    shown = re.findall(r"^reference +(.+)$", output, re.M)
    assert len(shown) == 4
    assert set(shown) <= set(reference)
    assert r"BLEU: nrefs:1\|case:mixed\|eff:no\|tok:13a" in output
    page = tmp_path / "toy runs" / "page" / "report.html"
    (told,) = re.findall(r"^The page of this comparison: (.+)$", output, re.M)
    assert shlex.split(told) == [str(page)]
    text = page.read_text(encoding="utf-8")
    for said in (output, text):
        assert "No test of neuralqkv against baseline: one seed says nothing of what other seeds would give" in said
    assert output.rstrip().splitlines()[-1].startswith("Next: ")

    # what a stop leaves: the second model trained but its translation not begun
    translation = tmp_path / "toy runs" / "neuralqkv-seed1" / "gen.test"
    for path in translation.iterdir():
        path.unlink()
    translation.rmdir()
    again = script("scripts/quickstart.sh", *arguments)
    for variant in ("baseline", "neuralqkv"):
        assert f"{variant}-seed1 is finished (6 updates); nothing to do" in again
    assert "baseline-seed1/gen.test is there already" in again
    assert again.count("60 sentences in") == 1
    assert shown == re.findall(r"^reference +(.+)$", again, re.M)
