"""scripts/prepare_*.sh on made data: whole runs, bad data, interruptions, downloads."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from pipeline_tools import environment
from preparation import library, prepare, reading, refused, repeated_in_process, stub, stub_environment, succeeded, tree
from zygote import quick_python

from fairseq_plugins.text.toy import Pair, generate

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("multi30k", "iwslt17", "toy")
STAGES = ("raw", "tokenise", "clean", "codes", "bpe", "binarise", "record")
OUTPUTS = ("raw", "tok", "clean", "bpe.codes", "bpe", "bin", "text.json")
SIZES = {"train": 150, "val": 12, "test_2016_flickr": 10}
SMALL_TOY = ("--train", "150", "--valid", "10", "--test", "10")


def write(path: Path, text: str, compress: bool = False) -> Path:
    data = text.encode("utf-8")
    path.write_bytes(gzip.compress(data) if compress else data)
    return path


@pytest.fixture(scope="module")
def sentences() -> dict[str, list[Pair]]:
    return generate(7, SIZES)


@pytest.fixture(scope="module")
def captions(tmp_path_factory: pytest.TempPathFactory, sentences: dict[str, list[Pair]]) -> Path:
    """A folder in Multi30k's layout, one half of it compressed."""
    folder = tmp_path_factory.mktemp("captions")
    for name, pairs in sentences.items():
        for i, language in enumerate(("de", "en")):
            text = "".join(pair[i] + "\n" for pair in pairs)
            write(folder / f"{name}.{language}{'.gz' if i else ''}", text, compress=bool(i))
    return folder


