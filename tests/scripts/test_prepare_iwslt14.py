"""scripts/prepare_iwslt14.sh on cut files in the official layout: splits, lower case, broken files, its archive."""

import hashlib
import shutil

import pytest
from preparation import prepare, reading, refused, repeated_in_process, succeeded, tree
from releases import iwslt14, pack, write_unpacked

SMALL = ("--bpe", 90)
PARTS = ("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012")


def lines(path):
    return path.read_text(encoding="utf-8").split("\n")[:-1]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("served") / "de-en.tgz"
    pack(path, {f"de-en/{name}": data for name, data in iwslt14().items()})
    return path


@pytest.fixture(scope="module")
def prepared(archive, tmp_path_factory):
    """A run that fetches the archive."""
    out = tmp_path_factory.mktemp("prepared") / "out"
    result = prepare("iwslt14", "--url", archive.parent.as_uri(), "--out", out, *SMALL)
    succeeded(result)
    return out


def test_splits_are_those_of_fairseq(prepared):
    """Its own rules over the tokenised text: titles and descriptions stay, every 23rd kept pair is for validation."""
    files = iwslt14()
    training = files["train.tags.de-en.en"].decode().split("\n")[:-1]
    training = [line for line in training if not line.startswith(("<url>", "<talkid>", "<keywords>"))]
    for tag in ("<title>", "</title>", "<description>", "</description>"):
        training = [line.replace(tag, "") for line in training]
    assert lines(prepared / "raw" / "train.en") == [line.strip() for line in training]

    sides = [lines(prepared / "tok" / f"train.{language}") for language in ("de", "en")]
    assert sides[1] == [line.lower() for line in sides[1]]
    tests = [set(lines(prepared / "tok" / f"test.{language}")) for language in ("de", "en")]
    kept = []
    for pair in zip(*sides):
        a, b = (len(side.split()) for side in pair)
        leaked = any(side in test and len(side.split()) >= 6 for side, test in zip(pair, tests))
        if min(a, b) >= 1 and max(a, b) <= min(175, 1.5 * min(a, b)) and not leaked:
            kept.append(pair)
    assert len(kept) > 46
    for side, language in enumerate(("de", "en")):
        valid = [pair[side] for number, pair in enumerate(kept, start=1) if number % 23 == 0]
        train = [pair[side] for number, pair in enumerate(kept, start=1) if number % 23 != 0]
        assert lines(prepared / "clean" / f"valid.{language}") == valid
        assert lines(prepared / "clean" / f"train.{language}") == train
        assert (prepared / "bin" / f"valid.de-en.{language}.bin").stat().st_size > 0
        merged = (prepared / "bpe" / f"valid.{language}").read_text(encoding="utf-8").replace("@@ ", "")
        assert merged.split("\n")[:-1] == valid
    report = (prepared / "clean" / "report.txt").read_text()
    assert f"kept: {len(kept)}\nof these set apart, one of 23: {len(kept) // 23}\n" in report


def test_test_set_is_five_sets_in_one(prepared):
    expected = []
    for seed, name in enumerate(PARTS):
        text = iwslt14()[f"IWSLT14.{name}.de-en.en.xml"].decode()
        segments = [line.split(">", 1)[1].rsplit("<", 1)[0].strip() for line in text.split("\n") if "<seg" in line]
        assert len(segments) == 5 + seed
        expected += segments
    expected = [line.replace("\u2019", "'").replace("&amp;", "&") for line in expected]
    assert lines(prepared / "raw" / "test.en") == expected
    assert lines(prepared / "raw" / "test.lower.en") == [line.lower() for line in expected]
    assert lines(prepared / "raw" / "test.names") == [f"test {' '.join(PARTS)}"]
    assert len(lines(prepared / "bpe" / "test.de")) == len(expected)
    repeated_in_process(prepared)


def test_its_files_give_the_same(prepared, archive, tmp_path):
    """Unpacked, with two workers; of the download the checksum is on record."""
    record = (prepared / "download" / "de-en.tgz.sha256").read_text()
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert record == f"{digest}  de-en.tgz\n"
    write_unpacked(tmp_path / "de-en", {"": iwslt14()})
    out = tmp_path / "out"
    succeeded(prepare("iwslt14", "--from", tmp_path, "--out", out, *SMALL, "--workers", 2))
    for folder in ("raw", "clean", "bpe", "bin"):
        assert tree(out / folder) == tree(prepared / folder)


