"""Jobs are done once, whoever does them and whatever stops them."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from pipeline_tools import ROOT, wait_for

from fairseq_plugins.errors import UserError
from fairseq_plugins.study.engine import Engine, Stopped, clock
from fairseq_plugins.study.jobs import Job, Ledger, comparable


def shell(name, *commands, **kwargs):
    return Job(name, f"job {name}", [["sh", "-c", command] for command in commands], **kwargs)


def engine(folder, slots=2):
    said, environments = [], [dict(os.environ, SLOT=str(number)) for number in range(slots)]
    return Engine(Ledger(folder / "jobs"), environments, said.append), said


def test_jobs_run_side_by_side_and_once(tmp_path):
    both, said = engine(tmp_path)
    met = f"cd {tmp_path}; touch $NAME; while [ ! -e $OTHER ]; do sleep 0.01; done; echo $NAME $SLOT >> ran"
    jobs = [shell("a", f"NAME=a OTHER=b; {met}"), shell("b", f"NAME=b OTHER=a; {met}")]
    both.run(jobs)
    assert sorted((tmp_path / "ran").read_text().split()) == ["0", "1", "a", "b"], "each in a slot of its own"
    again, _ = engine(tmp_path)
    again.run(jobs)
    assert len((tmp_path / "ran").read_text().splitlines()) == 2
    assert sorted(said) == ["job a done", "job b done"]


def test_one_that_fails_is_told_and_the_others_go_on(tmp_path):
    one, said = engine(tmp_path, 1)
    many = "for n in $(seq 30); do echo line $n; done; exit 3"
    bad = shell("deep/bad", "echo first", many, f"touch {tmp_path}/never")
    good = shell("good", "true")
    one.run([bad, good])
    assert list(one.failures([bad, good])) == [bad]
    failure = one.failures([bad])[bad]
    assert failure["status"] == 3
    assert failure["last_lines"] == [f"line {number}" for number in range(19, 31)], "of the command that failed"
    assert not (tmp_path / "never").exists()
    assert said[0].startswith(f"job deep/bad failed (status 3); all of it: {tmp_path}/jobs/deep/bad.log\n    line 19")
    assert said[1:] == ["job good done"]
    # the same again tries it again
    later, _ = engine(tmp_path)
    later.ledger.since += 1e-3
    mended = shell("deep/bad", "true")
    later.run([mended])
    assert not later.failures([mended])
    assert not (tmp_path / "jobs" / "deep" / "bad.failed").exists()


def test_what_other_commands_did_is_not_taken_for_these(tmp_path):
    one, _ = engine(tmp_path)
    one.run([shell("a", "true")])
    with pytest.raises(UserError, match=r"study.yaml:7: job a was done by another command: it was\n  sh -c true\nand"):
        engine(tmp_path)[0].run([shell("a", "true ", place="study.yaml:7")])
    on = [["bash", "x.sh", "--gpus", "1", "--seed", "3"]], [["bash", "x.sh", "--cpu", "--seed", "3"]]
    assert comparable(on[0]) == comparable(on[1]), "on what it ran does not matter"


WORKER = """
import os, sys
from pathlib import Path
from fairseq_plugins.study.engine import Engine
from fairseq_plugins.study.jobs import Job, Ledger
folder = Path(sys.argv[1])
jobs = [Job(f"job{n}", f"job {n}", [["sh", "-c", f"echo {n} >> {folder}/ran; sleep 0.05"]]) for n in range(12)]
Engine(Ledger(folder / "jobs"), [dict(os.environ)] * 2, lambda text: None).run(jobs)
assert all(Ledger(folder / "jobs").record(job) for job in jobs)
"""


def test_several_processes_share_the_work(tmp_path):
    """As the tasks of a Slurm array do: each job is done once, and none ends before all is done."""
    command = [sys.executable, "-c", WORKER, str(tmp_path)]
    workers = [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) for _ in range(3)]
    for worker in workers:
        assert worker.wait(60) == 0, worker.stderr.read().decode()
    assert sorted(map(int, (tmp_path / "ran").read_text().split())) == list(range(12))


LONG = """
import os, sys
from pathlib import Path
from fairseq_plugins.study.engine import Engine, Stopped
from fairseq_plugins.study.jobs import Job, Ledger
folder = Path(sys.argv[1])
script = f"cd {folder}; trap 'echo saved >> told; exit 143' TERM; touch runs; while [ ! -e go ]; do sleep 0.02; done"
try:
    Engine(Ledger(folder / "jobs"), [dict(os.environ)], lambda text: None).run([Job("a", "a", [["sh", "-c", script]])])
except Stopped as stopped:
    sys.exit(128 + stopped.number)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_runs_ends_with_the_study(number, tmp_path):
    """A signal is passed on and what was told has not failed; a killed study leaves no command and no lock."""
    study = subprocess.Popen([sys.executable, "-c", LONG, str(tmp_path)], cwd=ROOT)
    wait_for(tmp_path / "runs", study)
    study.send_signal(number)
    assert study.wait(30) == (143 if number == signal.SIGTERM else -9)
    deadline = time.monotonic() + 20
    while not (tmp_path / "told").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert (tmp_path / "told").read_text() == "saved\n"
    assert not list((tmp_path / "jobs").glob("*.failed"))
    (tmp_path / "go").touch()
    assert subprocess.run([sys.executable, "-c", LONG, str(tmp_path)], cwd=ROOT, timeout=30).returncode == 0
    assert json.loads((tmp_path / "jobs" / "a.json").read_text())["commands"][0][0] == "sh"


def test_estimates_are_by_what_others_of_the_kind_took(tmp_path):
    two, _ = engine(tmp_path)
    jobs = [shell(f"r{number}", "true", kind="run") for number in range(4)]
    assert two.estimate(jobs) is None
    two.run(jobs[:2])
    for name, seconds in (("r0", 30.0), ("r1", 50.0)):
        path = tmp_path / "jobs" / f"{name}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "seconds": seconds}))
    assert two.estimate(jobs[2:]) == pytest.approx(2 * 40 / 2)
    trials = [shell("t", "true", kind="trial")]
    assert two.estimate([*jobs[2:], *trials]) == pytest.approx(3 * 40 / 2), "of a kind that nobody knows: as the others"
    assert clock(90.7) == "0:01:30"


def test_stopped_tells_the_signal():
    assert str(Stopped(signal.SIGTERM)) == "SIGTERM"
