"""scripts/prepare_wikitext.sh on made text: both layouts, archives, a BPE that is given, and what users get wrong."""

import gzip
import json
import shutil
import sys
import zipfile
from argparse import Namespace
from collections import Counter

import pytest
from fairseq.data import Dictionary
from fairseq.data.encoders.gpt2_bpe import GPT2BPE
from fairseq.data.indexed_dataset import MMapIndexedDataset
from pipeline_tools import environment, sentences
from preparation import prepare, refused, stub, stub_environment, succeeded, tree
from zygote import quick_python

pytest.importorskip("tokenizers")

STAGES = ("raw", "bpe", "encode", "binarise", "record")
SPLITS = {"train": 120, "valid": 12, "test": 10}
SIZE = 300


def articles(lines, seed, unk):
    """Text in WikiText's manner: blanks around lines, headings between empty lines, perhaps words taken out."""
    text = [" \n"]
    for number, (_, english) in enumerate(sentences(lines, seed)):
        words = english.replace(".", " .").split()
        if unk and number % 3 == 0:
            words[1] = "<unk>"
        text.append(f" {' '.join(words)} \n")
        if number % 5 == 0:
            text += [" \n", f" = Überschrift {number} = \n", " \n"]
    return "".join(text)


def write_release(folder, pattern, unk=False, compress=()):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, (split, lines) in enumerate(SPLITS.items()):
        data = articles(lines, seed, unk).encode("utf-8")
        name = pattern.format(split)
        if split in compress:
            (folder / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (folder / name).write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    """The layout with <unk>, one file compressed."""
    folder = tmp_path_factory.mktemp("tokens") / "wikitext 2"
    return write_release(folder, "wiki.{}.tokens", unk=True, compress=("train",))


@pytest.fixture(scope="module")
def prepared(tokens, tmp_path_factory):
    """An undisturbed run over it."""
    out = tmp_path_factory.mktemp("prepared") / "out"
    succeeded(prepare("wikitext", 2, "--from", tokens, "--out", out, "--bpe", SIZE))
    return out


@pytest.fixture
def stubs(tmp_path_factory):
    """An environment whose fairseq-preprocess fails: what goes before it is all that a test needs."""
    folder = tmp_path_factory.mktemp("stubs")
    stub(folder, "python", f'exec "{quick_python()}" "$@"')
    stub(folder, "fairseq-preprocess", "exit 9")
    return stub_environment(folder)


def up_to_binarise(result):
    refused(result, "the stage 'binarise' stopped: fairseq-preprocess failed with status 9")


# ------------------------------------------------------------------ whole runs


def test_layout(prepared, tokens):
    assert sorted(path.name for path in prepared.iterdir()) == [".stamps", "bin", "bpe", "encoded", "raw", "text.json"]
    dictionary = Dictionary.load(str(prepared / "bin" / "dict.txt"))
    # all symbols of the BPE, fairseq's four, to a multiple of eight
    assert len(dictionary) == 304
    ids = json.loads((prepared / "bpe" / "encoder.json").read_text())
    assert all(dictionary.index(str(identity)) != dictionary.unk() for identity in ids.values())
    bpe = GPT2BPE(
        Namespace(
            gpt2_encoder_json=str(prepared / "bpe" / "encoder.json"),
            gpt2_vocab_bpe=str(prepared / "bpe" / "vocab.bpe"),
        )
    )
    for seed, (split, lines) in enumerate(SPLITS.items()):
        text = articles(lines, seed, unk=True)
        assert (prepared / "raw" / f"{split}.txt").read_text(encoding="utf-8") == text
        encoded = (prepared / "encoded" / split).read_text().split("\n")
        assert encoded.pop() == ""
        data = MMapIndexedDataset(str(prepared / "bin" / split))
        text = text.split("\n")[:-1]
        assert len(data) == len(encoded) == len(text)
        for line, coded, item in zip(text, encoded, data):
            assert bpe.decode(coded) == line.strip().replace(" <unk>", "<unk>")
            # an empty line is the end of a sentence and nothing else
            assert (len(item) == 1) == (not line.strip())
            words = [dictionary[index] for index in item]
            assert words == [*coded.split(), "</s>"]
            assert words.count("<unk>") == line.count("<unk>")
    counts = Counter((prepared / "encoded" / "train").read_text().replace("<unk>", " ").split())
    listed = dict(line.split() for line in (prepared / "bin" / "dict.txt").read_text().splitlines())
    assert {word: int(count) for word, count in listed.items() if count != "0"} == counts


def test_second_run_does_nothing(prepared, tokens):
    before = {path: path.stat().st_mtime_ns for path in prepared.rglob("*")}
    result = prepare("wikitext", 2, "--from", tokens, "--out", prepared, "--bpe", SIZE)
    succeeded(result)
    assert result.stderr.count("up to date") == len(STAGES)
    assert {path: path.stat().st_mtime_ns for path in prepared.rglob("*")} == before


def test_only_what_changed_is_made_again(prepared, tokens, tmp_path, stubs):
    out = shutil.copytree(prepared, tmp_path / "moved")
    with (out / "encoded" / "valid").open("a") as file:
        file.write("1 2 3\n")
    options = (2, "--from", tokens, "--out", out)
    result = prepare("wikitext", *options, "--bpe", SIZE, env=stubs)
    succeeded(result)
    assert [stage for stage in STAGES if f"{stage}: start" in result.stderr] == ["encode"]
    assert tree(out) == tree(prepared)
    result = prepare("wikitext", *options, "--bpe", SIZE - 10, env=stubs)
    up_to_binarise(result)
    assert [stage for stage in STAGES if f"{stage}: start" in result.stderr] == ["bpe", "encode", "binarise"]
    assert tree(out / "bin") == tree(prepared / "bin")


def test_result_depends_on_neither_workers_nor_threads(prepared, tokens, tmp_path):
    folder = tmp_path / "python"  # an interpreter of its own, with another order of sets, for all but fairseq's command
    folder.mkdir()
    stub(folder, "python", f'exec "{sys.executable}" "$@"')
    (folder / "fairseq-preprocess").symlink_to(quick_python().with_name("fairseq-preprocess"))
    other = environment(PYTHON=str(folder / "python"), RAYON_NUM_THREADS="1", PYTHONHASHSEED="5")
    options = ("--from", tokens, "--out", tmp_path / "out", "--bpe", SIZE, "--workers", 3)
    succeeded(prepare("wikitext", 2, *options, env=other))
    assert tree(tmp_path / "out") == tree(prepared)


def test_bpe_that_is_given(prepared, tokens, tmp_path):
    given = shutil.copytree(prepared / "bpe", tmp_path / "given")
    # as in RoBERTa's release, the order is of another corpus than ours
    lines = (prepared / "bin" / "dict.txt").read_text().splitlines(keepends=True)
    (given / "dict.txt").write_text("".join(reversed(lines)))
    options = ("--from", tokens, "--out", tmp_path / "out", "--gpt2-bpe", given)
    succeeded(prepare("wikitext", 2, *options))
    assert (tmp_path / "out" / "bin" / "dict.txt").read_bytes() == (given / "dict.txt").read_bytes()
    for split in SPLITS:
        assert (tmp_path / "out" / "encoded" / split).read_bytes() == (prepared / "encoded" / split).read_bytes()
    assert tree(tmp_path / "out" / "bpe") == tree(given)

    (given / "dict.txt").write_text("".join(lines[5:]))
    result = prepare("wikitext", 2, *options)
    refused(result, "dict.txt lacks ids of", "take all files of a BPE from the same place")
    (given / "dict.txt").unlink()
    refused(prepare("wikitext", 2, *options), f"no dict.txt in {given}")


# ------------------------------------------------------------------ layouts and archives


@pytest.mark.parametrize(
    ("pattern", "unk", "options", "as_tokens"),
    [
        ("wiki.{}.raw", False, [], False),
        ("wiki.{}.tokens", True, [], True),
        ("{}.txt", True, [], True),
        ("{}.txt", False, [], False),
        ("{}.txt", True, ["--layout", "raw"], False),
        ("{}.txt", False, ["--layout", "tokens"], True),
    ],
)
def test_layout_is_found(pattern, unk, options, as_tokens, tmp_path):
    write_release(tmp_path, pattern, unk, compress=("train", "test"))
    result = prepare("wikitext", 2, "--from", tmp_path, "--out", tmp_path / "out", "--dry-run", *options)
    succeeded(result)
    for command in ("learn-byte-bpe", "apply-byte-bpe"):
        line = next(line for line in result.stdout.splitlines() if command in line)
        assert ("--unk" in line) == as_tokens


def test_layout_can_be_chosen(tmp_path):
    write_release(tmp_path, "wiki.{}.raw")
    write_release(tmp_path / "wikitext-103", "wiki.{}.tokens")
    write_release(tmp_path, "{}.txt", compress=("valid",))
    (tmp_path / "valid.txt.gz").unlink()  # two of three files are no layout
    for layout, shown in (([], ".raw"), (["--layout", "raw"], ".raw"), (["--layout", "tokens"], ".tokens")):
        result = prepare("wikitext", 103, "--from", tmp_path, "--out", tmp_path / "out", "--dry-run", *layout)
        succeeded(result)
        assert {f"wiki.{split}{shown}" in result.stdout for split in SPLITS} == {True}
    result = prepare("wikitext", 2, "--from", tmp_path, "--out", tmp_path / "out", "--layout", "tokens")
    refused(result, "wiki.{train,valid,test}.tokens", "wikitext-2-v1.zip", "leave --from out")


def archive_of(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, file.relative_to(folder.parent))
    return path


def test_archive(tmp_path, stubs):
    folder = write_release(tmp_path / "wikitext-2-raw", "wiki.{}.raw", unk=True)
    archive = archive_of(folder, tmp_path / "wikitext-2-raw-v1.zip")
    expected = tree(folder)
    shutil.rmtree(folder)
    out = tmp_path / "out"
    up_to_binarise(prepare("wikitext", 2, "--from", archive, "--out", out, "--bpe", SIZE, env=stubs))
    assert sorted(tree(out / "raw").values()) == sorted(expected.values())
    # the raw layout has no <unk>: should it stand there, it is text
    assert "<unk>" not in (out / "encoded" / "train").read_text()
    beside = prepare("wikitext", 2, "--from", tmp_path, "--out", out, "--dry-run")
    succeeded(beside)
    assert f"zipfile -e {archive} " in beside.stdout
    refused(prepare("wikitext", 103, "--from", tmp_path, "--out", out), "wikitext-103-raw-v1.zip")
    refused(prepare("wikitext", 103, "--from", archive, "--out", tmp_path / "x"), "does not hold", "of WikiText-103")
    archive.write_bytes(archive.read_bytes()[:-50])
    refused(prepare("wikitext", 2, "--from", archive, "--out", tmp_path / "y"), "zip is damaged, incomplete or no zip")
    assert not (tmp_path / "y").exists()


@pytest.mark.parametrize(("layout", "name"), [("raw", "wikitext-103-raw-v1.zip"), ("tokens", "wikitext-103-v1.zip")])
def test_only_the_released_archive_is_taken_from_the_network(layout, name, tmp_path):
    folder = write_release(tmp_path / "served" / "text", "wiki.{}.raw")
    archive_of(folder, tmp_path / "served" / name)
    options = ("--url", (tmp_path / "served").as_uri(), "--out", tmp_path / "out", "--layout", layout)
    refused(
        prepare("wikitext", 103, *options), f"{name} has the checksum", "was expected", "pass its folder with --from"
    )
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------ what users get wrong


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("wiki.valid.raw", b"fine\n\xe4\n", "valid.txt:2: byte 0xe4 at column 1 is not UTF-8"),
        ("wiki.train.raw", b"M\xe4dchen\n", "train.txt:1: byte 0xe4 at column 2 is not UTF-8"),
        ("wiki.test.raw", b"", "wiki.test.raw: the file is empty"),
        ("wiki.test.raw", b" \n \n", "wiki.test.raw: the file is empty"),
        (
            "wiki.train.raw.gz",
            gzip.compress(b"text\n" * 99, mtime=0)[:-9],
            "wiki.train.raw.gz: the gzip file is damaged",
        ),
    ],
)
def test_bad_text(name, data, said, tmp_path):
    write_release(tmp_path / "text", "wiki.{}.raw")
    (tmp_path / "text" / name.replace(".gz", "")).unlink()
    (tmp_path / "text" / name).write_bytes(data)
    before = tree(tmp_path)
    result = prepare("wikitext", 2, "--from", tmp_path / "text", "--out", tmp_path / "out", "--bpe", SIZE)
    refused(result, said)
    left = tree(tmp_path)
    assert {path: left[path] for path in before} == before
    # nothing half-made: what is there is whole, and no stage after the failure has a result
    assert {path.split("/")[1] for path in set(left) - set(before)} <= {"raw", "bpe", ".stamps"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "which corpus? Give 2 or 103"),
        ((2, 103), "one corpus, not 2 and 103"),
        ((2, "--layout", "html"), "--layout takes raw or tokens, not 'html'"),
        ((2, "--bpe", "100"), "give 256 or more"),
        ((2, "--bpe", "many"), "--bpe takes a whole number"),
        ((2, "--bpe"), "--bpe needs a value"),
        ((2, "--bpe", "300", "--gpt2-bpe", "x"), "give one of them"),
        ((2, "--source-lang", "de"), "--source-lang has no meaning here"),
        ((2, "--drop-empty"), "--drop-empty has no meaning here"),
        ((4,), "unknown option or argument '4'"),
    ],
)
def test_bad_options(options, said, tokens, tmp_path):
    result = prepare("wikitext", "--from", tokens, "--out", tmp_path / "out", *options)
    refused(result, said)
    assert result.returncode == 2
    assert not (tmp_path / "out").exists()


