"""Lines of text end at the line feed alone: against ``data.split(b"\\n")``, whoever reads them, in whatever pieces."""

import importlib
import io
import itertools
import os
import pickle
import random
import re
import sys

import pytest
from fairseq import binarizer, file_chunker_utils, options, utils
from fairseq.data import Dictionary, data_utils, dictionary, indexed_dataset
from fairseq_cli import interactive, preprocess
from running import forked

from fairseq_plugins import lines
from fairseq_plugins.compat.lines import open_text
from fairseq_plugins.compat.programs import ends_of_programs
from fairseq_plugins.lines import CorpusError

SEPARATORS = ["\r\r", *"\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029\t\x00\xa0"]
ODD = ["", " ", "\r", "\ufeffb", "e\U0001f600", "日本 語", "é" * 40, *(f"a{c}b{c}" for c in SEPARATORS)]


def law(data):
    """The lines of a file's bytes, as text."""
    pieces = data.split(b"\n")
    return [piece.decode() for piece in (pieces if pieces[-1] else pieces[:-1])]


def text(count, seed, end="\n"):
    """Lines that hold everything that anybody takes for a line's end, most with a word that says which they are."""
    rng = random.Random(seed)
    made = [f"{odd} {seed}.{n}" if rng.random() < 0.8 else odd for n, odd in enumerate(rng.choices(ODD, k=count))]
    return ("\n".join(made) + end).encode()


@pytest.fixture(scope="module", autouse=True)
def _repaired():
    ends_of_programs()  # of those that this file imports


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "train").write_bytes(b"\xff, which nobody asks for")
    for seed, side in enumerate(("de", "en")):
        (folder / f"train.{side}").write_bytes(text(90, seed, end="" if side == "de" else "\n"))
        (folder / f"valid.{side}").write_bytes(text(20, seed, end="\n\n"))
        with (folder / f"valid.{side}").open("ab") as file:
            file.write((f"{'long' * 250}\u2028{side}\r" * 1000 + "\r\nlast").encode())
    return folder


@pytest.mark.parametrize("workers", [1, 3])
def test_preprocess(workers, hostile, plugin, tmp_path):
    sets = ["--trainpref", hostile / "train", "--validpref", hostile / "valid", "--workers", workers]
    forked("preprocess", "-s", "de", "-t", "en", *sets, "--destdir", tmp_path, "--user-dir", plugin)
    for side in ("de", "en"):
        symbols = Dictionary.load(str(tmp_path / f"dict.{side}.txt"))
        for split in ("train", "valid"):
            expected = law((hostile / f"{split}.{side}").read_bytes())
            data = data_utils.load_indexed_dataset(str(tmp_path / f"{split}.de-en.{side}"), symbols)
            assert len(data) == len(expected) == {"train": 90, "valid": 23}[split]
            for line, tokens in zip(expected, data):
                assert tokens.tolist() == [*(symbols.index(word) for word in line.split()), symbols.eos()]
        assert symbols.unk() not in {symbols.index(word) for line in law((hostile / f"train.{side}").read_bytes())
                                     for word in line.split()}  # fmt: skip


def test_every_way_to_cut_a_file(hostile, tmp_path):
    """Into more pieces than it has bytes, through characters and through carriage return and line feed."""
    small = tmp_path / "small"
    small.write_bytes("é\r\n\u2028日\n\n\U0001f600\r\nz".encode())
    for path, counts in ((small, range(1, 40)), (hostile / "train.de", range(1, 60)), (hostile / "valid.en", (2, 9))):
        for count in counts:
            offsets = file_chunker_utils.find_offsets(str(path), count)
            assert len(offsets) == count + 1
            found = []
            for start, end in itertools.pairwise(offsets):
                with file_chunker_utils.Chunker(str(path), start, end) as chunk:
                    found += chunk
            assert [line[:-1] if line.endswith("\n") else line for line in found] == law(path.read_bytes()), count


def test_who_opens_a_chunk_himself_reads_it_as_before(tmp_path):
    (tmp_path / "x").write_bytes(b"a\rb\nc")
    with open(tmp_path / "x", encoding="utf-8") as file:
        assert list(file_chunker_utils.ChunkLineIterator(file, 0, 5)) == ["a\n", "b\n", "c"]


def test_raw_datasets_dictionaries_and_alignments(hostile, tmp_path):
    symbols = Dictionary()
    data = indexed_dataset.IndexedRawTextDataset(str(hostile / "train.de"), symbols)
    assert [data.get_original_text(number) for number in range(len(data))] == law((hostile / "train.de").read_bytes())
    (tmp_path / "dict.txt").write_bytes("\u2028 5\r\na\rb 3\n\x85 2\n".encode())
    assert Dictionary.load(str(tmp_path / "dict.txt")).symbols[4:] == ["\u2028", "a\rb", "\x85"]
    (tmp_path / "align").write_bytes(b"a\rb\nc d\r\n")
    assert utils.load_align_dict(str(tmp_path / "align")) == {"a": "b", "c": "d"}
    for task in ("sentence_prediction", "sentence_ranking"):
        assert importlib.import_module(f"fairseq.tasks.{task}").open is open_text


