"""Prepared tasks against fairseq's own encoder, fairseq-preprocess and task, and Hugging Face's tokenizers."""

import json
import subprocess
from types import SimpleNamespace

import pytest
from fairseq.data.encoders.gpt2_bpe import GPT2BPE
from fairseq.tasks.sentence_prediction import SentencePredictionConfig, SentencePredictionTask
from running import forked

from fairseq_plugins import cli
from fairseq_plugins.glue import binarise
from fairseq_plugins.glue.binarise import prepare_task, truncate
from fairseq_plugins.glue.readers import find_file, read_examples
from fairseq_plugins.glue.tasks import TASKS
from fairseq_plugins.lines import CorpusError


def fairseq_task(data, regression=False):
    """fairseq's own task on prepared data, as the fine-tuning sets it up."""
    cfg = SentencePredictionConfig(data=str(data), num_classes=2, init_token=0, separator_token=2, seed=1)
    cfg.regression_target, cfg.classification_head_name = regression, "head"
    if regression:
        cfg.num_classes = 1
    return SentencePredictionTask.setup_task(cfg)


def sizes_in(data, subset, regression=False):
    """The tokens of each example as fairseq counts them."""
    return fairseq_task(data, regression).load_dataset(subset).sizes[0]


@pytest.mark.parametrize("name", ["CoLA", "MNLI"])
def test_same_files_as_fairseq_makes(name, toy, tmp_path):
    """Its GPT-2 encoder and fairseq-preprocess on the same texts, with the classes in our order."""
    task = TASKS[name]
    encoder = GPT2BPE(SimpleNamespace(gpt2_encoder_json=toy.bpe / "encoder.json", gpt2_vocab_bpe=toy.bpe / "vocab.bpe"))
    classes = tmp_path / "classes.txt"
    classes.write_text("".join(f"{label} 1\n" for label in task.classes))
    for part in [*(f"input{number}" for number in range(len(task.texts))), "label"]:
        for subset, stem in task.sets.items():
            rows = read_examples(task, find_file(toy.glue / name, stem)).rows
            texts = [row.label if part == "label" else encoder.encode(row.texts[int(part[-1])]) for row in rows]
            (tmp_path / f"{subset}.{part}").write_text("".join(f"{text}\n" for text in texts))
        valid = ",".join(str(tmp_path / f"{subset}.{part}") for subset in task.sets if subset != "train")
        forked(
            *("preprocess", "--only-source", "--trainpref", tmp_path / f"train.{part}", "--validpref", valid),
            *("--srcdict", classes if part == "label" else toy.dict, "--destdir", tmp_path / part),
        )
        made = {path.name: path for path in (tmp_path / part).iterdir() if path.name != "preprocess.log"}
        ours = {path.name: path for path in (toy.data / f"{name}-bin" / part).iterdir()}
        assert set(made) == set(ours)
        for file, path in made.items():
            assert path.read_bytes() == ours[file].read_bytes(), f"{part}/{file}"


def test_fairseqs_task_reads_labels_by_their_names(toy):
    task = fairseq_task(toy.data / "MNLI-bin")
    for subset, stem in TASKS["MNLI"].sets.items():
        dataset = task.load_dataset(subset)
        rows = read_examples(TASKS["MNLI"], find_file(toy.glue / "MNLI", stem)).rows
        assert len(dataset) == len(rows)
        for index in range(len(dataset)):
            item = dataset[index]
            label = TASKS["MNLI"].classes.index(rows[item["id"]].label)
            assert item["target"].tolist() == [label]
    # <s> a </s> </s> b </s>
    tokens = dataset[0]["net_input.src_tokens"].tolist()
    assert (tokens[0], tokens[-1], tokens.count(2)) == (0, 2, 3)


def test_scores_of_sts_b_are_divided_as_in_fairseqs_recipe(toy, tmp_path):
    rows = read_examples(TASKS["STS-B"], find_file(toy.glue / "STS-B", "train")).rows
    (tmp_path / "labels").write_text("".join(f"{row.label}\n" for row in rows))
    awk = subprocess.run(["awk", "{print $1 / 5.0 }", tmp_path / "labels"], capture_output=True, text=True, check=True)
    assert (toy.data / "STS-B-bin" / "label" / "train.label").read_text() == awk.stdout
    targets = fairseq_task(toy.data / "STS-B-bin", regression=True).load_dataset("train")
    assert [targets[i]["target"] for i in range(3)] == [[float(rows[targets[i]["id"]].label) / 5] for i in range(3)]