def test_missing_source(tmp_path):
    options = ("--from", tmp_path / "nowhere", "--out", tmp_path / "out")
    refused(prepare("wikitext", 2, *options), "nowhere does not exist")
    assert not (tmp_path / "out").exists()


def test_dry_run_writes_nothing(tokens, tmp_path):
    for source in (("--from", tokens), (), ("--smoke",)):
        result = prepare("wikitext", 103, "--dry-run", "--out", tmp_path / "out", *source)
        succeeded(result)
        for command in ("learn-byte-bpe", "apply-byte-bpe", "fairseq-preprocess --only-source"):
            assert command in result.stdout
        assert ("curl" in result.stdout) == (source == ())
        assert ("toy-corpus" in result.stdout) == (source == ("--smoke",))
        assert f"--size {300 if '--smoke' in source else 50257}" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_smoke_takes_a_little(tmp_path):
    big = tmp_path / "big"
    big.mkdir()
    for split in SPLITS:
        (big / f"{split}.txt").write_bytes(b"\xff\n" + b"a b c\n" * 100_000)  # ends the run at its second stage
    result = prepare("wikitext", 2, "--from", big, "--out", tmp_path / "out", "--smoke")
    refused(result, "train.txt:1: byte 0xff")
    lines = [len((tmp_path / "out" / "raw" / f"{split}.txt").read_bytes().splitlines()) for split in SPLITS]
    assert lines == [400, 60, 60]