def test_another_archive_is_refused_later(prepared, archive, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(prepared, out)
    spoilt = tmp_path / "served" / "de-en.tgz"
    pack(spoilt, {"de-en/train.tags.de-en.de": b"x\n"})
    (out / "download" / "de-en.tgz").unlink()
    digest = (out / "download" / "de-en.tgz.sha256").read_text().split()[0]
    refused(prepare("iwslt14", "--url", spoilt.parent.as_uri(), "--out", out, *SMALL), f"but {digest} was expected")
    refused(prepare("iwslt14", "--from", archive, "--out", out, "--sha256", "0" * 64), "--sha256 says 0000")


def test_a_cut_archive_is_not_kept(archive, tmp_path):
    served = tmp_path / "served"
    served.mkdir()
    (served / "de-en.tgz").write_bytes(archive.read_bytes()[:-20])
    refused(prepare("iwslt14", "--url", served.as_uri(), "--out", tmp_path / "out"), "gave a damaged file")
    assert not (tmp_path / "out").exists()
    refused(prepare("iwslt14", "--from", served, "--out", tmp_path / "out"), "the stage 'unpack' stopped: tar failed")
    assert not (tmp_path / "out").exists()


BROKEN = {
    "cut xml": ("IWSLT14.TEDX.dev2012.de-en.de.xml", lambda d: d[:-30], "the XML is not well-formed"),
    "lost segment": (
        "IWSLT14.TED.tst2011.de-en.en.xml",
        lambda d: d[: d.index(b"<seg")] + d[d.index(b'<seg id="2"') :],
        "talk 1 has 8 sentences here and 7 in",
    ),
    "lost title": (
        "train.tags.de-en.de",
        lambda d: d.replace(b"<title>Ein Garten & mehr</title>\n", b"", 1),
        "talk 1 has 51 sentences here and 52 in",
    ),
    "latin-1": ("train.tags.de-en.de", lambda d: d.replace(b"hat", b"h\xe4t", 1), "train.tags.de-en.de:6: byte 0xe4"),
    "empty": ("train.tags.de-en.en", lambda d: b"", "train.tags.de-en.en: the file is empty"),
    "missing": ("IWSLT14.TED.tst2010.de-en.en.xml", None, "tst2010.de-en.en.xml is missing"),
}


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reading")
    write_unpacked(folder / "release", {"": iwslt14()})
    return reading("iwslt14", folder / "release", folder / "out")


@pytest.mark.parametrize("kind", ["lost segment", "lost title", "latin-1", "empty"])
def test_broken_text(kind, read, tmp_path, capfd):
    """By the command that the script calls, in this process."""
    name, spoil, said = BROKEN[kind]
    write_unpacked(tmp_path / "release", {"": iwslt14()})
    path = tmp_path / "release" / name
    path.write_bytes(spoil(path.read_bytes()))
    before = tree(tmp_path / "release")
    refused(read(tmp_path / "release", tmp_path / "out", capfd), said)
    assert tree(tmp_path / "release") == before


@pytest.mark.parametrize("kind", ["cut xml", "latin-1", "missing"])
def test_broken_files(kind, tmp_path):
    name, spoil, said = BROKEN[kind]
    write_unpacked(tmp_path / "release", {"": iwslt14()})
    path = tmp_path / "release" / name
    if spoil:
        path.write_bytes(spoil(path.read_bytes()))
    else:
        path.unlink()
    before = tree(tmp_path)
    refused(prepare("iwslt14", "--from", tmp_path / "release", "--out", tmp_path / "out"), said)
    assert tree(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_dry_run_and_help(archive, tmp_path):
    for source in ((), ("--from", archive)):
        result = prepare("iwslt14", "--dry-run", "--out", tmp_path / "out", *source)
        succeeded(result)
        for words in ("--titles", "--split 23", "learn-bpe -s 10000", "--max 175 --ratio 1.5", "fairseq-preprocess "):
            assert words in result.stdout
        assert ("curl" in result.stdout) == (not source)
    assert list(tmp_path.iterdir()) == []
    assert "examples:" in prepare("iwslt14", "--help").stdout
    assert prepare("iwslt14", "--sha256", "abc", "--out", tmp_path / "out").returncode == 2
