"""Training in several processes and on several machines: the same updates, and nothing lost when one of them ends."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from pipeline_tools import ROOT, newest_updates, script, wait_for
from several_processes import UPDATES, assert_equal_parameters, command, finish, start, undisturbed
from zygote import quick_python


def losses(save_dir):
    """Training loss after each update, from the log."""
    found = {}
    for line in (save_dir / "train.log").read_text().splitlines():
        record = re.search(r"\| train_inner \| (\{.*\})", line)
        if record:
            stats = json.loads(record[1])
            found[int(stats["num_updates"])] = float(stats["loss"])
    return found


def processes_of(save_dir):
    """The words and the rank of each process of a launch that has not ended, by its number; forks' stand-ins too."""
    found = {}
    own = f"FAIRSEQ_PLUGINS_STOP_FILE={save_dir / '.stop'}"
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables = (folder / "environ").read_text(errors="replace").split("\0")
            words = (folder / "cmdline").read_text(errors="replace").split("\0")
            if own in variables:
                rank = [variable for variable in variables if re.fullmatch(r"RANK=\d+", variable)]
                found[int(folder.name)] = words, int(rank[0][len("RANK=") :]) if rank else None
    return found


def ranks(save_dir):
    """The training processes of a launch, by rank."""
    sys.path.insert(0, str(ROOT / "scripts"))
    from watch_training import parent

    trains = {
        number: rank
        for number, (words, rank) in processes_of(save_dir).items()
        if rank is not None and any(word.endswith("fairseq-train") for word in words)
    }
    return {rank: number for number, rank in trains.items() if parent(number) not in trains}  # no loader of data


@pytest.fixture(scope="module")
def one(data, tmp_path_factory):
    """One process, from start to end in one go."""
    save_dir = tmp_path_factory.mktemp("one") / "run"
    output = undisturbed(command(data, save_dir, 1))
    assert "100 tokens x 1 CPU process(es) x update-freq 4 = 400 tokens an update" in output
    assert list(losses(save_dir)) == list(range(1, UPDATES + 1))
    return save_dir


@pytest.fixture(scope="module")
def two(data, tmp_path_factory):
    """Two processes, from start to end in one go, with dropout."""
    save_dir = tmp_path_factory.mktemp("two") / "run"
    undisturbed(command(data, save_dir, 2, dropout=0.1))
    return save_dir


def test_processes_make_the_updates_of_one(data, one, tmp_path):
    """Four have a step each where one has four; the machines below have two, and two steps."""
    output = undisturbed(command(data, tmp_path, 4, "--resume"))
    assert "100 tokens x 4 CPU process(es) x update-freq 1 = 400 tokens an update" in output
    assert losses(tmp_path) == pytest.approx(losses(one), abs=2e-3)  # the log has three decimals
    assert_equal_parameters(one, tmp_path, tolerance=1e-4)


def test_a_killed_process_and_a_preemption_lose_nothing(data, two, tmp_path):
    """SIGKILL to one rank ends all in an error; SIGTERM to every process, as Slurm sends it, saves; both resume."""
    save_dir = tmp_path / "run"
    words = command(data, save_dir, 2, "--resume", dropout=0.1)

    process = start(words, quick_python())
    wait_for(save_dir / "checkpoint_1_4.pt", process)
    os.kill(ranks(save_dir)[1], signal.SIGKILL)
    output = finish(process, status=1)
    assert "error: training failed with status 1" in output
    assert "the same command with --resume goes on from the last checkpoint" in output

    process = start(words, quick_python())
    wait_for(save_dir / "checkpoint_1_8.pt", process)
    for number in [*processes_of(save_dir), process.pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGTERM)
    output = finish(process, status=128 + signal.SIGTERM)
    stopped = re.search(r"stopped after (\d+) updates, checkpoint saved; the same command with --resume", output)
    assert 8 <= int(stopped[1]) <= UPDATES
    assert newest_updates(save_dir) == int(stopped[1])

    assert f"finished: {UPDATES} updates" in undisturbed(words)
    assert_equal_parameters(two, save_dir)


def test_a_hung_process_ends_in_an_error_that_shows_where(data, tmp_path):
    save_dir = tmp_path / "run"
    process = start(command(data, save_dir, 2, "--hang-timeout", 5, loaders=1))
    while not (save_dir / "checkpoint_1_4.pt").exists():  # a start takes long where much runs beside it: no hang yet
        assert process.poll() is None
        if (save_dir / "run.json").exists():
            (save_dir / ".heartbeat").touch()
        time.sleep(0.1)
    os.kill(ranks(save_dir)[1], signal.SIGSTOP)
    output = finish(process, status=137)
    assert "did nothing for 5 s and was killed (where each process was is in the log)" in output
    log = (save_dir / "train.log").read_text()
    first, second = re.split(r"=== hung: rank (?=\d)", log)[1:]
    assert re.match(r"0, process \d+, alive\n", first)
    assert "all_reduce" in log  # what rank 0 waits in
    assert re.match(r"1, process \d+, stopped\n", second)
    assert newest_updates(save_dir) >= 4
    assert not processes_of(save_dir)


