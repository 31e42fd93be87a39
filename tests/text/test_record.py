"""text.json: written and read, and what it repeats in this process against the tools' own commands."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_tools import ROOT
from sacremoses.cli import cli as sacremoses

from fairseq_plugins.errors import UserError
from fairseq_plugins.text.holding_out import choose
from fairseq_plugins.text.record import TextRecord, read_record
from fairseq_plugins.text.steps import KnownFile, Lowercase, Sacremoses, SingleBlanks, SubwordNmt

ODD = [
    "",
    " ",
    'Er sagte: "Ja."',
    'Sie fragte "warum..."',
    "l'homme qu'aujourd'hui « rien » n' effraie .'",
    "EU:n päätös, EU:ssa 20:een",
    "A.B. etc. &amp; <b>x</b> [1] a|b \u00a0%\u00a0! 3\u00a0000 …",
    "@-@ @@ ein@@ er \u200b\u200d👩\u200d👩 🎈",
    "\tzwei\u3000drei  vier\u00a0",
    "THISISPROTECTED000 DOTMULTI.... .. ...",
    "東京は、日本の首都です。",
]
#: what raw text may hold: no control characters but the tab, no surrogates, no line separators
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], include_characters="\t"), max_size=40)


@pytest.fixture
def folder(tmp_path):
    """A record's folder: codes that subword-nmt learnt, and dictionaries."""
    text = "ein mann und eine frau\nzwei männer und ein hund\n" * 3
    learn = [Path(sys.executable).with_name("subword-nmt"), "learn-bpe", "-s", "20"]
    codes = subprocess.run(learn, input=text.encode(), capture_output=True, check=True).stdout
    (tmp_path / "bpe.codes").write_bytes(codes)
    (tmp_path / "bin").mkdir()
    for language in ("de", "en"):
        (tmp_path / "bin" / f"dict.{language}.txt").write_text(f"ein 3\n{language} 1\n")
    return tmp_path


def record_of(folder, **steps):
    pieces = SubwordNmt(KnownFile.of(folder, "bpe.codes"))
    steps = {
        language: [*steps.get(language, [Sacremoses(language, ["tokenize"])]), pieces] for language in ("de", "en")
    }
    dictionaries = {language: KnownFile.of(folder, f"bin/dict.{language}.txt") for language in ("de", "en")}
    return TextRecord("de", "en", steps, dictionaries, folder)


def by_command(language, commands, lines):
    """What the command of sacremoses makes of a file of these lines."""
    text = "".join(f"{line}\n" for line in lines)
    done = CliRunner().invoke(sacremoses, ["-q", "-l", language, *commands], input=text.encode())
    assert done.exit_code == 0, done.output
    return done.stdout_bytes.decode().split("\n")[:-1]


@pytest.mark.parametrize("language", ["de", "en", "fr", "fi", "cs", "eo"])
@pytest.mark.parametrize("commands", [["normalize", "tokenize"], ["tokenize"]])
def test_sacremoses_as_by_its_command(language, commands):
    encode = Sacremoses(language, commands).encoder(Path())
    assert [encode(line) for line in ODD] == by_command(language, commands, ODD)


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=6), st.sampled_from(["de", "en", "fr"]))
def test_sacremoses_on_any_text(lines, language):
    encode = Sacremoses(language, ["normalize", "tokenize"]).encoder(Path())
    assert [encode(line) for line in lines] == by_command(language, ["normalize", "tokenize"], lines)


@settings(max_examples=3, deadline=None)
@given(st.lists(TEXT, min_size=200, max_size=300))
def test_bpe_as_by_its_command(tmp_path_factory, lines):
    folder = tmp_path_factory.mktemp("bpe")
    (folder / "codes").write_text("#version: 0.2\ne i\nei n</w>\n0 0\n", encoding="utf-8")
    lines += ODD
    apply = [Path(sys.executable).with_name("subword-nmt"), "apply-bpe", "-c", folder / "codes"]
    text = "".join(f"{line}\n" for line in lines).encode()
    expected = subprocess.run(apply, input=text, capture_output=True, check=True).stdout.decode()
    encode = SubwordNmt(KnownFile.of(folder, "codes")).encoder(folder)
    assert "".join(f"{encode(line)}\n" for line in lines) == expected


def test_decoding_undoes_it(folder):
    record = record_of(folder, en=[Sacremoses("en", ["normalize", "tokenize"]), Lowercase()])
    lines = ['a man\'s dog, "ein" & co.', "", "it isn't (3.5%) of [that] 🎈!"]
    pieces = list(map(record.encoder("en"), lines))
    assert any("@@" in line for line in pieces)
    assert list(map(record.decoder(), pieces)) == lines


