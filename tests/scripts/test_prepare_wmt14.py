"""scripts/prepare_wmt14.sh on cut files in the official layout: archives, mirror, cleaning, broken files."""

import hashlib
import os
import shlex
import shutil

import pytest
from preparation import library, prepare, reading, refused, repeated_in_process, stub, stub_environment, succeeded, tree
from releases import LEAKED, SIZES, pack, wmt14, write_unpacked

STAGES = ("unpack", "raw", "tokenise", "clean", "codes", "bpe", "binarise", "record")
SMALL = ("--bpe", 90, "--disk", 0)


def archives(folder, pair="en-de"):
    """All archives of the pair, dev as the mirror's zip."""
    for name, files in wmt14(pair).items():
        pack(folder / name.replace("dev.tgz", "dev.zip"), files)
    return folder


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """An undisturbed run over the archives of English-German, and their folder."""
    folder = archives(tmp_path_factory.mktemp("archives of WMT14"))
    out = tmp_path_factory.mktemp("prepared") / "out"
    result = prepare("wmt14", "--from", folder, "--out", out, *SMALL, "--drop-duplicates")
    succeeded(result)
    return folder, out, result.stderr


def lines(path):
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def test_raw_text(prepared):
    _, out, said = prepared
    files = wmt14()
    for name in ("en", "de"):
        training = b"".join(
            files[archive][path.format(name)]
            for archive, path in (
                ("training-parallel-europarl-v7.tgz", "training/europarl-v7.de-en.{}"),
                ("training-parallel-commoncrawl.tgz", "commoncrawl.de-en.{}"),
                ("training-parallel-nc-v9.tgz", "training/news-commentary-v9.de-en.{}"),
            )
        )
        assert lines(out / "raw" / f"train.{name}") == training.decode().replace("\u0085", " ").split("\n")[:-1]
        assert (out / "raw" / f"valid.{name}").read_bytes() == files["dev.tgz"][f"dev/newstest2013.{name}"]
    assert lines(out / "raw" / "test.de")[-2:] == [LEAKED[0], "Meier & Sohn <neu>"]
    assert lines(out / "raw" / "test.en")[-2:] == [LEAKED[1], 'Meier & Sons "new"']
    assert lines(out / "raw" / "test.names") == ["test newstest2014"]
    assert f"europarl-v7.de-en.en: {SIZES['europarl']} pairs" in said
    assert said.count("differs from the published one; going on with it") == 5
    assert sorted(path.name for path in out.iterdir()) == sorted(
        [".stamps", "orig", "raw", "tok", "clean", "bpe.codes", "bpe", "bin", "text.json"]
    )
    for side in ("en", "de"):
        assert (out / "bin" / f"test.en-de.{side}.bin").stat().st_size > 0


def test_cleaning(prepared):
    """What a naive reading of the rules keeps: length, ratio, nothing of the test sets, no pair twice."""
    _, out, said = prepared
    tok = {
        (split, side): lines(out / "tok" / f"{split}.{side}")
        for split in ("train", "valid", "test")
        for side in ("en", "de")
    }
    held = {side: set(tok["valid", side]) | set(tok["test", side]) for side in ("en", "de")}
    kept, leaked = [], 0
    for en, de in zip(tok["train", "en"], tok["train", "de"]):
        a, b = len(en.split()), len(de.split())
        if not (1 <= a <= 250 and 1 <= b <= 250 and a <= 1.5 * b and b <= 1.5 * a):
            continue
        if (en in held["en"] and a >= 6) or (de in held["de"] and b >= 6):
            leaked += 1
        elif (en, de) not in kept:
            kept.append((en, de))
    assert list(zip(lines(out / "clean" / "train.en"), lines(out / "clean" / "train.de"))) == kept
    assert leaked > 1
    report = (out / "clean" / "report.txt").read_text()
    for line in (f"dropped, in a held-out set: {leaked}\n", "dropped, empty: 1\n", f"kept: {len(kept)}\n"):
        assert line in report
    found = sum(de in tok["train", "de"] for de in tok["test", "de"])
    assert f"test sentences that also stand in the training text: {found} by source, {found} by target" in report
    assert "in a held-out set" in said
    # Learnt jointly: one code table and one dictionary.
    assert len(lines(out / "bpe.codes")) == 91
    assert (out / "bin" / "dict.en.txt").read_bytes() == (out / "bin" / "dict.de.txt").read_bytes()


def test_second_run_does_nothing(prepared):
    folder, out, _ = prepared
    before = tree(out)
    result = prepare("wmt14", "--from", folder, "--out", out, *SMALL, "--drop-duplicates")
    succeeded(result)
    assert result.stderr.count("up to date") == len(STAGES)
    assert tree(out) == before


