"""generate.sh in several processes: the texts of one process, and nothing finished is translated twice."""

import functools
import os
import re
import runpy
import shlex
import signal
import subprocess
import time

import pytest
from pipeline_tools import ROOT, TINY, environment, script, snapshot, train_arguments, wait_for
from preparation import stub
from zygote import quick_python

NBEST = ["--nbest", "2", "--max-len-a", "0", "--max-len-b", "12"]


@pytest.fixture(scope="module")
def model(data, tmp_path_factory):
    save_dir = tmp_path_factory.mktemp("runs") / "a run"
    script("scripts/train.sh", *train_arguments(data, save_dir, updates=8), "--", *TINY)
    return save_dir / "checkpoint_best.pt"


@pytest.fixture(scope="module")
def call(data, model):
    """``call(out, *options, more=[...])``: the words of generate.sh, with 7 batches or so."""

    def words(out, *options, more=()):
        own = ["--path", model, "--out", out, "--cpu", "--beam", 2, "--max-tokens", 60]
        return ["scripts/generate.sh", data / "bin", *own, *options, "--", *NBEST, *more]

    return words


@pytest.fixture(scope="module")
def fairseqs(call, tmp_path_factory):
    """What fairseq-generate itself prints, by the kind and the number of its lines; each has its lines in order."""

    @functools.cache
    def lines(*more):
        command = script(*call(tmp_path_factory.mktemp("out") / "gen", "--dry-run", more=more))
        name, *words = shlex.split(command)
        done = subprocess.run(
            [quick_python().parent / name, *words],
            env=environment(PYTHONPATH=str(ROOT)),
            capture_output=True,
            check=True,
        )
        return by_number(done.stdout.decode())

    return lines


def by_number(log):
    found = {}
    for kind, number, text in re.findall(r"^([STHDP])-(\d+)\t(.*)$", log, re.MULTILINE):
        found.setdefault((kind, int(number)), []).append(text)
    return found


def best(found, count):
    """The lines of hyp.tok by fairseq's own output."""
    return [found["H", number][0].split("\t")[1] if ("H", number) in found else "" for number in range(count)]


@pytest.mark.parametrize(("processes", "tokens"), [(1, 60), (3, 300)])  # 2 batches for 3; a lost shard has 7 for 2
def test_any_number_of_processes_translates_as_fairseq_does(processes, tokens, call, fairseqs, tmp_path):
    out, more = tmp_path / "gen", ("--max-tokens", str(tokens))
    output = script(*call(out, "--processes", processes, more=more))
    expected = fairseqs(*more)
    assert by_number((out / "log").read_text()) == expected
    assert len(expected["H", 0]) == 2
    assert (out / "hyp.tok").read_text().splitlines() == best(expected, 41)
    assert "41 sentences in" in output
    assert snapshot(tmp_path) == ["gen", "gen/command.sh", "gen/hyp.detok.en", "gen/hyp.tok", "gen/log"]
    # whatever their number was
    assert "is there already" in script(*call(out, "--resume", "--processes", 2, more=more))