def test_other_versions_are_named(folder, caplog):
    record_of(folder).encoder()
    assert not caplog.records
    record_of(folder, de=[Sacremoses("de", ["tokenize"], "0.0.9")]).encoder()
    assert "the text went through sacremoses 0.0.9, but " in caplog.text


# ------------------------------------------------------------------ the file


def test_written_read_and_copied(folder, tmp_path):
    record = record_of(folder, en=[SingleBlanks(), Lowercase()])
    record.write(folder / "text.json")
    assert read_record(folder / "text.json") == record
    record.copy(tmp_path / "run" / "text")
    copied = read_record(tmp_path / "run" / "text" / "text.json")
    assert copied == record
    shutil.move(folder / "bpe.codes", folder / "gone")
    assert copied.encoder()("ein mann") == "ein mann"
    with pytest.raises(UserError, match=r"bpe\.codes: no such file, but the text went through it"):
        record.encoder()
    (folder / "bpe.codes").write_text("#version: 0.2\n")
    with pytest.raises(UserError, match=r"bpe\.codes: not the file that the text went through"):
        record.encoder()


def test_a_run_keeps_what_belongs_to_its_data(folder, tmp_path):
    record_of(folder).write(folder / "text.json")
    keep = [sys.executable, ROOT / "scripts" / "keep_text_record.py"]
    assert subprocess.run([*keep, folder / "bin", tmp_path / "run"], capture_output=True, text=True).stderr == ""
    assert read_record(tmp_path / "run" / "text.json") == read_record(folder / "text.json")
    (folder / "other").mkdir()
    assert subprocess.run([*keep, folder / "other", tmp_path / "no"], capture_output=True, text=True).stderr == ""
    (folder / "bpe.codes").unlink()
    done = subprocess.run([*keep, folder / "bin", tmp_path / "no"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("train.sh: no record of the text is kept: ")
    assert "bpe.codes: no such file" in done.stderr
    assert not (tmp_path / "no").exists()


def change(*keys, to):
    def spoil(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to

    return spoil


DAMAGED = {
    "no step of that name": change("steps", "de", 0, "tool", to="spacy"),
    "no command of that name": change("steps", "de", 0, "commands", to=["truecase"]),
    "a value of another kind": change("steps", "de", 0, "version", to=3),
    "codes without a checksum": change("steps", "de", 1, "codes", to="bpe.codes"),
    "a value too many": change("steps", "en", 1, "dropout", to="0.1"),
    "no steps": change("steps", to={"de": []}),
    "no dictionary": change("dictionaries", "en", to=None),
    "no language": change("source", to=""),
    "no format": change("format", to="1"),
    "a file outside": change("dictionaries", "de", "name", to="../dict.de.txt"),
    "a file elsewhere": change("steps", "en", 1, "codes", "name", to="/etc/passwd"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_record_is_refused(kind, folder):
    path = folder / "text.json"
    record_of(folder).write(path)
    content = json.loads(path.read_text())
    DAMAGED[kind](content)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="no record of prepared text, or a damaged one; prepare the text again"):
        read_record(path)


def test_what_is_no_record(folder):
    path = folder / "text.json"
    with pytest.raises(UserError, match="cannot be read"):
        read_record(path)
    for content in (b"", b"[]", b"{", b"\xff", b"{}", b'"format"'):
        path.write_bytes(content)
        with pytest.raises(UserError, match="no record of prepared text"):
            read_record(path)
    path.write_text('{"format": 2}')
    with pytest.raises(UserError, match="written by a later version"):
        read_record(path)


# ------------------------------------------------------------------ held-out sets


@given(st.lists(st.tuples(st.sampled_from("abcdefgh "), st.sampled_from("stuvwxyz ")), max_size=40), st.integers(1, 6))
def test_held_out_pairs_share_no_side(pairs, count):
    whole = [pair for pair in pairs if " " not in pair]
    try:
        chosen = choose(lambda: pairs, count, seed=3)
    except UserError:
        # Taken one after the other in any order, n pairs that share no side block at most all with one of 2n sides.
        assert len(whole) <= count or min(len({pair[side] for pair in whole}) for side in (0, 1)) < 2 * count
        return
    assert len(chosen) == count < len(whole)
    for side in (0, 1):
        assert len({pairs[number][side] for number in chosen} - {" "}) == count


def test_the_choice_follows_from_text_and_seed():
    pairs = [(f"s{number}", f"t{number}") for number in range(500)]
    chosen = [pairs[number] for number in choose(lambda: pairs, 50, seed=1)]
    assert chosen == [pairs[::-1][number] for number in choose(lambda: pairs[::-1], 50, seed=1)]
    assert chosen != [pairs[number] for number in choose(lambda: pairs, 50, seed=2)]
    assert chosen[:20] == [pairs[number] for number in choose(lambda: pairs, 20, seed=1)]
    assert sum(int(source[1:]) for source, _ in chosen) / 50 == pytest.approx(250, abs=75)