@pytest.mark.parametrize("size", [1, 7])
def test_interactive(size, hostile, monkeypatch):
    expected = [line.strip() for line in law((hostile / "train.de").read_bytes())]

    def read(path):
        buffers = list(interactive.buffered_read(str(path), size))
        assert all(len(buffer) == size for buffer in buffers[:-1])
        return [line for buffer in buffers for line in buffer]

    assert read(hostile / "train.de") == expected
    with open(hostile / "train.de", encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        assert read("-") == expected
    monkeypatch.setattr(sys, "stdin", io.StringIO("a\rb\nc"))
    assert read("-") == ["a\rb", "c"]


def test_interactive_answers_each_line_when_it_comes(monkeypatch):
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as stdin, open(writing, "wb", buffering=0) as keyboard:
        monkeypatch.setattr(sys, "stdin", stdin)
        answers = interactive.buffered_read("-", 1)
        for line in (b"a\rb\n", b"c\n"):
            keyboard.write(line)
            assert next(answers) == [line.decode().strip()]


# ------------------------------------------------------------------ bytes that are not UTF-8


@pytest.mark.parametrize("workers", ["1", "3"])
@pytest.mark.parametrize("split", ["train", "valid"])
def test_preprocess_names_a_byte_that_is_not_utf8(split, workers, hostile, tmp_path):
    for name in ("train", "valid"):
        for side in ("de", "en"):
            (tmp_path / f"{name}.{side}").write_bytes(text(30, 3))
    bad = tmp_path / f"{split}.en"
    bad.write_bytes(b"a\rb\n\r\n" + "é".encode() + b"\xff\n" + bad.read_bytes())
    sets = ["--trainpref", f"{tmp_path}/train", "--validpref", f"{tmp_path}/valid", "--workers", workers]
    args = ["-s", "de", "-t", "en", *sets, "--destdir", f"{tmp_path}/bin"]
    sentence = rf"^fairseq-preprocess: error: {re.escape(str(bad))}:3: byte 0xff at column 3 is not UTF-8; "
    with pytest.raises(SystemExit, match=sentence):
        preprocess.main(options.get_preprocessing_parser().parse_args(args))
    assert not (tmp_path / "bin").exists()


def test_every_reader_names_a_byte_that_is_not_utf8(tmp_path):
    path = tmp_path / "bad"
    path.write_bytes(b"a\rb 1\n" * 3000 + b"x\xe9 2\n" + b"c 3\n" * 3000)
    readers = {
        "chunk": lambda: list(file_chunker_utils.Chunker(str(path), 6, 0).__enter__()),
        "counts": lambda: Dictionary.add_file_to_dictionary(str(path), Dictionary(), str.split, 3),
        "raw": lambda: indexed_dataset.IndexedRawTextDataset(str(path), Dictionary()),
        "dictionary": lambda: Dictionary.load(str(path)),
        "interactive": lambda: list(interactive.buffered_read(str(path), 2)),
        "lines": lambda: list(lines.read_lines(path)),
        "readline": lambda: list(iter(open_text(path, encoding="utf-8").readline, "")),
        "read": lambda: open_text(path, encoding="utf-8").read(),
    }
    for name, read in readers.items():
        with pytest.raises(CorpusError, match=rf"{re.escape(str(path))}:3001: byte 0xe9 at column 2 is not UTF-8"):
            pytest.fail(f"{name}: {read()}")


# ------------------------------------------------------------------ what the originals take


def test_open_takes_all_that_open_takes(tmp_path):
    path = tmp_path / "x"
    with open_text(path, "w", encoding="latin-1") as file:
        file.write("é\r\n")
    assert path.read_bytes() == b"\xe9\r\n"
    with open_text(path, "rb") as file:
        assert file.read() == b"\xe9\r\n"
    with open_text(path, "r", -1, "latin-1", None, None) as file:
        assert (file.readlines(), file.encoding, file.name, file.mode) == (["é\r\n"], "latin-1", str(path), "r")
    with open_text(path, errors="replace", encoding="utf-8") as file:
        assert next(file) == "\ufffd\r\n"
    with open_text(path, encoding="latin-1", newline="") as file:
        assert file.read() == "é\r\n"
    with open_text(path, "a+") as file:
        assert file.tell() == 3
    with open_text(path, "rt", 1, encoding="latin-1") as file:
        assert file.readline() == "é\r\n"
    with open(path, "rb") as raw, open_text(raw.fileno(), encoding="latin-1", closefd=False) as file:
        assert file.read(1) == "é"
    with open_text("x", opener=lambda name, flags: os.open(tmp_path / name, flags), encoding="latin-1") as file:
        assert file.seek(1) == 1
        assert file.read() == "\r\n"
    with pytest.raises(FileNotFoundError, match="none"):
        open_text(tmp_path / "none")
    with pytest.raises(ValueError, match="unbuffered"):
        open_text(path, "r", 0)
    with pytest.raises(ValueError, match="mode"):
        open_text(path, "q")


def test_the_workers_of_any_start_method_are_repaired():
    for module in (binarizer, dictionary):
        pool = module.Pool(1)
        assert pool.apply(len, ("ab",)) == 2
        assert pool._initializer.__module__ == "fairseq_plugins.compat.lines"
        pool.terminate()
        pool.join()


def test_a_program_reaches_the_processes_that_it_starts():
    assert pickle.loads(pickle.dumps(preprocess.main)) is preprocess.main
    assert preprocess.main.__name__ == "main"
