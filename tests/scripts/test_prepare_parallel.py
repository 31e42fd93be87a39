"""scripts/prepare_parallel.sh on made text: other languages, sets that are cut, other tokenisers, bad input."""

import gzip
import itertools
import shutil
from functools import partial

import pytest
import sentencepiece
from pipeline_tools import ARCH, script
from preparation import prepare, refused, repeated_in_process, succeeded, tree

from fairseq_plugins.text.record import read_record

WHO = [("L'homme", "The man"), ("Une amie d'Anna", "A friend of Anna's"), ("M. Petit", "Mr. Petit"), ("Elle", "She")]
DOES = [
    ("regarde", "looks at"),
    ("n'a pas vu", "has not seen"),
    ("achète", "buys"),
    ("peint aujourd'hui", "paints today"),
]
WHAT = [
    ("l'arbre", "the tree"),
    ("« la mer »", '"the sea"'),
    ("deux chevaux", "two horses"),
    ("R&D", "R&D"),
    ("🎈", "🎈"),
]
ENDS = [(".", "."), (" !", "!"), (" ?", "?")]


def pairs():
    """240 of them, all different on both sides."""
    made = []
    for (who, does, what, end), number in zip(itertools.product(WHO, DOES, WHAT, ENDS), itertools.count(1)):
        made.append(tuple(f"{who[i]} {does[i]} {what[i]}, {number}{end[i]}" for i in (0, 1)))
    return made


def write(prefix, text, compress=False):
    for i, language in enumerate(("fr", "en")):
        data = "".join(f"{pair[i]}\n" for pair in text).encode()
        path = prefix.with_name(f"{prefix.name}.{language}{'.gz' if compress else ''}")
        path.write_bytes(gzip.compress(data) if compress else data)


def read(out, name):
    """The pairs of a set."""
    sides = ((out / f"{name}.{language}").read_text(encoding="utf-8").split("\n")[:-1] for language in ("fr", "en"))
    return list(zip(*sides))


run = partial(prepare, "parallel")


