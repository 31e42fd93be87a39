"""The batch scripts, on a Slurm of two nodes that the test starts; without Slurm, a static check."""

import re
import subprocess
import time

import pytest
from pipeline_tools import ROOT, newest_updates
from several_processes import UPDATES, assert_equal_parameters, command, undisturbed
from slurm_cluster import cluster, missing
from zygote import quick_python

SCRIPTS = ["scripts/slurm/train.sbatch", "scripts/slurm/sweep.sbatch"]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    reason = missing()
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("slurm")
    with cluster(folder) as environment:
        environment["PYTHON"] = str(quick_python())  # of which Slurm sees the process that stands for it

        def run(*words, status=0):
            words = [str(word) for word in words]
            done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == status, done.stdout + done.stderr
            return done.stdout + done.stderr

        yield run


def submit(slurm, output, *words):
    """Submit a job; returns its number. It gets the variables of the caller, PYTHON among them."""
    options = ["--parsable", "--output", output, "--export", "ALL,OMP_NUM_THREADS=1"]
    return slurm("sbatch", *options, *words).split()[0]


def wait_until(done, output=None, limit=240):
    """Wait for a condition; where it never holds, say so with what the job printed into the file ``output``."""
    deadline = time.monotonic() + limit
    while not done():
        if time.monotonic() > deadline:
            printed = output.read_text()[-3000:] if output and output.exists() else ""
            pytest.fail(f"not within {limit} s\n{printed}")
        time.sleep(0.2)


def state(slurm, job):
    found = re.search(r"JobState=(\w+)", slurm("scontrol", "show", "job", job))
    return found[1]


@pytest.mark.parametrize("name", SCRIPTS)
def test_options_stand_where_sbatch_reads_them(name):
    """sbatch takes #SBATCH lines before the first command only, and the shell takes the rest."""
    text = (ROOT / name).read_text(encoding="utf-8")
    head = re.split(r"^[^#\n]", text, maxsplit=1, flags=re.MULTILINE)[0]
    assert head.startswith("#!/usr/bin/env bash\n#SBATCH ")
    assert text.count("\n#SBATCH ") == head.count("\n#SBATCH ") >= 8
    for option in ("--requeue", "--open-mode=append", "--ntasks-per-node=1", "--signal=B:TERM@"):
        assert f"#SBATCH {option}" in head
    subprocess.run(["bash", "-n", str(ROOT / name)], check=True)


@pytest.mark.parametrize("name", SCRIPTS)
def test_slurm_accepts(slurm, name):
    assert "to start at" in slurm("sbatch", "--test-only", "--nodes", 2, name, "scripts/train.sh")


def test_a_job_on_two_nodes_is_told_to_stop_and_comes_back(slurm, data, tmp_path):
    """What Slurm does before the time limit: the job saves, goes back to the queue, and ends as if undisturbed."""
    save_dir, output = tmp_path / "run", tmp_path / "out.txt"
    words = [str(word) for word in command(data, save_dir, 1)][2:]
    job = submit(slurm, output, "--nodes", 2, "scripts/slurm/train.sbatch", "scripts/train.sh", *words)
    wait_until((save_dir / "checkpoint_1_4.pt").exists, output)
    slurm("scancel", "--signal", "TERM", "--batch", job)
    wait_until(lambda: "back to the queue" in output.read_text(), output)
    stopped = newest_updates(save_dir)
    assert 4 <= stopped <= UPDATES
    assert f"stopped after {stopped} updates, checkpoint saved" in output.read_text()
    wait_until(lambda: state(slurm, job) == "PENDING", output)
    time.sleep(3)  # Slurm lets it rest for two minutes: what was revoked then must be older than what is granted now
    slurm("scontrol", "update", f"jobid={job}", "StartTime=now")
    wait_until(lambda: state(slurm, job) in ("COMPLETED", "FAILED"), output)
    text = output.read_text()
    assert state(slurm, job) == "COMPLETED", text[-3000:]
    assert "100 tokens x 2 CPU process(es) on 2 machines x update-freq 2 = 400 tokens an update" in text
    assert f"going on from {save_dir}" in text
    assert f"finished: {UPDATES} updates" in text
    undisturbed(command(data, tmp_path / "one", 1))
    assert_equal_parameters(tmp_path / "one", save_dir, tolerance=1e-4)


def test_a_cancelled_job_saves_and_stays_away(slurm, data, tmp_path):
    save_dir, output = tmp_path / "run", tmp_path / "out.txt"
    words = [str(word) for word in command(data, save_dir, 1)][2:]
    words[words.index("--max-update") + 1] = "100000"  # it has not ended of itself when it is cancelled
    job = submit(slurm, output, "scripts/slurm/train.sbatch", "scripts/train.sh", *words)
    wait_until((save_dir / "checkpoint_1_4.pt").exists, output)
    slurm("scancel", job)
    wait_until(lambda: "checkpoint saved" in output.read_text(), output)
    wait_until(lambda: state(slurm, job) == "CANCELLED", output)  # COMPLETING until the script has ended
    assert "back to the queue" not in output.read_text()


def test_an_array_takes_every_variant_and_seed(slurm, tmp_path):
    recipe = "examples/neural_qkv/multi30k.sh"
    job = submit(
        slurm,
        tmp_path / "%a.txt",
        "--array",
        "0-4",
        SCRIPTS[1],
        "baseline matched",
        "1 7",
        recipe,
        "--cpu",
        "--dry-run",
    )
    numbers = [f"{job}_{task}" for task in range(5)]
    wait_until(lambda: all(state(slurm, number) in ("COMPLETED", "FAILED") for number in numbers))
    assert [state(slurm, number) for number in numbers] == ["COMPLETED"] * 4 + ["FAILED"]
    runs = []
    for task in range(4):
        train = re.search(r"^fairseq-train .*$", (tmp_path / f"{task}.txt").read_text(), re.MULTILINE)[0]
        runs.append((re.search(r"transformer_(\w+)_iwslt", train)[1], int(re.search(r"--seed (\d+)", train)[1])))
    assert runs == [("baseline", 1), ("baseline", 7), ("matched", 1), ("matched", 7)]
    assert "2 variants and 2 seeds are the tasks 0 to 3" in (tmp_path / "4.txt").read_text()


def test_a_job_that_fails_on_one_machine_stays_away(slurm, tmp_path):
    output, script = tmp_path / "out.txt", tmp_path / "script.sh"
    script.write_text('[[ "$SLURM_PROCID" == 0 ]] || exit 3\nexec sleep 200\n')
    job = submit(slurm, output, "--nodes", 2, SCRIPTS[0], script)
    wait_until(lambda: state(slurm, job) == "FAILED", output, limit=60)
    assert "back to the queue" not in output.read_text()


def test_a_job_that_cannot_begin_says_why(slurm, tmp_path):
    output = tmp_path / "out.txt"
    job = submit(slurm, output, SCRIPTS[0], "examples/no_such_recipe.sh")
    wait_until(lambda: state(slurm, job) == "FAILED")
    assert "no script examples/no_such_recipe.sh in" in output.read_text()
