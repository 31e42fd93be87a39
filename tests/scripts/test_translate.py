"""translate.sh, complete.sh, fill_mask.sh: from raw files to text in three commands, and what goes wrong."""

import contextlib
import gzip
import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pipeline_tools import ARCH, ROOT, TINY, environment, script, sentences, wait_for, write_pair
from recorded_text import ENGLISH
from zygote import quick_python

from fairseq_plugins import cli

SEARCH = ["--cpu", "--beam", 2, "--", "--max-len-b", 16]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The first two of the commands, on text of which 150 sentences are the test set; gives the run."""
    folder = tmp_path_factory.mktemp("own text")
    for seed, (name, count) in enumerate((("train", 1000), ("valid", 10), ("test", 150))):
        write_pair(folder / "raw" / name, sentences(count, seed))
    languages = ("--source-lang", "de", "--target-lang", "en")
    options = ("--out", folder / "data", "--bpe", 120, "--drop-held-out", 0)
    script("scripts/prepare_parallel.sh", "--from", folder / "raw", *languages, *options)
    training = ("--arch", ARCH, "--save-dir", folder / "run", "--cpu", "--max-update", 100, "--max-tokens", 1000)
    rarely = ("--validate-interval", 100, "--save-interval", 100)  # it sees its few sentences ten times
    quick = ("--lr", 0.02, "--num-workers", 0)
    script("scripts/train.sh", folder / "data" / "bin", *training, "--", *TINY, *rarely, *quick)
    return folder / "run"


@pytest.fixture(scope="module")
def raw(run):
    return run.parent / "raw" / "test.de"


@pytest.fixture(scope="module")
def expected(run):
    """What generate.sh makes of the test set."""
    script("scripts/generate.sh", run.parent / "data" / "bin", "--save-dir", run, *SEARCH)
    return (run / "gen.test" / "hyp.detok.en").read_text()


def translate(run, *options, stdin=None, python=None, name="translate", **kwargs):
    """The finished process, its streams as text; ``options`` come before those of the search."""
    command = ["bash", ROOT / f"scripts/{name}.sh", "--save-dir", run, *options]
    env = environment(PYTHON=str(python or quick_python()))
    pipe = {"capture_output": True, "env": env, "text": True, **kwargs}
    return subprocess.run([str(word) for word in command], input=stdin, **pipe)


def test_the_third_command(run, expected, raw):
    first = raw.read_text().splitlines()[0]
    done = translate(run, *SEARCH, stdin=f"{first}\n\n{first}")
    best = expected.splitlines()[0]
    assert done.stdout == f"{best}\n\n{best}\n"
    assert "the last line of standard input had no end" in done.stderr


def test_many_sentences_by_file_and_by_pipe(run, expected, raw, tmp_path):
    """A file by one process and a pipe by three; a pipe by one is above, and files by one and by two are below."""
    assert len(set(expected.splitlines())) > 20
    by_file = translate(run, raw, "--processes", 1, "--out", tmp_path / "out", *SEARCH)
    assert by_file.returncode == 0, by_file.stderr
    assert (tmp_path / "out").read_text() == expected
    assert os.listdir(tmp_path) == ["out"]
    by_pipe = translate(run, "--processes", 3, "--buffer-size", 45, *SEARCH, stdin=raw.read_text())
    assert by_pipe.stdout == expected


def test_columns(run, expected, raw, tmp_path):
    (tmp_path / "in.gz").write_bytes(gzip.compress("".join(raw.read_text().splitlines(True)[:20]).encode()))
    done = translate(run, tmp_path / "in.gz", "--nbest", 2, "--scores", "--alignments", "--preset", "fast", *SEARCH)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [int(row[0]) for row in rows] == sorted([*range(1, 21)] * 2)
    assert [row[1] for row in rows[::2]] == expected.splitlines()[:20]
    for number, text, score, pairs, source, words in rows:
        assert float(score) < 0
        assert source == " ".join(re.findall(r"\w+|\.", raw.read_text().splitlines()[int(number) - 1]))
        assert words.replace(" .", ".") == text
        for pair in pairs.split():
            i, j = map(int, pair.split("-"))
            assert 0 <= i < len(source.split())
            assert 0 <= j < len(words.split())


def test_shards_of_an_array_put_together(run, expected, raw, tmp_path):
    """Each a process of its own; one is killed on the way, and called again."""
    out = tmp_path / "out"
    options = (raw, "--out", out, "--buffer-size", 5)

    def shard(number, *more):
        return translate(run, *options, "--shard", f"{number}/3", *more, *SEARCH)

    assert shard(2).returncode == shard(0).returncode == 0
    missing = translate(run, "--out", out, "--merge", *SEARCH)
    assert missing.returncode == 1
    assert missing.stderr == (
        "translate: error: of 3 shards these are missing: 1; run them, the first with --shard 1/3\n"
    )
    command = ["bash", ROOT / "scripts/translate.sh", "--save-dir", run, *options, "--shard", "1/3", *SEARCH]
    env = environment(PYTHON=str(quick_python()))
    with subprocess.Popen(list(map(str, command)), env=env, stderr=subprocess.DEVNULL) as killed:
        state = Path(f"{out}.1-of-3.partial.json")
        wait_for(state, killed)
        while '"lines": 0,' in state.read_text():
            time.sleep(0.01)
        killed.kill()
    again = shard(1, "--resume")
    assert re.search(r"the answers to ([1-9]0|[1-9]?5) lines are there already", again.stderr)
    assert "is there already" in shard(0, "--resume").stderr
    assert "3 shards: " in translate(run, "--out", out, "--merge", *SEARCH).stderr
    assert out.read_text() == expected
    assert os.listdir(tmp_path) == ["out"]


# ------------------------------------------------------------------ what goes wrong


def wait_for_end_of_group(leader):
    deadline = time.monotonic() + 20
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(leader, 0)
            time.sleep(0.05)
        raise AssertionError(f"processes of the group {leader} are left")


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_keeps_what_is_written(processes, run, expected, raw, tmp_path):
    """In every process, as a terminal does it; nothing is left of the other processes, and --resume goes on.

    The processes that a fork spawns are in its group, not in the script's, and are found by a variable.
    """
    out = tmp_path / "out"
    options = [raw, "--out", out, "--buffer-size", 5, "--processes", processes]
    command = ["bash", ROOT / "scripts/translate.sh", "--save-dir", run, *options, *SEARCH]
    with subprocess.Popen(
        list(map(str, command)),
        env=environment(PYTHON=str(quick_python()), STOPPED_BY_A_TEST=str(tmp_path)),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as stopped:
        state = tmp_path / "out.partial.json"
        wait_for(state, stopped)
        while '"lines": 0,' in state.read_text():
            time.sleep(0.01)
        others = spawned(f"STOPPED_BY_A_TEST={tmp_path}")
        assert bool(others) == (processes > 1)
        os.killpg(stopped.pid, signal.SIGINT)
        for other in others:
            os.kill(other, signal.SIGINT)
        said = stopped.stderr.read()
    assert stopped.returncode == 130
    assert re.fullmatch(r"translate: stopped; the answers to \d+ lines are in .*out\.partial; the same .*\n", said), (
        said
    )
    wait_for_end_of_group(stopped.pid)
    deadline = time.monotonic() + 20
    while spawned(f"STOPPED_BY_A_TEST={tmp_path}"):
        assert time.monotonic() < deadline, "spawned processes are left"
        time.sleep(0.05)
    assert translate(run, *options, "--resume", *SEARCH).returncode == 0
    assert out.read_text() == expected
    assert os.listdir(tmp_path) == ["out"]


def test_a_killed_process_is_named(run, raw, tmp_path):
    options = [raw, "--out", tmp_path / "out", "--buffer-size", 5, "--processes", 2]
    command = ["bash", ROOT / "scripts/translate.sh", "--save-dir", run, *options, *SEARCH]
    env = environment(PYTHON=str(quick_python()), KILLED_BY_A_TEST=str(tmp_path))
    with subprocess.Popen(list(map(str, command)), env=env, stderr=subprocess.PIPE, text=True) as stopped:
        state = tmp_path / "out.partial.json"
        wait_for(state, stopped)
        while '"lines": 0,' in state.read_text():
            time.sleep(0.01)
        os.kill(spawned(f"KILLED_BY_A_TEST={tmp_path}")[0], signal.SIGKILL)
        said = stopped.stderr.read()
    assert stopped.returncode == 1
    assert "translate: error: one of the processes was killed, for want of memory perhaps" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def spawned(mark):
    """The processes that multiprocessing has spawned, or their stand-ins, which have a variable."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables = (folder / "environ").read_bytes().split(b"\0")
            if b"spawn_main" in (folder / "cmdline").read_bytes() and mark.encode() in variables:
                found.append(int(folder.name))
    return found