def test_a_full_disk_ends_in_an_error_and_spares_the_last_checkpoint(data, one, tmp_path):
    save_dir = Path(shutil.copytree(one, tmp_path / "run", ignore=shutil.ignore_patterns("train.log")))
    updates, size = newest_updates(save_dir), (save_dir / "checkpoint_last.pt").stat().st_size
    words = [str(word) for word in command(data, save_dir, 1, "--max-update", UPDATES + 4, "--resume")]
    # A limit on the size of a file stands for the disk: the system refuses to write on in the same way.
    limit = f'ulimit -f {size // 2 // 1024}; exec "$@"'
    output = finish(start(["bash", "-c", limit, "-", *words], quick_python()), status=1)
    assert "DiskFullError: no room for" in output
    assert "earlier checkpoints are untouched" in output
    assert newest_updates(save_dir) == updates
    assert not list(save_dir.glob("*.tmp"))
    assert f"finished: {UPDATES + 4} updates" in undisturbed(words)


@pytest.fixture
def hosts():
    """Two hosts with an address each, as network namespaces joined by a cable."""
    if shutil.which("ip") is None:
        pytest.skip("network namespaces: no ip command (iproute2) here")
    names = [f"{uuid.uuid4().hex[:6]}{side}" for side in "ab"]
    addresses = ["10.213.7.1", "10.213.7.2"]

    def ip(*words):
        return subprocess.run(["ip", *words], capture_output=True, text=True, check=True)

    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", names[0], "type", "veth", "peer", "name", names[1])
        for name, address in zip(names, addresses):
            ip("link", "set", name, "netns", name)
            ip("-n", name, "addr", "add", f"{address}/24", "dev", name)
            ip("-n", name, "link", "set", name, "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield list(zip(names, addresses))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()}")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def on_hosts(hosts, data, save_dir, processes, *more):
    """Start the same training on every host."""
    meet = f"{hosts[0][1]}:29517"
    started = []
    for rank, (name, _) in enumerate(hosts):
        node = ["--nodes", len(hosts), "--node-rank", rank, "--rendezvous", meet, *more]
        words = ["ip", "netns", "exec", name, *command(data, save_dir, processes, *node)]
        started.append(start(words, quick_python()))
    return started


def test_two_hosts_make_the_updates_of_one_and_lose_nothing_with_a_host(data, one, hosts, tmp_path):
    """A cut cable: neither host can know what became of the other, and both end."""
    save_dir = tmp_path / "hosts"
    started = on_hosts(hosts, data, save_dir, 1, "--resume", "--hang-timeout", 15)
    wait_for(save_dir / "checkpoint_1_4.pt", started[0])
    name, _ = hosts[1]
    subprocess.run(["ip", "-n", name, "link", "set", name, "down"], check=True)
    for process in started:
        output, _ = process.communicate(timeout=300)
        assert process.returncode > 0
        assert "the same command with --resume goes on from the last checkpoint" in output
    for number in processes_of(save_dir):  # forks outlive a torchrun that is killed, and would go on once they can
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    subprocess.run(["ip", "-n", name, "link", "set", name, "up"], check=True)
    outputs = [finish(process) for process in on_hosts(hosts, data, save_dir, 1, "--resume")]
    assert "100 tokens x 2 CPU process(es) on 2 machines x update-freq 2 = 400 tokens an update" in outputs[0]
    assert f"finished: {UPDATES} updates" in outputs[0]
    assert "the processes of node 1 finished" in outputs[1]
    assert losses(save_dir) == pytest.approx(losses(one), abs=2e-3)
    assert_equal_parameters(one, save_dir, tolerance=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--nodes", "2"], "--nodes 2 needs --rendezvous HOST:PORT"),
        (["--nodes", "2", "--node-rank", "2", "--rendezvous", "a:1"], "count from 0 to 1"),
        (["--node-rank", "1"], "--node-rank and --rendezvous need --nodes"),
        (["--nodes", "2", "--rendezvous", "a"], "--rendezvous needs HOST:PORT"),
        (["--nodes", "0"], "--nodes needs a number"),
    ],
)
def test_nodes_are_checked(data, tmp_path, options, message):
    words = [*command(data, tmp_path / "run", 1)[2:10], *options]
    assert message in script("scripts/train.sh", *words, status=2)


def test_several_machines_dry(data, tmp_path):
    """What each machine would run: torchrun with fixed ranks, and the effective batch over all GPUs."""
    common = [data / "bin", "--arch", "transformer_baseline", "--save-dir", tmp_path, "--gpus", 8, "--dry-run"]
    nodes = ["--nodes", 4, "--node-rank", 3, "--rendezvous", "node-a:29500", "--batch-tokens", 65536]
    output = script("scripts/train.sh", *common, *nodes, "--max-tokens", 1024)
    assert "1024 tokens x 32 GPU(s) on 4 machines x update-freq 2 = 65536 tokens an update" in output
    assert "--nnodes 4 --node_rank 3 --rdzv_backend static --rdzv_endpoint node-a:29500 --nproc_per_node 8" in output