def test_english_french_from_its_files(tmp_path, prepared):
    """Five corpora, unpacked, gzipped files among them; only the UN corpus still in its archive; two workers."""
    files = wmt14("en-fr")
    source = tmp_path / "WMT 14"
    pack(source / "training-parallel-un.zip", files.pop("training-parallel-un.tgz"))
    write_unpacked(source / "training", files)
    out = tmp_path / "out"
    result = prepare("wmt14", "--pair", "en-fr", "--from", source, "--out", out, *SMALL, "--workers", 2)
    succeeded(result)
    assert len(lines(out / "raw" / "train.fr")) == sum(SIZES.values())
    assert sorted(os.listdir(out / "orig")) == ["undoc.2000.fr-en.en", "undoc.2000.fr-en.fr"]
    assert (out / "bin" / "train.en-fr.fr.idx").stat().st_size > 0
    repeated_in_process(out)


# ------------------------------------------------------------------ broken files


def change(archive, name, function):
    """Spoil one file before it is packed."""

    def spoil(folder):
        files = wmt14()[archive]
        files[name] = function(files[name])
        pack(folder / archive, {path: data for path, data in files.items() if data is not None})

    spoil.file, spoil.function = name.rpartition("/")[2], function
    return spoil


def cut(name, keep):
    def spoil(folder):
        path = folder / name
        path.write_bytes(path.read_bytes()[:keep])

    return spoil


EUROPARL = ("training-parallel-europarl-v7.tgz", "training/europarl-v7.de-en.de")
SOURCE = ("test-full.tgz", "test-full/newstest2014-deen-src.en.sgm")
BROKEN = {
    "cut tgz": (cut("training-parallel-europarl-v7.tgz", -9), "europarl-v7.tgz is damaged or incomplete"),
    "no tgz": (cut("training-parallel-nc-v9.tgz", 0), "nc-v9.tgz is damaged or incomplete"),
    "cut zip": (cut("dev.zip", 200), "dev.zip is damaged or incomplete"),
    "missing archive": (
        lambda folder: (folder / "training-parallel-nc-v9.tgz").unlink(),
        "neither news-commentary-v9.de-en.en (or .gz) nor training-parallel-nc-v9.tgz is in",
    ),
    "missing side": (change(*EUROPARL, lambda data: None), "europarl-v7.de-en.de is missing"),
    "other pair": (
        lambda folder: pack(folder / EUROPARL[0], {"training/europarl-v7.cs-en.cs": b"x\n"}),
        "no europarl-v7.de-en.en and europarl-v7.de-en.de in training-parallel-europarl-v7.tgz",
    ),
    "fewer lines": (change(*EUROPARL, lambda data: data.rsplit(b"\n", 3)[0]), "europarl-v7.de-en.en:299 goes on"),
    "latin-1": (
        change(*EUROPARL, lambda data: data.replace(b"hat", b"h\xe4t", 1)),
        "europarl-v7.de-en.de:1: byte 0xe4 at column",
    ),
    "empty file": (change(*EUROPARL, lambda data: b""), "europarl-v7.de-en.de: the file is empty"),
    "cut segment": (
        change(*SOURCE, lambda data: data[: data.rindex(b"</seg>")]),
        "src.en.sgm:19: this <seg> has no end",
    ),
    "cut document": (change(*SOURCE, lambda data: data[: data.index(b"</p>")]), "src.en.sgm:9: the file is cut off"),
    "nested segment": (
        change(*SOURCE, lambda data: data.replace(b"</seg>\n", b"\n", 1)),
        "src.en.sgm:5: <seg> where none may stand",
    ),
    "lost segment": (
        change(*SOURCE, lambda data: data[: data.index(b"<seg")] + data[data.index(b'<seg id="2"') :]),
        "src.en.sgm:4: talk 1 has 5 sentences here and 6 in",
    ),
    "no segment": (
        change(*SOURCE, lambda data: b'<srcset setid="x" srclang="any">\n</srcset>\n'),
        "src.en.sgm: the file holds no sentence",
    ),
}


#: what reading finds and not unpacking
TEXT = ["fewer lines", "latin-1", "empty file", "cut segment", "cut document"]
TEXT += ["nested segment", "lost segment", "no segment"]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """A folder of the archives' files, and how the script reads them."""
    folder = tmp_path_factory.mktemp("unpacked")
    write_unpacked(folder / "source", wmt14())
    return folder / "source", reading("wmt14", folder / "source", folder / "out", *SMALL)


@pytest.mark.parametrize("kind", TEXT)
def test_broken_text(kind, unpacked, tmp_path, capfd):
    """By the command that the script calls, in this process."""
    spoil, said = BROKEN[kind]
    source, read = unpacked
    changed = shutil.copytree(source, tmp_path / "source")
    (changed / spoil.file).write_bytes(spoil.function((source / spoil.file).read_bytes()))
    before = tree(changed)
    refused(read(changed, tmp_path / "out", capfd), said)
    assert tree(changed) == before


@pytest.mark.parametrize("kind", [kind for kind in BROKEN if kind not in TEXT or kind in ("latin-1", "cut segment")])
def test_broken_files(kind, tmp_path):
    spoil, said = BROKEN[kind]
    source = archives(tmp_path / "source")
    spoil(source)
    before = tree(tmp_path)
    refused(prepare("wmt14", "--from", source, "--out", tmp_path / "out", *SMALL), said)
    left = tree(tmp_path)
    # Nothing but what was unpacked whole, under its stamp.
    assert {name: left[name] for name in before} == before
    assert {name.split("/")[1] for name in set(left) - set(before)} <= {"orig", ".stamps"}
    assert not (tmp_path / "out" / ".stamps" / "raw").exists()


