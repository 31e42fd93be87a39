"""scripts/prepare_treebank.sh and examples/attention_is_all_you_need/parsing.sh: from trees to F1."""

import json
import re
import shlex
import statistics

import pytest
from fairseq import options
from fairseq.data import Dictionary
from pipeline_tools import script, snapshot
from treebank_files import command, write

from fairseq_plugins import cli
from fairseq_plugins.commands import parse_score
from fairseq_plugins.models.grid import VARIANTS
from fairseq_plugins.parsing.linearise import linearise, simplify
from fairseq_plugins.parsing.toy import generate
from fairseq_plugins.parsing.trees import bracketed, read_tree_lines, words

PREPARE = "scripts/prepare_treebank.sh"
RECIPE = "examples/attention_is_all_you_need/parsing.sh"


@pytest.fixture(scope="module")
def treebank(tmp_path_factory):
    path = tmp_path_factory.mktemp("the treebank") / "toy.mrg"
    write(path, generate(3, 120))
    return path


# ------------------------------------------------------------------ preparation


def test_preparation_with_subwords(treebank, tmp_path):
    out = tmp_path / "out"
    arguments = ["--from", treebank, "--out", out, "--valid", 20, "--test", 20, "--bpe", 60]
    dry = script(PREPARE, *arguments, "--dry-run")
    assert "subword-nmt learn-bpe -s 60" in dry
    assert snapshot(tmp_path) == []
    output = script(PREPARE, *arguments)
    assert "train: 80 trees (trees 1-80)" in output
    assert sorted(path.name for path in out.iterdir()) == [".stamps", "bin", "bpe", "bpe.codes", "raw"]
    for split in ("train", "valid", "test"):
        subwords = (out / "bpe" / f"{split}.words").read_text()
        assert "@@ " in subwords
        assert subwords.replace("@@ ", "") == (out / "raw" / f"{split}.words").read_text()
    target = Dictionary.load(str(out / "bin" / "dict.brackets.txt"))
    tokens = {token for line in (out / "raw" / "train.brackets").read_text().split("\n") for token in line.split()}
    assert {"XX", "(NP", ")NP"} <= tokens <= set(target.symbols)

    again = script(PREPARE, *arguments)
    assert again.count("up to date") == 4
    assert "start" not in again
    # a damaged file is made again, and with other sizes of the splits everything
    (out / "bpe.codes").write_text("#version: 0.2\n")
    changed = script(PREPARE, *arguments)
    assert re.findall(r"(\w+): start", changed) == ["codes"]
    assert re.findall(r"(\w+): start", script(PREPARE, *arguments, "--test", 21)) == ["raw", "codes", "bpe", "binarise"]


def test_preparation_with_words(treebank, tmp_path):
    out = tmp_path / "out"
    script(PREPARE, "--from", treebank, "--out", out, "--valid", 20, "--test", 20, "--vocab", 25)
    assert sorted(path.name for path in out.iterdir()) == [".stamps", "bin", "raw"]
    counted = {}
    for word in (out / "raw" / "train.words").read_text().split():
        counted[word] = counted.get(word, 0) + 1
    known = [word for word in Dictionary.load(str(out / "bin" / "dict.words.txt")).symbols if word in counted]
    assert len(known) == 25
    assert min(counted[word] for word in known) >= max(counted[word] for word in counted if word not in known)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "where is the treebank? Give --from: it is licensed"),
        (["--from", "none"], 1, "--from none does not exist"),
        (["--from", "."], 1, "no bracketed files"),
        (["--from", "TOY", "--test", "200"], 1, "120 trees are too few"),
        (["--from", "TOY", "--bpe", "no"], 2, "--bpe takes a whole number from 1, not 'no'"),
        (["--from", "TOY", "--source-lang", "en"], 2, "--source-lang has no meaning here"),
    ],
)
def test_preparation_refuses(arguments, status, message, treebank, tmp_path):
    arguments = [str(treebank) if word == "TOY" else word for word in arguments]
    output = script(PREPARE, *arguments, "--out", tmp_path / "out", cwd=tmp_path, status=status)
    assert message in output
    assert "Traceback" not in output
    assert snapshot(tmp_path) == []


def test_preparation_smoke(tmp_path):
    output = script(PREPARE, "--smoke", "--out", tmp_path / "out")
    assert "train: 200 trees" in output
    assert len(read_tree_lines(tmp_path / "out" / "raw" / "test.trees")) == 30
    assert script(PREPARE, "--smoke", "--out", tmp_path / "out").count("up to date") == 3