@pytest.fixture(scope="module")
def prepared(captions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed run over it."""
    out = tmp_path_factory.mktemp("prepared") / "out"
    succeeded(prepare("multi30k", "--from", captions, "--out", out, "--bpe", 120))
    return out


@pytest.fixture
def copied(captions: Path, tmp_path: Path) -> Path:
    """A copy of the made captions to spoil."""
    return Path(shutil.copytree(captions, tmp_path / "data"))


# ------------------------------------------------------------------ whole runs


def test_layout(prepared: Path, sentences: dict[str, list[Pair]]) -> None:
    assert sorted(p.name for p in prepared.iterdir()) == sorted([".stamps", *OUTPUTS])
    for ours, name in (("train", "train"), ("valid", "val"), ("test", "test_2016_flickr")):
        for i, language in enumerate(("de", "en")):
            text = (prepared / "raw" / f"{ours}.{language}").read_text(encoding="utf-8")
            assert text.split("\n")[:-1] == [pair[i] for pair in sentences[name]]
            assert (prepared / "tok" / f"{ours}.{language}").read_text(encoding="utf-8").count("\n") == SIZES[name]
            for suffix in ("bin", "idx"):
                assert (prepared / "bin" / f"{ours}.de-en.{language}.{suffix}").stat().st_size > 0
    assert (prepared / "raw" / "test.names").read_text() == "test test_2016_flickr\n"
    assert (prepared / "bin" / "dict.de.txt").read_bytes() == (prepared / "bin" / "dict.en.txt").read_bytes()
    merged = (prepared / "bpe" / "test.en").read_text(encoding="utf-8").replace("@@ ", "")
    assert merged == (prepared / "tok" / "test.en").read_text(encoding="utf-8")
    assert (prepared / "bpe.codes").read_text(encoding="utf-8").count("\n") == 121
    assert "pairs: 150\n" in (prepared / "clean" / "report.txt").read_text()
    repeated_in_process(prepared)


def test_second_run_does_nothing(prepared: Path, captions: Path) -> None:
    times = {p: p.stat().st_mtime_ns for p in prepared.rglob("*")}
    result = prepare("multi30k", "--from", captions, "--out", prepared, "--bpe", 120)
    succeeded(result)
    assert result.stderr.count("up to date") == len(STAGES)
    assert ": start" not in result.stderr
    assert {p: p.stat().st_mtime_ns for p in prepared.rglob("*") if p.name != ".partial"} == times


def test_only_what_changed_is_made_again(prepared: Path, captions: Path, tmp_path: Path, stubs: Path) -> None:
    """A moved folder stays valid; a damaged file, another setting and another input redo their stages only."""
    out = Path(shutil.copytree(prepared, tmp_path / "moved"))
    with (out / "tok" / "train.de").open("ab") as file:
        file.write(b"damage\n")
    result = prepare("multi30k", "--from", captions, "--out", out, "--bpe", 120)
    succeeded(result)
    assert [stage for stage in STAGES if f"{stage}: start" in result.stderr] == ["tokenise"]
    assert tree(out) == tree(prepared)

    calls = tmp_path / "calls"
    for name in ("sacremoses", "subword-nmt"):
        stub(stubs, name, "exit 9")
    stub(stubs, "fairseq-preprocess", f'printf "%s\\n" "$*" >{shlex.quote(str(calls))}; exit 9')
    options = ("--from", captions, "--out", out, "--bpe", 120)
    other = ("--source-lang", "en", "--target-lang", "de")
    result = prepare("multi30k", *options, *other, env=stub_environment(stubs))
    refused(result, "the stage 'binarise' stopped: fairseq-preprocess failed with status 9")
    assert "--source-lang en --target-lang de --joined-dictionary" in calls.read_text()
    result = prepare("multi30k", *options, "--bpe", 130, env=stub_environment(stubs))
    refused(result, "the stage 'codes' stopped: subword-nmt failed with status 9")
    # The failures threw nothing away, and none of the tools is needed again.
    succeeded(prepare("multi30k", *options, env=stub_environment(stubs)))
    assert tree(out) == tree(prepared)


def test_toy(tmp_path: Path) -> None:
    out = tmp_path / "with a blank" / "töy (100%s)"
    result = prepare("toy", "--out", out, *SMALL_TOY, "--bpe", 100, "--source-lang", "en", "--target-lang", "de")
    succeeded(result)
    pairs = generate(1, {"test": 10, "valid": 10, "train": 150})
    for split in ("train", "valid", "test"):
        assert (out / "raw" / f"{split}.de").read_text(encoding="utf-8") == "".join(p.de + "\n" for p in pairs[split])
        assert (out / "bin" / f"{split}.en-de.de.bin").stat().st_size > 0
    quoted = re.search(r"ready: fairseq-train (.*) \.\.\. \(reference for sacreBLEU: (.*)\)\n", result.stderr)
    copied = subprocess.run(["bash", "-c", f"printf '%s\\n' {quoted[1]} {quoted[2]}"], capture_output=True, text=True)
    assert copied.stdout == f"{out}/bin\n{out}/raw/test.de\n"
    repeated_in_process(out)


def _release(folder: Path, sentences: dict[str, list[Pair]], direction: str = "en-de") -> None:
    """Files in the layout of the IWSLT release, from our own sentences."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, language in enumerate(("de", "en")):
        lines = ["<url>http://example.org/one</url>", "<talkid>1</talkid>", "<title>Titel & mehr</title>"]
        if language == "de":
            lines.append('<translator href="http://example.org">T</translator>')
        train = [f" {pair[i]} " for pair in sentences["train"]]
        lines += [*train[:70], "<url>http://example.org/two</url>", "<talkid>2</talkid>", *train[70:]]
        write(folder / f"train.tags.{direction}.{language}", "".join(f"{line}\n" for line in lines))
        for name, pairs in (
            ("dev2010", sentences["val"]),
            ("tst2014", sentences["test_2016_flickr"]),
            ("tst2015", sentences["test_2016_flickr"][:5]),
        ):
            segments = "".join(f'<seg id="{n}">  {escape(p[i] + " A&B")}  </seg>\n' for n, p in enumerate(pairs))
            write(
                folder / f"IWSLT17.TED.{name}.{direction}.{language}.xml",
                f'<?xml version="1.0" encoding="UTF-8"?>\n<mteval><srcset><doc>\n{segments}</doc></srcset></mteval>\n',
            )


def test_iwslt17_from_its_archive(tmp_path: Path, sentences: dict[str, list[Pair]]) -> None:
    _release(tmp_path / "de-en", sentences, "de-en")
    archive = tmp_path / "de-en.tgz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(tmp_path / "de-en", "de-en")
    shutil.rmtree(tmp_path / "de-en")
    out, tests = tmp_path / "out", ("--tests", "tst2015 tst2014")
    refused(prepare("iwslt17", "--from", archive, "--out", out, "--sha256", "0" * 64), "--sha256 says 0000")
    assert not out.exists()
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    options = ("--from", tmp_path, "--out", out, *tests, "--bpe", 120, "--sha256", digest)
    succeeded(prepare("iwslt17", *options))
    raw = {name: (out / "raw" / name).read_text(encoding="utf-8") for name in os.listdir(out / "raw")}
    assert raw["test.names"] == "test tst2015\ntest1 tst2014\n"
    assert raw["train.de"] == "".join(pair.de + "\n" for pair in sentences["train"])
    assert raw["test1.en"] == "".join(pair.en + " A&B\n" for pair in sentences["test_2016_flickr"])
    assert raw["test.en"].count("\n") == 5
    assert (out / "bin" / "test1.de-en.en.bin").stat().st_size > 0
    assert "A &amp; B" in (out / "tok" / "valid.de").read_text(encoding="utf-8")
    repeated_in_process(out)


# ------------------------------------------------------------------ bad data


def _spoil(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return spoil


def _line(number: int, new: bytes) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        compressed = data[:2] == b"\x1f\x8b"
        lines = (gzip.decompress(data) if compressed else data).split(b"\n")
        lines[number - 1] = new
        return gzip.compress(b"\n".join(lines)) if compressed else b"\n".join(lines)

    return change


BAD_CAPTIONS = {
    "fewer lines": (_spoil("train.de", lambda d: d.rsplit(b"\n", 4)[0]), "train.en.gz:148 goes on"),
    "more lines": (_spoil("val.de", lambda d: d + b"Eine mehr.\n"), "val.de:13 goes on"),
    "latin-1": (_spoil("train.de", _line(77, "Mädchen".encode("latin-1"))), "train.de:77: byte 0xe4"),
    "cut character": (_spoil("val.de", lambda d: d.rstrip(b".\n") + "ä".encode()[:1]), "val.de:12: byte 0xc3"),
    "null": (_spoil("train.en.gz", _line(3, b"a\0b")), "train.en.gz:3: control or line-separator character U+0000"),
    "U+2028": (_spoil("test_2016_flickr.de", _line(2, "a\u2028b".encode())), "flickr.de:2: control or line-separator"),
    "U+0085": (_spoil("train.de", _line(9, "a\u0085b".encode())), "train.de:9: control or line-separator"),
    "CR LF": (_spoil("val.de", lambda d: d.replace(b"\n", b"\r\n")), "val.de:1: the line ends in CR LF"),
    "empty line": (_spoil("train.de", _line(50, b"")), "train.de:50: the line is empty"),
    "blank line": (_spoil("test_2016_flickr.en.gz", _line(4, b" \t ")), "flickr.en.gz:4: the line is empty"),
    "empty file": (_spoil("val.de", lambda d: b""), "val.de: the file is empty"),
    "empty gzip": (_spoil("val.en.gz", lambda d: gzip.compress(b"")), "val.en.gz: the file is empty"),
    "cut gzip": (_spoil("train.en.gz", lambda d: d[: len(d) // 2]), "train.en.gz: the gzip file is damaged"),
    "missing": (lambda folder: (folder / "val.de").unlink(), "no val.de or val.de.gz in"),
}


@pytest.fixture(scope="module")
def read_captions(captions: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable:
    return reading("multi30k", captions, tmp_path_factory.mktemp("reading") / "out")


@pytest.mark.parametrize("kind", sorted(BAD_CAPTIONS.keys() - {"missing"}))  # which the script finds itself
def test_bad_captions(
    kind: str, read_captions: Callable, copied: Path, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    """By the command that the script calls, in this process; what the script makes of an error is below."""
    spoil, said = BAD_CAPTIONS[kind]
    spoil(copied)
    before = tree(copied)
    refused(read_captions(copied, tmp_path / "out", capfd), said)
    assert tree(copied) == before


@pytest.mark.parametrize("kind", ["fewer lines", "cut gzip", "missing"])
def test_bad_captions_end_the_script(kind: str, copied: Path, tmp_path: Path) -> None:
    spoil, said = BAD_CAPTIONS[kind]
    spoil(copied)
    before = tree(tmp_path)
    refused(prepare("multi30k", "--from", copied, "--out", tmp_path / "out"), said)
    assert not (tmp_path / "out").exists()
    assert tree(tmp_path) == before


def test_bad_captions_leave_an_earlier_result_alone(prepared: Path, copied: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(prepared, tmp_path / "out"))
    BAD_CAPTIONS["latin-1"][0](copied)
    refused(prepare("multi30k", "--from", copied, "--out", out, "--bpe", 120), "train.de:77: byte 0xe4")
    assert tree(out) == tree(prepared)


def test_remedies_of_the_messages_work(copied: Path, tmp_path: Path, stubs: Path) -> None:
    """--drop-empty and --repair do what the errors promise; what follows the raw stage is not needed for that."""
    for name in ("sacremoses", "subword-nmt", "fairseq-preprocess"):
        stub(stubs, name, "exit 9")
    BAD_CAPTIONS["empty line"][0](copied)
    BAD_CAPTIONS["null"][0](copied)
    options = ("--from", copied, "--out", tmp_path / "out", "--drop-empty", "--repair")
    result = prepare("multi30k", *options, env=stub_environment(stubs))
    refused(result, "the stage 'tokenise' stopped: sacremoses failed with status 9")
    assert (tmp_path / "out" / "raw" / "train.en").read_text(encoding="utf-8").split("\n")[2] == "a b"
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [".stamps", "raw"]


BAD_RELEASES = {
    "cut xml": (_spoil("IWSLT17.TED.tst2015.en-de.de.xml", lambda d: d[:-30]), "de.xml:7: the XML is not well-formed"),
    "missing segment": (
        _spoil("IWSLT17.TED.dev2010.en-de.en.xml", lambda d: d[: d.index(b"<seg")] + d[d.index(b'<seg id="1"') :]),
        "dev2010.en-de.de.xml:3: talk 1 has 12 sentences here and 11 in",
    ),
    "shifted talk": (
        _spoil(
            "train.tags.en-de.de",
            lambda d: (
                d.replace(b"<talkid>2</talkid>\n", b"").replace(b"<url>http://example.org/two</url>\n", b"", 1)
                + b"<url>u</url>\n"
            ),
        ),
        "talk 1 has 150 sentences here and 70 in",
    ),
    "missing side": (
        lambda folder: (folder / "IWSLT17.TED.tst2015.en-de.en.xml").unlink(),
        "tst2015.en-de.en.xml is missing",
    ),
    "missing train": (lambda folder: (folder / "train.tags.en-de.de").unlink(), "needed for the training text"),
    "latin-1": (_spoil("train.tags.en-de.de", _line(8, b"M\xe4dchen")), "train.tags.en-de.de:8: byte 0xe4"),
}


@pytest.fixture(scope="module")
def read_release(tmp_path_factory: pytest.TempPathFactory, sentences: dict[str, list[Pair]]) -> Callable:
    folder = tmp_path_factory.mktemp("reading")
    _release(folder / "release", sentences)
    return reading("iwslt17", folder / "release", folder / "out", "--tests", "tst2015")


@pytest.mark.parametrize("kind", ["missing segment", "shifted talk", "latin-1"])
def test_bad_text_of_a_release(
    kind: str, read_release: Callable, tmp_path: Path, sentences: dict[str, list[Pair]], capfd: pytest.CaptureFixture
) -> None:
    """By the command that the script calls, in this process."""
    _release(tmp_path / "release", sentences)
    spoil, said = BAD_RELEASES[kind]
    spoil(tmp_path / "release")
    before = tree(tmp_path / "release")
    refused(read_release(tmp_path / "release", tmp_path / "out", capfd), said)
    assert tree(tmp_path / "release") == before


@pytest.mark.parametrize("kind", ["cut xml", "missing side", "missing train"])
def test_bad_release(kind: str, tmp_path: Path, sentences: dict[str, list[Pair]]) -> None:
    _release(tmp_path / "release", sentences)
    spoil, said = BAD_RELEASES[kind]
    spoil(tmp_path / "release")
    before = tree(tmp_path)
    options = ("--from", tmp_path / "release", "--out", tmp_path / "out", "--tests", "tst2015")
    refused(prepare("iwslt17", *options), said)
    assert not (tmp_path / "out").exists()
    assert tree(tmp_path) == before


# ------------------------------------------------------------------ options and tools


@pytest.mark.parametrize("name", SCRIPTS)
def test_help(name: str) -> None:
    result = prepare(name, "--help")
    succeeded(result)
    assert "usage: bash scripts/prepare_" in result.stdout
    assert "examples:" in result.stdout


@pytest.mark.parametrize(
    "options",
    [
        ("--bogus",),
        ("--bpe",),
        ("--bpe", "0"),
        ("--bpe", "many"),
        ("--workers", "-1"),
        ("--ratio", "0.5"),
        ("--out", ""),
        ("--source-lang", "fr"),
        ("--source-lang", "en"),
        ("--min-tokens", "9", "--max-tokens", "3"),
        ("stray",),
    ],
)
def test_bad_options(options: list[str], captions: Path, tmp_path: Path) -> None:
    result = prepare("multi30k", "--from", captions, "--out", tmp_path / "out", *options)
    refused(result)
    assert result.returncode == 2
    assert not list(tmp_path.iterdir())


def test_bad_options_of_single_scripts(tmp_path: Path) -> None:
    assert prepare("toy", "--out", tmp_path / "out", "--from", tmp_path).returncode == 2
    assert prepare("toy", "--out", tmp_path / "out", "--train", "x").returncode == 2
    refused(prepare("toy", "--out", tmp_path / "a,b"), "where fairseq splits paths")
    assert prepare("iwslt17", "--out", tmp_path / "out", "--sha256", "abc").returncode == 2
    refused(prepare("iwslt17", "--out", tmp_path / "out", "--from", tmp_path / "no"), "does not exist")
    refused(prepare("multi30k", "--out", tmp_path / "out", "--from", tmp_path / "no"), "is not a folder")
    (tmp_path / "file").write_text("x")
    refused(prepare("toy", "--out", tmp_path / "file"), "is a file; give --out a folder")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", SCRIPTS)
def test_dry_run_writes_nothing(name: str, tmp_path: Path, captions: Path, sentences: dict[str, list[Pair]]) -> None:
    release = tmp_path / "release"
    _release(release, sentences)
    before = tree(tmp_path)
    sources: list[list[object]] = [[]]
    if name != "toy":
        extra = ["--tests", "tst2015 tst2014"] if name == "iwslt17" else []
        sources.append(["--from", captions if name == "multi30k" else release, *extra])
    for source in sources:
        result = prepare(name, "--dry-run", "--out", tmp_path / "out", *source)
        succeeded(result)
        for command in ("fairseq-plugins ", "sacremoses ", "learn-bpe", "apply-bpe", "fairseq-preprocess "):
            assert command in result.stdout
        assert ("curl" in result.stdout) == (name != "toy" and not source)
    assert tree(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_missing_tool(captions: Path, tmp_path: Path, stubs: Path) -> None:
    result = prepare("multi30k", "--from", captions, "--out", tmp_path / "out", env=stub_environment(stubs))
    refused(result, "sacremoses was not found on PATH; run: bash scripts/setup.sh")
    assert not (tmp_path / "out").exists()


def test_tool_that_loses_lines(captions: Path, tmp_path: Path, stubs: Path) -> None:
    stub(stubs, "sacremoses", "head -n 5")
    for name in ("subword-nmt", "fairseq-preprocess"):
        stub(stubs, name, "exit 9")
    out = tmp_path / "out"
    result = prepare("multi30k", "--from", captions, "--out", out, env=stub_environment(stubs))
    refused(result, "sacremoses turned 150 lines of", "into 5")
    assert sorted(p.name for p in out.iterdir()) == [".stamps", "raw"]


# ------------------------------------------------------------------ interruptions


def _start_and_stop(options: list[str], appears: Path, number: int) -> int:
    """Start the script, send it a signal as soon as a path appears, return its exit status."""
    command = ["bash", str(ROOT / "scripts" / "prepare_multi30k.sh"), *options]
    process = subprocess.Popen(
        command,
        env=environment(PYTHON=str(quick_python())),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not appears.exists():
        assert process.poll() is None, "the script ended before the stage that was to be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(number)
    return process.wait(timeout=120)


def test_interrupted_runs_end_in_the_same_bytes(captions: Path, prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ["--from", str(captions), "--out", str(out), "--bpe", "120"]
    assert _start_and_stop(options, out / ".partial" / "raw", signal.SIGTERM) == 143
    assert not out.exists()
    assert _start_and_stop(options, out / ".partial" / "tok", signal.SIGINT) == 130
    assert sorted(p.name for p in out.iterdir()) == [".stamps", "raw"]
    # A kill cannot be caught: what it leaves is never taken for a result.
    assert _start_and_stop(options, out / ".partial" / "tok" / "train.en", signal.SIGKILL) == -signal.SIGKILL
    assert not (out / "tok").exists()
    assert _start_and_stop(options, out / ".partial" / "bpe", signal.SIGKILL) == -signal.SIGKILL
    assert not (out / "bpe").exists()
    result = prepare("multi30k", *options, "--workers", 2)
    succeeded(result)
    assert [stage for stage in STAGES if f"{stage}: start" in result.stderr] == ["bpe", "binarise", "record"]
    assert tree(out) == tree(prepared)


# ------------------------------------------------------------------ workers


def test_a_stage_that_fills_the_disk_says_so(tmp_path: Path) -> None:
    """A tool that fails on a disk with no room left was stopped by that."""
    body = "df() { printf 'head\\na b c %s\\n' \"$FREE\"; }\nSTAGE=bpe\nrun false"
    result = library(tmp_path, body, OUT=tmp_path / "out", FREE=1000)
    refused(result, f"the stage 'bpe' stopped because the disk of {tmp_path}/out is full", "free some space")
    refused(
        library(tmp_path, body, OUT=tmp_path / "out", FREE=2000), "the stage 'bpe' stopped: false failed with status 1"
    )


@pytest.mark.parametrize(("workers", "part"), [(1, 499), (3, 499), (3, 200000), (7, 200000)])
def test_workers_do_not_change_the_result(workers: int, part: int, tmp_path: Path) -> None:
    """Nor do the parts in which a text that is larger than the memory goes through."""
    write(tmp_path / "in", "".join(f"Zeile {i}\n" for i in range(5003)))
    calls = tmp_path / "calls"
    body = f'filter "$OUT/../in" "$OUT/done" bash -c "echo >>{shlex.quote(str(calls))}; sed s/Zeile/line/"'
    succeeded(library(tmp_path, body, OUT=tmp_path / "out", WORKERS=workers, PART_LINES=part))
    assert (tmp_path / "out" / "done").read_text() == "".join(f"line {i}\n" for i in range(5003))
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["done"]
    assert calls.read_text().count("\n") == (workers if part == 200000 else 11)


def test_a_worker_that_fails_stops_the_run(tmp_path: Path) -> None:
    write(tmp_path / "in", "".join(f"Zeile {i}\n" for i in range(5003)))
    body = 'STAGE=some; filter "$OUT/../in" "$OUT/.partial/done" grep -c Zeile 4[0-9][0-9][0-9]'
    refused(library(tmp_path, body, OUT=tmp_path / "out", WORKERS=3), "the stage 'some' stopped: grep failed")
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------ downloads


def _fetch(tmp_path: Path, served: Path, expected: str) -> subprocess.CompletedProcess:
    body = f'fetch {shlex.quote(served.as_uri())} "$OUT/download/file.gz" {shlex.quote(expected)}'
    return library(tmp_path, body, OUT=tmp_path / "out")


CONTENT = "".join(f"Zeile {i}\n" for i in range(2000))
PLAIN_SHA256 = hashlib.sha256(CONTENT.encode()).hexdigest()


def test_fetch(tmp_path: Path) -> None:
    served = write(tmp_path / "served.gz", CONTENT, compress=True)
    result = _fetch(tmp_path, served, PLAIN_SHA256)
    succeeded(result)
    got = tmp_path / "out" / "download" / "file.gz"
    assert got.read_bytes() == served.read_bytes()
    assert [p.name for p in got.parent.iterdir()] == ["file.gz"]
    # What is there and right is not fetched again, even if the source is gone.
    served.unlink()
    succeeded(_fetch(tmp_path, served, PLAIN_SHA256))
    md5 = "md5:" + hashlib.md5(got.read_bytes()).hexdigest()
    succeeded(_fetch(tmp_path, served, md5))


@pytest.mark.parametrize("part", ["half", "all", "other"])
def test_fetch_takes_up_an_interrupted_download(part: str, tmp_path: Path) -> None:
    served = write(tmp_path / "served.gz", CONTENT, compress=True)
    whole = served.read_bytes()
    left = tmp_path / "out" / "download" / "file.gz.part"
    left.parent.mkdir(parents=True)
    left.write_bytes({"half": whole[: len(whole) // 2], "all": whole, "other": b"?" * (len(whole) // 2)}[part])
    result = _fetch(tmp_path, served, PLAIN_SHA256)
    succeeded(result)
    assert (left.parent / "file.gz").read_bytes() == whole
    assert not left.exists()
    assert ("starting again" in result.stderr) == (part == "other")


def test_fetch_refuses_a_wrong_checksum(tmp_path: Path) -> None:
    served = write(tmp_path / "served.gz", CONTENT, compress=True)
    for expected in ("0" * 64, "md5:" + "0" * 32):
        refused(_fetch(tmp_path, served, expected), "served.gz has the checksum", f"{expected} was expected")
        assert not (tmp_path / "out").exists()
    served.write_bytes(served.read_bytes()[:-9])
    refused(_fetch(tmp_path, served, PLAIN_SHA256), "was expected")
    assert not (tmp_path / "out").exists()


def test_scripts_refuse_what_is_not_the_published_data(captions: Path, tmp_path: Path) -> None:
    served = Path(shutil.copytree(captions, tmp_path / "served"))
    write(served / "train.de.gz", "Nicht die veröffentlichte Datei.\n", compress=True)
    out = tmp_path / "out"
    result = prepare("multi30k", "--url", served.as_uri(), "--out", out)
    refused(result, "train.de.gz has the checksum", "2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72")
    write(served / "en-de.tgz", "x", compress=True)
    result = prepare("iwslt17", "--url", served.as_uri(), "--out", out)
    refused(result, "en-de.tgz has the checksum", "md5:d8a32cfc002a4f12b17429cfa78050e6 was expected")
    result = prepare("iwslt17", "--url", (tmp_path / "nowhere").as_uri(), "--out", out)
    refused(result, "cannot fetch", "--from")
    assert not out.exists()


def test_archive_without_a_published_sha256_is_pinned_at_its_first_use(tmp_path: Path) -> None:
    archive, record = write(tmp_path / "en-de.tgz", "first"), tmp_path / "en-de.tgz.sha256"
    body = 'check_archive "$OUT/../en-de.tgz" "$OUT/../en-de.tgz.sha256"'
    result = library(tmp_path, body, OUT=tmp_path / "out")
    succeeded(result)
    digest = hashlib.sha256(b"first").hexdigest()
    assert record.read_text() == f"{digest}  en-de.tgz\n"
    assert digest in result.stderr
    succeeded(library(tmp_path, body, OUT=tmp_path / "out"))
    archive.write_text("second")
    refused(library(tmp_path, body, OUT=tmp_path / "out"), f"sha256, written when it was first fetched, says {digest}")


def test_disk_space(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free // 10**9
    out = tmp_path / "new" / "out"
    for need, disk, enough in (
        (1, "auto", True),
        (free + 100, "auto", False),
        (free + 100, "0", True),
        (1, str(free + 100), False),
    ):
        result = library(tmp_path, f"need_disk {need}; echo enough", OUT=out, DISK=disk)
        if enough:
            succeeded(result)
        else:
            refused(result, f"needs about {free + 100} GB, but only", "choose another disk with --out, or --disk 0")
        assert ("enough" in result.stdout) == enough
        assert not out.exists()


PUBLISHED = ROOT.parent / "shared" / "data" / "multi30k" / "raw"


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason=f"the published Multi30k files are not in {PUBLISHED}")
def test_published_multi30k_passes_its_checksums(tmp_path: Path, stubs: Path) -> None:
    for name in ("sacremoses", "subword-nmt", "fairseq-preprocess"):
        stub(stubs, name, "exit 9")
    out = tmp_path / "out"
    result = prepare("multi30k", "--url", PUBLISHED.as_uri(), "--out", out, env=stub_environment(stubs))
    refused(result, "the stage 'tokenise' stopped")
    assert sorted(p.name for p in (out / "download").iterdir()) == sorted(
        p.name for p in PUBLISHED.iterdir() if ".fr." not in p.name
    )
    assert (out / "raw" / "train.de").read_bytes() == gzip.decompress((PUBLISHED / "train.de.gz").read_bytes())