def test_nobody_reads_and_no_room(run, raw):
    command = f"bash {ROOT}/scripts/translate.sh --save-dir '{run}' '{raw}' --buffer-size 10 --cpu --beam 1"
    env = environment(PYTHON=str(quick_python()))
    shell = ["bash", "-c", f"{command} | head -n 1; exit ${{PIPESTATUS[0]}}"]
    done = subprocess.run(shell, env=env, capture_output=True, text=True)
    assert done.returncode == 128 + signal.SIGPIPE
    assert len(done.stdout.splitlines()) == 1
    assert re.fullmatch(r"translate: nobody reads the output any more; .* \d+ lines are written\n", done.stderr)
    done = subprocess.run(["bash", "-c", f"{command} >/dev/full"], env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(r"translate: error: standard output: No space left on device; .* 0 lines .*\n", done.stderr)


def test_what_is_refused(run, raw, tmp_path, monkeypatch, capfd):
    """By the command that the script calls, in this process; by the script at the end."""
    (tmp_path / "bad").write_bytes(b"Heute\nGe\xffstern\n")
    (tmp_path / "empty").write_text("")
    shorter = tmp_path / "moved" / "checkpoint_best.pt"
    shorter.parent.mkdir()
    shorter.write_bytes((run / "checkpoint_best.pt").read_bytes())
    (run.parent / "data").rename(run.parent / "elsewhere")

    def called(*words, search=("--cpu", "--beam", 2, "--max-len-b", 16)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Heute.\n")))
        own = ["--path", run / "checkpoint_best.pt", *words]
        return cli.main(["translate", *map(str, [*own, "--", *search])]), *capfd.readouterr()

    try:
        for words, said in (
            (["--input", tmp_path / "bad"], "bad:2: byte 0xff at column 3 is not UTF-8"),
            (["--input", tmp_path / "nowhere"], "nowhere: no such file"),
            (["--path", tmp_path / "no.pt"], "no checkpoint .*no.pt; train first"),
            (["--path", shorter], "nothing tells what its text went through, .* give --text DIR"),
            (["--text", tmp_path], "text.json: cannot be read .* give the folder of a prepared corpus"),
            (["--shard", "0/2"], "--shard is for a part of a file, into a file; give --input and --out"),
            (["--resume"], "--resume goes on with a file's answers in a file"),
            (["--merge"], "--merge puts all shards of --out together; give --out"),
        ):
            status, _, error = called(*words)
            assert status == 1, words
            assert re.search(f"translate: error: .*{said}", error), error
        for search, said in (
            (["--nbest=3"], "--nbest is an option of this command: give it before the --"),
            (["--remove-bpe", "sentencepiece"], "--remove-bpe has no meaning here: text goes the way"),
        ):
            status, _, error = called(search=["--cpu", *search])
            assert status == 1, search
            assert re.search(f"translate: error: .*{said}", error), error
        status, written, _ = called("--input", tmp_path / "bad", "--buffer-size", 100)
        assert len(written.splitlines()) == 1  # the line before it
        assert called("--input", tmp_path / "empty")[:2] == (0, "")
        done = translate(run, "--source-lang", "en", "--target-lang", "de", *SEARCH, stdin="Heute.\n")
        assert done.returncode == 1
        assert re.search("translate: error: .*translates de-en, not en-de", done.stderr), done.stderr
        assert "Traceback" not in done.stderr
    finally:
        (run.parent / "elsewhere").rename(run.parent / "data")
    for words, said in (
        ([], "which model? Give --save-dir, or --path"),
        (["--save-dir", run, "--long", "cut"], "--long takes split or refuse, not 'cut'"),
        (["--save-dir", run, "--processes", 0], "--processes needs a number of at least 1"),
        (["--save-dir", run, raw, raw], "one file of text, not also"),
    ):
        assert said in script("scripts/translate.sh", *words, status=2)


def test_another_directory_of_data(run, expected, raw, tmp_path, monkeypatch, capfd):
    """Without text/ beside the checkpoint the record is where the training found its data, or where --text says."""
    path = tmp_path / "model.pt"
    path.write_bytes((run / "checkpoint_best.pt").read_bytes())
    line = raw.read_text().splitlines()[0]
    for words in (["--path", path], ["--path", path, "--text", run / "text"], ["--text", run / "text" / "text.json"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{line}\n".encode())))
        given = ["--path", run / "checkpoint_best.pt", *words, *("--", "--cpu", "--beam", 2, "--max-len-b", 16)]
        assert cli.main(["translate", *map(str, given)]) == 0
        assert capfd.readouterr().out == expected.splitlines(True)[0]


# ------------------------------------------------------------------ language models


def test_language_models_from_raw_text(tmp_path):
    text = tmp_path / "text"
    text.mkdir()
    for name, times in (("train", 20), ("valid", 2), ("test", 1)):
        (text / f"{name}.txt").write_text("".join(f"{line}\n" for line in ENGLISH) * times)
    script("scripts/prepare_wikitext.sh", 2, "--from", text, "--bpe", 300, "--out", tmp_path / "data")
    sizes = ["--cpu", "--max-update", 12, "--max-tokens", 600]
    common = ["--lr", 0.02, "--warmup-updates", 5, "--tokens-per-sample", 60, "--dropout", 0, "--num-workers", 0]
    common += ["--validate-interval", 100, "--save-interval", 100]  # it sees its few sentences often
    for arch, task, criterion in (
        ("transformer_lm_neuralqkv_tiny", "language_modeling", "cross_entropy"),
        ("roberta_baseline_tiny", "masked_lm", "masked_lm"),
    ):
        training = ["--arch", arch, "--save-dir", tmp_path / task, *sizes]
        own = ["--task", task, "--criterion", criterion, *common]
        script("scripts/train.sh", tmp_path / "data" / "bin", *training, "--", *own)
    lines = f"{ENGLISH[0][:9]}\n\n{ENGLISH[3][:7]}\n"
    completed = translate(tmp_path / "language_modeling", "--cpu", "--length", 20, stdin=lines, name="complete")
    assert completed.returncode == 0, completed.stderr
    first, second, third = completed.stdout.split("\n")[:-1]
    assert first.startswith(ENGLISH[0][:9])
    assert len(first) > 12
    assert second == ""
    assert third.startswith(ENGLISH[3][:7])
    masks = f"{ENGLISH[0].replace('man', '<mask>')}\n\nno mask\n"
    filled = translate(tmp_path / "masked_lm", "--cpu", "--nbest", 3, "--scores", stdin=masks, name="fill_mask")
    rows = [line.split("\t") for line in filled.stdout.splitlines()]
    assert [row[0] for row in rows] == ["1", "1", "1", "2", "3"]
    assert [row[1] for row in rows[3:]] == ["", "no mask"]
    assert all(row[1].startswith("A") and row[1].endswith(" sleeps on the grass.") for row in rows[:3])
    assert 1 >= float(rows[0][2]) >= float(rows[1][2]) >= float(rows[2][2]) > 0