def test_what_is_counted_is_what_fairseq_loads(toy):
    for name in ("CoLA", "STS-B", "MNLI"):
        record = json.loads((toy.data / f"{name}-bin" / "task.json").read_text())
        for subset, counts in record["sets"].items():
            sizes = sizes_in(toy.data / f"{name}-bin", subset, regression=name == "STS-B")
            assert (counts["rows"], counts["tokens"], counts["longest"]) == (len(sizes), sum(sizes), max(sizes))
            assert (counts["unknown"], counts["truncated"], counts["dropped"]) == (0, 0, [])


def test_long_examples_are_cut(toy, tmp_path):
    for name in ("CoLA", "STS-B"):
        record = prepare_task(TASKS[name], toy.glue / name, tmp_path / name, toy.bpe, toy.dict, max_length=30)
        sizes = sizes_in(tmp_path / name, "train", regression=name == "STS-B")
        full = sizes_in(toy.data / f"{name}-bin", "train", regression=name == "STS-B")
        assert max(sizes) == 30
        assert record["sets"]["train"]["truncated"] == sum(full > 30) > 0
        assert sorted(sizes) == sorted(min(size, 30) for size in full)


def test_pairs_are_cut_as_by_hugging_face():
    """``longest_first`` of the tokenizers behind run_glue, every pair of lengths."""
    tokenizers = pytest.importorskip("tokenizers")
    words = {str(number): number for number in range(40)}
    model = tokenizers.models.WordLevel({**words, "<s>": 40, "</s>": 41}, unk_token="0")
    reference = tokenizers.Tokenizer(model)
    reference.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    reference.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 41), ("<s>", 40))
    for max_length in (8, 13):
        reference.enable_truncation(max_length, strategy="longest_first")
        for first in range(15):
            assert truncate(([*"x" * first],), max_length)[0] == [*"x" * first][: max_length - 2]
            for second in range(15):
                pair = [str(n) for n in range(first)], [str(n) for n in range(20, 20 + second)]
                ours = truncate(pair, max_length)
                theirs = reference.encode(*map(" ".join, pair)).tokens
                assert ["<s>", *ours[0], "</s>", "</s>", *ours[1], "</s>"] == theirs


def test_workers_do_not_change_the_result(toy):
    rows = read_examples(TASKS["MNLI"], find_file(toy.glue / "MNLI", "train")).rows * 150
    assert 2 * len(rows) > binarise.PARALLEL_FROM
    assert binarise.encode(toy.bpe, rows, workers=2) == binarise.encode(toy.bpe, rows)


def test_failures_name_the_remedy_and_leave_nothing(toy, tmp_path):
    def prepare(task="CoLA", bpe=toy.bpe, dictionary=toy.dict, **settings):
        prepare_task(TASKS[task], toy.glue / task, tmp_path / "out", bpe, dictionary, **settings)

    other = tmp_path / "other.txt"
    other.write_text("a 1\nb 1\n")
    broken = tmp_path / "broken.txt"
    broken.write_text("no number\n")
    for message, arguments in (
        ("more than half of the tokens of .*CoLA/train.tsv are not in this dictionary", {"dictionary": other}),
        ("broken.txt:1: not a symbol and its count", {"dictionary": broken}),
        ("none.txt: cannot be read", {"dictionary": tmp_path / "none.txt"}),
        ("encoder.json: no such file", {"bpe": tmp_path}),
        ("RTE: no train.tsv or train.tsv.gz in it", {"task": "RTE"}),
        ("leaves no room for text; give at least 8", {"max_length": 7}),
    ):
        with pytest.raises(CorpusError, match=message):
            prepare(**arguments)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.txt", "other.txt"]
    prepare()
    with pytest.raises(CorpusError, match="out: exists already; remove it"):
        prepare()


def test_command(toy, tmp_path, capsys):
    command = ["glue-prepare", "CoLA", str(toy.glue / "CoLA"), str(tmp_path / "CoLA-bin"), "--dict", str(toy.dict)]
    assert cli.main([*command, "--bpe-dir", str(toy.bpe)]) == 0
    assert "CoLA train: 30 rows, 831 tokens, 0 rows cut to 128 tokens" in capsys.readouterr().err
    assert cli.main([*command, "--bpe-dir", str(toy.bpe)]) == 1
    assert "glue-prepare: error: " in capsys.readouterr().err