def test_an_array_of_jobs_and_a_last_call(call, fairseqs, tmp_path):
    """What is left out is counted once."""
    out, parts = tmp_path / "gen", tmp_path / "gen.partial"
    more = ("--skip-invalid-size-inputs-valid-test", "--model-overrides", "{'max_target_positions': 9}")
    stub(tmp_path, "srun", 'exec "$@"')
    job = {"SLURM_SUBMIT_DIR": str(ROOT), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for task in ("2", "0"):
        words = call(out, more=more)[1:]
        output = script("scripts/slurm/generate.sbatch", 3, *words, SLURM_ARRAY_TASK_ID=task, **job)
        assert f"shard {task} of 3 is finished" in output
    missing = "of 3 shards these are missing: 1; run them, the first with --shard 1/3"
    assert missing in script(*call(out, "--merge", more=more), status=1)
    before = (parts / "2-of-3.log").stat().st_mtime_ns
    script(*call(out, "--shard", "2/3", "--resume", more=more))
    assert (parts / "2-of-3.log").stat().st_mtime_ns == before
    script(*call(out, "--shard", "1/3", more=more))

    output = script(*call(out, "--merge", more=more))
    expected = best(fairseqs(*more), 41)
    assert 0 < expected.count("") < 41
    assert (out / "hyp.tok").read_text().splitlines() == expected
    left_out = re.findall(r"(\d+) of 41 sentences \(\d+ tokens\) were left out", output)
    assert left_out == [str(expected.count(""))]
    assert sorted(path.name for path in out.iterdir()) == ["command.sh", "hyp.detok.en", "hyp.tok", "log"]
    assert "no shard of this command" in script(*call(out, "--merge", more=more), status=1)


# ------------------------------------------------------------------ what goes wrong


def real():
    """Shell code that becomes fairseq-generate."""
    return f"exec {shlex.quote(str(quick_python().parent))}/fairseq-generate"


@pytest.fixture
def shaky(tmp_path):
    """A folder with a Python whose fairseq-generate notes its calls, and does for SHARD what the file ``does`` says."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python").symlink_to(quick_python())
    stub(
        folder,
        "fairseq-generate",
        f"""
cd {shlex.quote(str(folder))}
SHARD="$(sed "s/.*--shard-id \\([0-9]*\\).*/\\1/" <<<"$*")"
echo "$SHARD $$ $OMP_NUM_THREADS" >>calls
[[ ! -e does ]] || source ./does
{real()} "$@"
""",
    )
    return folder


def calls(folder):
    """shard -> process"""
    lines = (folder / "calls").read_text().splitlines()
    (folder / "calls").unlink()
    return {int(line.split()[0]): int(line.split()[1]) for line in lines}


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_lost_shard_alone_is_translated_again(number, call, fairseqs, shaky, tmp_path):
    """SIGKILL goes to one process, the others to generate.sh."""
    out = tmp_path / "gen"
    (shaky / "does").write_text("[[ $SHARD == 0 ]] || exec sleep 100")
    words = ["bash", *map(str, call(out, "--processes", 2, "--resume"))]
    watched = environment(PYTHON=str(shaky / "python"))
    process = subprocess.Popen(
        words, cwd=ROOT, env=watched, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for(tmp_path / "gen.partial" / "0-of-2.log", process)
    started = calls(shaky)
    assert sorted(started) == [0, 1]
    if number == signal.SIGKILL:
        os.kill(started[1], number)
        expected, status = "fairseq-generate failed in shard 1 of 2, killed by signal 9;", 1
    else:
        process.send_signal(number)
        expected, status = "stopped: 1 of 2 shards are finished;", 128 + number
    output, _ = process.communicate(timeout=60)
    assert process.returncode == status, output
    assert expected in output
    assert "the same command with --resume translates what is missing" in output
    assert "Traceback" not in output
    assert not is_alive(started[1])
    assert snapshot(tmp_path / "gen.partial") == ["0-of-2.log"]
    if number != signal.SIGKILL:
        return

    (shaky / "does").unlink()
    output = script(*call(out, "--processes", 2, "--resume"), PYTHON=str(shaky / "python"))
    assert "1 of 2 shards are there already" in output
    assert list(calls(shaky)) == [1]
    assert by_number((out / "log").read_text()) == fairseqs()
    assert (out / "hyp.tok").read_text().splitlines() == best(fairseqs(), 41)
    assert "41 sentences in" in output
    assert not (tmp_path / "gen.partial").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_in_one_shard_ends_all(call, shaky, tmp_path):
    (shaky / "does").write_text(f'[[ $SHARD == 1 ]] || exec sleep 100; {real()} "$@" >/dev/full')
    output = script(*call(tmp_path / "gen", "--processes", 2), PYTHON=str(shaky / "python"), status=1)
    assert "OSError: [Errno 28] No space left on device" in output
    assert output.splitlines()[-1].startswith("generate.sh: error: fairseq-generate failed in shard 1 of 2; its last")
    assert not any(is_alive(process) for process in calls(shaky).values())
    assert not (tmp_path / "gen.partial").exists()


def test_shards_of_another_command_or_checkpoint_are_not_kept(call, data, model, shaky, tmp_path):
    out = tmp_path / "gen"
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(model.read_bytes())

    def translate(*options, status=0):
        words = call(out, "--processes", 2, "--resume", "--path", checkpoint, *options)
        script(*words, PYTHON=str(shaky / "python"), status=status, OMP_NUM_THREADS="")

    print_one = r"printf '| loaded 2 examples from: x\nH-%s\t-1\ta\n' $SHARD"
    fail_last = "[[ $SHARD == 0 ]] || { until [[ -e ../gen.partial/0-of-2.log ]]; do sleep 0.05; done; exit 1; }"
    (shaky / "does").write_text(f"{fail_last}\n{print_one}\nexit")
    translate(status=1)
    threads = (shaky / "calls").read_text().split()[2]
    assert int(threads) == max(1, os.cpu_count() // 2)
    assert sorted(calls(shaky)) == [0, 1]
    translate(status=1)
    assert sorted(calls(shaky)) == [1]
    translate("--lenpen", 2, status=1)
    assert sorted(calls(shaky)) == [0, 1]
    os.utime(checkpoint, (time.time() - 100, time.time() - 100))
    (shaky / "does").write_text(f"{print_one}\nexit")
    translate("--lenpen", 2)
    assert sorted(calls(shaky)) == [0, 1]


@pytest.mark.parametrize(
    ("options", "message", "status"),
    [
        (["--shard", "3/3"], "--shard needs I/N with I from 0 to N - 1, not '3/3'", 2),
        (["--shard", "1"], "--shard needs I/N", 2),
        (["--shard", "0/2", "--processes", 2], "--shard 0/2 is translated by one process", 2),
        (["--shard", "0/2", "--merge"], "leave out --shard", 2),
        (["--processes", 0], "--processes needs a number of at least 1", 2),
        (["--", "--num-shards", 2], "--num-shards is set by this script: use --shard I/N", 2),
    ],
)
def test_refused(options, message, status, call, tmp_path):
    words = call(tmp_path / "gen")
    words = words[: words.index("--")] + options
    assert message in script(*words, status=status)
    assert snapshot(tmp_path) == []


# ------------------------------------------------------------------ progress and devices


@pytest.fixture(scope="module")
def watch():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "scripts")
        return runpy.run_path(str(ROOT / "scripts" / "watch_translation.py"))


def test_progress_of_all_shards(watch, tmp_path, monkeypatch):
    """Two shards of 100 sentences in 10 batches each; by the batches a fifth takes 30 s."""
    shards = [watch["Shard"](str(tmp_path), number, 2) for number in (0, 1)]
    progress = watch["Progress"](shards, False)
    assert progress.line() == ""
    now = time.monotonic()
    said = "2026-01-01 00:00:00 | INFO | fairseq.logging.progress_bar | :  {:5d} / 10 wps=9"
    for seconds, batch, sentences in ((0, 2, 15), (30, 4, 25)):
        for shard in shards:
            first = shard.sentences
            shard.tell("2026-01-01 00:00:00 | INFO | fairseq.data | loaded 100 examples from: x/test.de-en.de")
            for number in range(first, sentences):
                for line in ("S-{}\ta", "H-{}\t-1\tb", "D-{}\t-1\tb", "H-{}\t-2\tc"):
                    shard.tell(line.format(number))
            shard.tell(said.format(batch))
        monkeypatch.setattr(time, "monotonic", lambda at=now + seconds: at)
        line = progress.line()
    assert line == "50 of 100 sentences (50 %), about 0:01:30 left"


@pytest.mark.parametrize(("visible", "expected"), [("", "1"), ("4,5", "5"), ("GPU-a, GPU-b", "GPU-b")])
def test_each_process_has_a_gpu_of_its_own(watch, visible, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    words = [
        "x",
        "--out",
        str(tmp_path / "gen"),
        "--language",
        "en",
        "--script",
        "",
        "--shards",
        "2",
        "--gpus",
        "--",
        "y",
    ]
    monkeypatch.setattr("sys.argv", words)
    translation = watch["Translation"](watch["arguments"]())
    assert translation.environment(translation.shards[1])["CUDA_VISIBLE_DEVICES"] == expected