# ------------------------------------------------------------------ recipe


def commands(output):
    lines = [line for line in output.splitlines() if re.match(r"fairseq-(train|generate) ", line)]
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize(
    ("size", "variant"), [(("paper", "sample")[number % 2], variant) for number, variant in enumerate(VARIANTS)]
)
def test_dry_run_prints_commands_that_fairseq_takes(size, variant, treebank, tmp_path):
    folders = ["--data-dir", tmp_path / "data", "--runs", tmp_path / "runs"]
    arguments = ["--size", size, "--variant", variant, "--from", treebank, "--seed", 5, "--cpu", "--dry-run"]
    output = script(RECIPE, *arguments, *folders)
    train, generate = commands(output)
    parsed = options.parse_args_and_arch(options.get_training_parser(), train[1:])
    assert parsed.arch.startswith(f"transformer_{variant}")
    assert (parsed.seed, parsed.save_dir) == (5, str(tmp_path / "runs" / f"{variant}-seed5"))
    search = options.parse_args_and_arch(options.get_generation_parser(), generate[1:])
    assert (search.beam, search.lenpen, search.max_len_a, search.max_len_b) == (21, 0.3, 1, 300)
    assert "parse-score" in output
    assert snapshot(tmp_path) == []


def test_the_paper(treebank, tmp_path):
    """Section 6.3 and table 3's base: 4 layers, d = 1024, feed-forward 2048, 8 heads, the schedule of equation 3."""
    arguments = ["--from", treebank, "--gpus", 1, "--dry-run", "--data-dir", tmp_path, "--runs", tmp_path]
    output = script(RECIPE, *arguments)
    parsed = options.parse_args_and_arch(options.get_training_parser(), commands(output)[0][1:])
    for side in ("encoder", "decoder"):
        names = ("layers", "embed_dim", "ffn_embed_dim", "attention_heads")
        assert [getattr(parsed, f"{side}_{name}") for name in names] == [4, 1024, 2048, 8]
    assert parsed.lr == [pytest.approx(1024**-0.5 * 4000**-0.5, rel=1e-3)]
    assert (parsed.lr_scheduler, parsed.warmup_updates) == ("inverse_sqrt", 4000)
    assert (parsed.adam_betas, parsed.adam_eps, parsed.label_smoothing) == ("(0.9, 0.98)", 1e-9, 0.1)
    assert parsed.max_tokens * parsed.update_freq[0] == pytest.approx(25_000, rel=0.01)
    assert "--nwordssrc 16004" in output


@pytest.mark.parametrize(("variant", "size"), [("baseline", "sample"), ("valueaware", "paper")])
def test_smoke_goes_from_trees_to_f1(variant, size, smoked):
    """A variant without options of its own and one with, with a checkpoint as it is and with an average."""
    runs = smoked / "runs" / size
    arguments = ["--smoke", "--cpu", "--size", size, "--data-dir", smoked / "data", "--runs", runs]
    own = ["--", "--attention-r", 2] if variant == "valueaware" else []  # its search takes longer for more keys
    output = script(RECIPE, *arguments, "--variant", variant, *own)
    assert "finished: 6 updates" in output
    assert re.search(r"^F1 [\d.]+ \| recall .* \| repaired \d+ of 30 sentences", output, re.M)
    assert ("average of 2 checkpoints" in output) == (size == "paper")
    run = runs / f"{variant}-seed1"
    score = json.loads((run / "gen.test" / "evalb.json").read_text())
    gold = read_tree_lines(smoked / "data" / "raw" / "test.trees")
    parsed = read_tree_lines(run / "gen.test" / "test.parsed")
    assert [words(tree) for tree in parsed] == [words(tree) for tree in gold]
    assert score["gold"] == str(smoked / "data" / "raw" / "test.trees")
    assert score["all"]["sentences"] == 30

    if variant == "baseline":
        again = script(RECIPE, *arguments, "--resume")
        assert "is finished (6 updates); nothing to do" in again
        assert f"{run}/gen.test is there already" in again
        assert "is not empty; add --resume" in script(RECIPE, *arguments, status=1)
        assert "| 1 |" in script(RECIPE, "--table", "--size", size, "--runs", runs)


@pytest.fixture(scope="module")
def smoked(tmp_path_factory):
    return tmp_path_factory.mktemp("smoke runs")