LANGUAGES = ("--source-lang", "fr", "--target-lang", "en")
CUT = (*LANGUAGES, "--valid", 20, "--test", 30)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Two files in which some lines stand twice, and some share a side with others."""
    prefix = tmp_path_factory.mktemp("corpora") / "Made.en-fr"
    text = pairs()
    write(prefix, [*text, *text[:60], *(("Encore une autre chose, bien sûr.", english) for _, english in text[60:120])])
    return prefix


@pytest.fixture(scope="module")
def prepared(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared") / "out"
    result = run("--from", corpus, "--out", out, *CUT, "--bpe", 150, "--ratio", 3)
    succeeded(result)
    assert "sacremoses has no rules" not in result.stderr
    return out


def test_sets_are_cut_and_nothing_of_them_is_trained_on(prepared):
    raw = {name: read(prepared / "raw", name) for name in ("train", "valid", "test")}
    assert {name: len(text) for name, text in raw.items()} == {"train": 360 - 50, "valid": 20, "test": 30}
    for side in (0, 1):
        held_out = [pair[side] for pair in raw["valid"] + raw["test"]]
        assert len(set(held_out)) == 50
        tokenised = {pair[side] for name in ("valid", "test") for pair in read(prepared / "tok", name)}
        assert not tokenised & {pair[side] for pair in read(prepared / "clean", "train")}
    leaked = sum(
        any(pair[side] in {p[side] for p in raw["valid"] + raw["test"]} for side in (0, 1)) for pair in raw["train"]
    )
    assert leaked > 5
    report = (prepared / "clean" / "report.txt").read_text()
    assert "pairs: 310\n" in report
    assert f"dropped, in a held-out set: {leaked}\n" in report


def test_french_has_its_own_rules(prepared):
    tokens = [pair[0] for name in ("train", "valid", "test") for pair in read(prepared / "tok", name)]
    assert any(line.startswith("L&apos; homme regarde l&apos; arbre , ") for line in tokens)
    assert any(line.startswith("M. Petit n&apos; a pas vu &quot; la mer &quot; , ") for line in tokens)
    repeated_in_process(prepared)


def test_the_other_direction_makes_a_new_bin_alone(prepared, corpus, tmp_path):
    out = shutil.copytree(prepared, tmp_path / "out")
    turned = ("--source-lang", "en", "--target-lang", "fr", *CUT[4:])
    result = run("--from", corpus, "--out", out, *turned, "--bpe", 150, "--ratio", 3)
    succeeded(result)
    stages = ("raw", "tokenise", "clean", "codes", "bpe", "binarise", "record")
    assert [name for name in stages if f"{name}: start" in result.stderr] == ["binarise", "record"]
    assert (out / "bin" / "test.en-fr.fr.idx").exists()
    assert (read_record(out / "text.json").source, read_record(out / "text.json").target) == ("en", "fr")


def test_a_run_keeps_the_record_and_can_be_moved(prepared, tmp_path):
    data = shutil.copytree(prepared, tmp_path / "data")
    script("scripts/train.sh", data / "bin", "--arch", ARCH, "--save-dir", tmp_path / "run", "--smoke", "--cpu")
    raw, pieces = (read(prepared / folder, "test") for folder in ("raw", "bpe"))
    shutil.rmtree(data)
    record = read_record(shutil.move(tmp_path / "run", tmp_path / "moved") / "text" / "text.json")
    assert [record.encoder()(pair[0]) for pair in raw] == [pair[0] for pair in pieces]
    assert [file.find(record.folder).parent.name for file in record.files()] == ["text", "bin", "bin"]


def test_sets_of_ones_own_in_pieces_of_sentencepiece(tmp_path):
    """A folder with compressed files and two test sets, of a language that sacremoses is not asked about."""
    text = pairs()
    folder = tmp_path / "text"
    folder.mkdir()
    for name, part in (("train", text[60:]), ("valid", text[:20]), ("test", text[20:40]), ("test1", text[40:60])):
        write(folder / name, part, compress=name != "test1")
    out = tmp_path / "out"
    options = ("--tokeniser", "none", "--subwords", "sentencepiece", "--bpe", 120)
    succeeded(run("--from", folder, "--out", out, *LANGUAGES, *options))
    assert read(out / "raw", "test1") == text[40:60]
    assert (out / "raw" / "test.names").read_text() == "test test\ntest1 test1\n"
    assert "kept: 180\n" in (out / "clean" / "report.txt").read_text()
    assert (out / "bin" / "test1.fr-en.en.idx").exists()
    model = sentencepiece.SentencePieceProcessor(model_file=str(out / "spm.model"))
    assert 60 < model.get_piece_size() <= 120
    for given, pieces in zip(text[20:40], read(out / "bpe", "test")):
        for side in (0, 1):
            assert pieces[side].split(" ") == model.encode(given[side], out_type=str)
    repeated_in_process(out)
    record = read_record(out / "text.json")
    assert record.decoder()(read(out / "bpe", "test")[0][1]) == text[20][1]


def test_a_language_without_rules_is_named(tmp_path):
    prefix = tmp_path / "made"
    write(prefix, pairs())
    prefix.with_name("made.fr").rename(tmp_path / "made.eo")
    options = ("--source-lang", "eo", "--target-lang", "en", "--valid", 5, "--test", 5, "--dry-run")
    result = run("--from", prefix, "--out", tmp_path / "out", *options)
    succeeded(result)
    assert "sacremoses has no rules for the language eo and takes the abbreviations of English" in result.stderr
    assert "language en " not in result.stderr
    assert not (tmp_path / "out").exists()
    assert (
        "has no rules" not in run("--from", prefix, "--out", tmp_path / "out", *options, "--tokeniser", "none").stderr
    )


BAD = {
    "fewer lines": (lambda f: (f / "train.fr").write_text("un\ndeux\n"), (), "ends where"),
    "missing side": (lambda f: (f / "train.en").unlink(), (), "train.fr is there but its other side is missing"),
    "missing side of a set": (lambda f: (f / "valid.en").write_text("x\n"), (), "valid.en is there but its other side"),
    "no training text": (lambda f: [path.unlink() for path in f.iterdir()], (), "no train.fr or train.en (or .gz) in"),
    "no such text": (lambda f: shutil.rmtree(f), (), "nor {folder}.fr is there; --from takes a folder"),
    "one language": (lambda f: None, ("--target-lang", "fr"), "are both fr; a pair has two languages"),
    "no language": (lambda f: None, ("--target-lang", "english.txt"), "takes a language's letters, such as fr"),
    "too few lines": (lambda f: None, ("--test", 9), "19 pairs cannot be set apart of 12"),
    "a set twice": (
        lambda f: write(f / "valid", pairs()[:4]),
        (),
        "--valid 10: valid is in {folder} already; leave the option out",
    ),
    "no tokeniser": (lambda f: None, ("--tokeniser", "moses"), "--tokeniser takes sacremoses or none, not 'moses'"),
    "url": (lambda f: None, ("--url", "x"), "--url has no meaning here: nothing is fetched"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input(kind, tmp_path):
    spoil, options, said = BAD[kind]
    folder = tmp_path / "text"
    folder.mkdir()
    write(folder / "train", pairs()[:12])
    spoil(folder)
    before = tree(tmp_path)
    result = run("--from", folder, "--out", tmp_path / "out", *LANGUAGES, "--valid", 10, "--test", 1, *options)
    refused(result, said.format(folder=folder))
    assert tree(tmp_path) == before
