"""GLUE's files: the published ones as far as they are at hand, and made ones with their quirks."""

import gzip
import subprocess
from pathlib import Path

import pytest
from glue_files import TEXTS, write_mnli, write_tsv

from fairseq_plugins.glue.readers import find_file, read_examples
from fairseq_plugins.glue.tasks import DEV_SETS, TASKS
from fairseq_plugins.lines import CorpusError

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "glue"
#: rows of train and dev as the data's own README counts them
ROWS = {
    "CoLA": (8551, 1043),
    "SST-2": (67349, 872),
    "MRPC": (3668, 408),
    "RTE": (2490, 277),
    "STS-B": (5749, 1500),
    "WNLI": (635, 71),
}
#: columns (from 1) of texts and label in fairseq's examples/roberta/preprocess_GLUE_tasks.sh; WNLI is not in it
FAIRSEQ_COLUMNS = {
    "CoLA": ((4,), 2),
    "SST-2": ((1,), 2),
    "MRPC": ((4, 5), 1),
    "RTE": ((2, 3), 4),
    "STS-B": ((8, 9), 10),
    "QNLI": ((2, 3), 4),
    "QQP": ((4, 5), 6),
}
HEADERS = {
    "QNLI": ["index", "question", "sentence", "label"],
    "QQP": ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"],
}


def cut(path, column):
    """The column as fairseq's script takes it: cut -f, blanks at the ends dropped as its encoder drops them."""
    command = "gzip -cd" if path.suffix == ".gz" else "cat"
    text = subprocess.run(f"{command} '{path}' | cut -f{column}", shell=True, capture_output=True, check=True).stdout
    return [field.strip() for field in text.decode("utf-8").split("\n")[:-1]]