def test_cut_gzip_inside(tmp_path):
    source = tmp_path / "source"
    write_unpacked(source, wmt14("en-fr"))
    cut("giga-fren.release2.fixed.fr.gz", 60)(source)
    result = prepare("wmt14", "--pair", "en-fr", "--from", source, "--out", tmp_path / "out", *SMALL)
    refused(result, "giga-fren.release2.fixed.fr.gz: the gzip file is damaged or incomplete")
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------ interruptions and downloads


def test_a_stage_that_failed_is_taken_up_again(tmp_path, stubs, prepared):
    folder, whole, _ = prepared
    out = tmp_path / "out"
    for name in ("sacremoses", "subword-nmt", "fairseq-preprocess"):
        stub(stubs, name, "exit 9")
    options = ("--from", folder, "--out", out, *SMALL, "--drop-duplicates")
    result = prepare("wmt14", *options, env=stub_environment(stubs))
    refused(result, "the stage 'tokenise' stopped: sacremoses failed with status 9")
    assert sorted(path.name for path in out.iterdir()) == [".stamps", "orig", "raw"]
    succeeded(prepare("wmt14", *options))
    assert tree(out) == tree(whole)


def test_the_mirror_is_tried_and_its_checksum_holds(tmp_path):
    """The official address is gone; what the mirror has is not the published archive either."""
    served = archives(tmp_path / "served")
    result = prepare("wmt14", "--url", served.as_uri(), "--out", tmp_path / "out", "--disk", 0)
    refused(
        result,
        "europarl-v7.tgz has the checksum",
        "; trying the mirror",
        "cannot fetch",
        "training-parallel-europarl-v7.zip",
    )
    assert not (tmp_path / "out").exists()


def test_fetch_first(tmp_path):
    """The first source that works counts, and one that is there is not fetched again."""
    (tmp_path / "b.zip").write_bytes(b"mirrored")
    missing, address = (shlex.quote((tmp_path / name).as_uri()) for name in ("a.tgz", "b.zip"))
    sources = f"a.tgz md5:{'0' * 32} {missing} b.zip {hashlib.sha256(b'mirrored').hexdigest()} {address}"
    body = f'fetch_first "$OUT/download" {sources}; echo "$FETCHED"'
    for turn in range(2):
        result = library(tmp_path, body, OUT=tmp_path / "out")
        succeeded(result)
        assert result.stdout.strip() == str(tmp_path / "out" / "download" / "b.zip")
        assert ("trying the mirror" in result.stderr) == (turn == 0)
    assert os.listdir(tmp_path / "out" / "download") == ["b.zip"]


def test_too_little_space(tmp_path):
    before = tree(tmp_path)
    refused(prepare("wmt14", "--out", tmp_path / "out", "--disk", 999999), "needs about 999999 GB, but only", "--out")
    assert tree(tmp_path) == before
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------ options


@pytest.mark.parametrize("pair", ["en-de", "en-fr"])
def test_dry_run_writes_nothing(pair, tmp_path, prepared):
    result = prepare("wmt14", "--dry-run", "--pair", pair, "--out", tmp_path / "out")
    succeeded(result)
    merges = {"en-de": 37000, "en-fr": 32000}[pair]
    for words in ("curl ", "https://www.statmt.org/wmt13/training-parallel-europarl-v7.tgz", f"learn-bpe -s {merges}"):
        assert words in result.stdout
    assert f"--source-lang en --target-lang {pair[3:]} --joined-dictionary" in result.stdout
    assert "--max 250 --ratio 1.5" in result.stdout
    if pair == "en-de":
        result = prepare("wmt14", "--dry-run", "--from", prepared[0], "--out", tmp_path / "out", "--source-lang", "de")
        succeeded(result)
        assert "--source-lang de --target-lang en" in result.stdout
        assert "curl" not in result.stdout
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "options",
    [
        ("--pair", "en-es"),
        ("--pair",),
        ("--source-lang", "fr"),
        ("--drop-held-out", "x"),
        ("--disk", "much"),
        ("--pair", "en-fr", "--target-lang", "de"),
    ],
)
def test_bad_options(options, tmp_path):
    result = prepare("wmt14", "--out", tmp_path / "out", *options)
    refused(result)
    assert result.returncode == 2
    assert not list(tmp_path.iterdir())


def test_help():
    result = prepare("wmt14", "--help")
    succeeded(result)
    for words in ("usage: bash scripts/prepare_wmt14.sh", "--pair", "newstest2013", "--disk", "examples:"):
        assert words in result.stdout


def test_from_must_be_a_folder(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    refused(prepare("wmt14", "--from", tmp_path / "file", "--out", tmp_path / "out"), "is not a folder")
    assert os.listdir(tmp_path) == ["file"]