def test_table(tmp_path):
    """Two seeds of one model as one row: means and deviations of what parse-score writes."""
    trees = [simplify(tree) for tree in generate(9, 4)]
    (tmp_path / "test.trees").write_text("".join(f"{bracketed(tree)}\n" for tree in trees))
    whole = [" ".join(linearise(tree)) for tree in trees]
    scores = []
    for seed, lines in ((1, whole), (2, whole[1:] + whole[:1])):
        run = tmp_path / f"baseline-seed{seed}"
        (run / "gen.test").mkdir(parents=True)
        (run / "run.json").write_text(json.dumps({"arch": "transformer_baseline", "seed": str(seed)}))
        (run / "done").write_text(json.dumps({"updates": 6, "seconds": 90.0}))
        (run / "train.log").write_text(
            "num. shared model params: 20,800 (num. trained: 20,800)\n"
            '2024-01-01 00:00:00 | INFO | valid | {"valid_num_updates": "6", "valid_loss": "2"}\n'
        )
        (run / "gen.test" / "hyp.tok").write_text("".join(f"{line}\n" for line in lines))
        arguments = [tmp_path / "test.trees", run / "gen.test" / "hyp.tok", "--json", run / "gen.test" / "evalb.json"]
        assert cli.main(["parse-score", *map(str, arguments)]) == 0
        scores.append(json.loads((run / "gen.test" / "evalb.json").read_text()))
    output = script(RECIPE, "--size", "sample", "--table", "--runs", tmp_path)
    columns = [[score["all"][name] for score in scores] for name in ("f1", "recall", "precision", "complete match")]
    columns.append([score["short"]["f1"] for score in scores])
    assert columns[0][0] == 100 > columns[0][1]
    cells = [f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}" for values in columns]
    assert f"| baseline | 2 | 20,800 | {' | '.join(cells)} | 1.386 ± 0.000 |" in output
    repaired = [score["repaired"]["sentences"] for score in scores]
    assert repaired[1] > repaired[0] == 0
    assert (
        f"- baseline: {statistics.mean(repaired):.1f} ± {statistics.stdev(repaired):.1f} of 4 sentences were" in output
    )
    table = json.loads((tmp_path / "table.json").read_text())
    assert table["variants"][0]["scores"]["F1"]["per_seed"] == pytest.approx(columns[0])
    assert (tmp_path / "table.csv").read_text().count("\n") == 1 + 2 * 5
    (tmp_path / "baseline-seed2" / "gen.test" / "evalb.json").write_text("{")
    assert "baseline-seed2/gen.test/evalb.json is damaged" in script(RECIPE, "--table", "--runs", tmp_path, status=1)
    assert "no finished run in" in script(RECIPE, "--table", "--runs", tmp_path / "none", status=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "huge"], "--size huge: choose paper or sample"),
        (["--size"], "--size needs a value"),
        (["--variant", "best"], f"choose one of {' '.join(VARIANTS)}"),
        (["--cpu", "--data-dir", "none"], "where is the treebank? Give --from"),
    ],
)
def test_recipe_refuses(arguments, message, tmp_path):
    assert message in script(RECIPE, *arguments, status=2, cwd=tmp_path)


def test_score_of_trees_and_of_sequences(tmp_path):
    """parse-score: gold against gold, and what is wrong with files."""
    trees = [simplify(tree) for tree in generate(5, 20)]
    gold, hypotheses = tmp_path / "gold", tmp_path / "hyp.tok"
    gold.write_text("".join(f"{bracketed(tree)}\n" for tree in trees))
    hypotheses.write_text("".join(f"{' '.join(linearise(tree))}\n" for tree in trees))
    outputs = ["--json", tmp_path / "score.json", "--trees", tmp_path / "parsed"]
    assert command(parse_score, gold, hypotheses, *outputs) == 0
    score = json.loads((tmp_path / "score.json").read_text())
    assert (score["all"]["f1"], score["repaired"]) == (100, {"sentences": 0, "kinds": {}})
    assert (tmp_path / "parsed").read_text() == gold.read_text()
    assert command(parse_score, gold, tmp_path / "parsed", "--bracketed") == 0

    # a hypothesis may be empty, even all of them
    hypotheses.write_text("\n" * 20)
    assert command(parse_score, gold, hypotheses, *outputs) == 0
    score = json.loads((tmp_path / "score.json").read_text())
    assert (score["all"]["f1"], score["repaired"]["sentences"]) == (0, 20)
    assert score["repaired"]["kinds"]["no single root"] == {"times": 20, "sentences": 20}
    hypotheses.write_text("\n" * 19)
    assert command(parse_score, gold, hypotheses) == 1
    assert command(parse_score, gold, tmp_path / "none") == 1