def check_against_cut(task, path, without_header):
    examples = read_examples(task, path)
    assert examples.dropped == []
    columns, label = FAIRSEQ_COLUMNS[task.name]
    for number, column in enumerate(columns):
        texts = [example.texts[number] for example in examples.rows]
        differing = [
            (ours, theirs) for ours, theirs in zip(texts, cut(path, column)[without_header:]) if ours != theirs
        ]
        # the published texts hold a few control characters
        assert all(any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u2029" for c in t) for _, t in differing)
        assert len(differing) < 5
    assert [example.label for example in examples.rows] == cut(path, label)[without_header:]


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not here")
@pytest.mark.parametrize("name", ROWS)
def test_published_files(name):
    task = TASKS[name]
    for stem, rows in zip(("train", "dev"), ROWS[name]):
        path = find_file(SHARED / name, stem)
        examples = read_examples(task, path).rows
        assert len(examples) == rows
        assert all(len(example.texts) == len(task.texts) and all(example.texts) for example in examples)
        if task.is_regression:
            assert {float(example.label) for example in examples} >= {0.0, 5.0}
        else:
            assert {example.label for example in examples} == set(task.classes)
        if name in FAIRSEQ_COLUMNS:
            check_against_cut(task, path, without_header=name != "CoLA")


@pytest.mark.parametrize("name", HEADERS)
def test_tasks_that_are_not_at_hand_by_their_layout(name, tmp_path):
    task = TASKS[name]
    header = HEADERS[name]
    rows = [
        [*(str(number) for _ in header[:-3]), text, TEXTS[-1 - number], task.classes[number % 2]]
        for number, text in enumerate(TEXTS)
    ]
    check_against_cut(task, write_tsv(tmp_path / "train.tsv", header, rows), without_header=True)


def test_mnli_takes_the_gold_label_of_both_layouts(tmp_path):
    write_mnli(tmp_path, train=6, dev=(5, 4))
    task = TASKS["MNLI"]
    # fairseq's columns: texts 9 and 10, the label 12 in training and 16 in development
    for stem, column in (("train", 12), ("dev_matched", 16), ("dev_mismatched", 16)):
        path = find_file(tmp_path / "MNLI", stem)
        rows = read_examples(task, path).rows
        assert [row.label for row in rows] == cut(path, column)[1:]
        assert [row.texts[1] for row in rows] == cut(path, 10)[1:]
    assert task.sets == {"train": "train", "valid": "dev_matched", "valid1": "dev_mismatched"}
    assert task.dev_names == {"valid": "MNLI-m", "valid1": "MNLI-mm"}


def test_quirks_of_the_published_files(tmp_path):
    """A byte-order mark, lone and doubled quotes, blanks at the ends, CR LF, control characters, gzip."""
    task = TASKS["MRPC"]
    header = ["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"]
    lines = ["\t".join(header), '1\t1\t2\t"He said\t said " it ', "0\t3\t4\tone\u0085two\t \u2028three"]
    data = ("\ufeff" + "\r\n".join(lines) + "\r\n").encode("utf-8")
    (tmp_path / "train.tsv.gz").write_bytes(gzip.compress(data))
    rows = read_examples(task, find_file(tmp_path, "train")).rows
    assert [row.texts for row in rows] == [('"He said', 'said " it'), ("one two", "three")]
    assert [row.label for row in rows] == ["1", "0"]


def test_only_qqp_drops_incomplete_rows_and_names_them(tmp_path):
    task = TASKS["QQP"]
    rows = [[str(number), "1", "2", "Is it?", text, "0"] for number, text in enumerate(TEXTS)]
    rows[2] = ["2", "1", "2", "Is it?"]
    rows.insert(4, [""])
    path = write_tsv(tmp_path / "train.tsv", HEADERS["QQP"], rows)
    examples = read_examples(task, path)
    assert examples.dropped == [4, 6]
    # what fairseq's script keeps
    kept = subprocess.run(["awk", "-F", "\t", "NF==6", str(path)], capture_output=True, text=True, check=True).stdout
    assert [row.texts[1] for row in examples.rows] == [line.split("\t")[4].strip() for line in kept.splitlines()[1:]]
    with pytest.raises(CorpusError, match=r"train\.tsv:3: 2 tab-separated fields instead of 4; fetch the file again"):
        read_examples(
            TASKS["QNLI"],
            write_tsv(tmp_path / "train.tsv", HEADERS["QNLI"], [["0", "a", "b", "entailment"], ["1", "a"]]),
        )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("RTE", "index\tsentence1\tsentence2\n0\ta\tb\n", "train.tsv:1: the header line has no column 'label'"),
        ("RTE", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tyes\n", "train.tsv:2: the label 'yes' is none of RTE's"),
        ("CoLA", "src\t2\t\tA sentence.\n", "train.tsv:1: the label '2' is none of CoLA's (0, 1)"),
        ("CoLA", "src\t1\tA sentence.\n", "train.tsv:1: 3 tab-separated fields instead of 4"),
        ("STS-B", "sentence1\tsentence2\tscore\na\tb\t6.1\n", "train.tsv:2: the score '6.1' is no number from 0 to 5"),
        ("STS-B", "sentence1\tsentence2\tscore\na\tb\tnan\n", "train.tsv:2: the score 'nan' is no number"),
        ("SST-2", "sentence\tlabel\n", "train.tsv: no row in it that can be used"),
        ("SST-2", "", "train.tsv: the file is empty"),
    ],
)
def test_what_cannot_be_read_names_file_and_line(name, text, message, tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError) as error:
        read_examples(TASKS[name], path)
    assert message in str(error.value)


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_bytes(b"sentence\tlabel\ncaf\xe9\t1\n")
    with pytest.raises(CorpusError, match=r"train\.tsv:2: byte 0xe9 at column 4 is not UTF-8"):
        read_examples(TASKS["SST-2"], path)
    with pytest.raises(CorpusError, match=r"no dev\.tsv or dev\.tsv\.gz in it"):
        find_file(tmp_path, "dev")


def test_the_nine_columns_of_the_papers():
    averaged = [name for name, task in DEV_SETS.items() if task.averaged]
    assert averaged == ["MRPC", "CoLA", "MNLI-m", "MNLI-mm", "QQP", "RTE", "STS-B", "QNLI", "SST-2"]
    assert list(DEV_SETS)[-1] == "WNLI"
