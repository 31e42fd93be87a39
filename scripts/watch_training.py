#!/usr/bin/env python3
"""Run one training command: keep its log, show progress with an estimate, stop it in order, and mark the end.

    watch_training.py --save-dir DIR [--max-update N] [--max-epoch N] -- COMMAND ...

DIR/train.log       everything that the command prints, also over several starts; the command writes it itself, so that
                    no checkpoint knows of a validation whose record died in a pipe with this process
DIR/run.json        what runs: the command, the records given, the versions
DIR/progress.json   updates done, seconds used so far (over all starts), last and best validation loss
DIR/done            written last, only after the command ended well: the run is complete

With --node-rank N above 0 it watches the processes of another machine of the same run, and writes DIR/train.nodeN.log
alone.

SIGINT, SIGTERM or SIGHUP asks the training to save and stop after the update that it is in; a second SIGINT kills it. A
training that does nothing for --hang-timeout seconds prints where each of its processes is and is killed. The
exit status is the command's; 128 + signal when a signal ended it. Reads fairseq's --log-format json.
"""

import argparse
import collections
import contextlib
import ctypes
import datetime
import fcntl
import glob
import importlib.metadata
import json
import os
import platform
import re
import resource
import shlex
import signal
import subprocess
import sys
import time
from typing import BinaryIO

RECORD = re.compile(r"\| INFO \| (?P<tag>[^|]+) \| (?P<stats>\{.*\})\s*$")
#: seconds that a command which has not begun to train has to end after a signal, before it is killed
GRACE = 30
#: seconds that each process of a hung training has to print where it is
LAST_WORDS = 3
#: seconds to wait for the last process of a killed run to let go of the lock
LOCK_WAIT = 20
#: seconds between two lines of progress, at least
SHOW_EVERY = 1.0
#: seconds between two looks at the log
LOOK_EVERY = 0.2


def die_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent dies, so that a killed watcher leaves no training behind."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def descendants(process: int) -> list:
    """The processes that a process started, and theirs: torchrun puts each of its own into a session."""
    children = collections.defaultdict(list)
    for status in glob.glob("/proc/[0-9]*/stat"):
        with contextlib.suppress(OSError), open(status, encoding="utf-8", errors="replace") as file:
            number, rest = file.read().split(" (", 1)
            children[int(rest.rsplit(") ", 1)[1].split()[1])].append(int(number))
    found = [process]
    for parent in found:
        found += children[parent]
    return found[1:]


def parent(process: int) -> int:
    """The process that started a process; 0 if it has ended."""
    with contextlib.suppress(OSError), open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rsplit(") ", 1)[1].split()[1])
    return 0


def catches(process: int, number: int) -> bool:
    """Whether a process has a handler for a signal."""
    with contextlib.suppress(OSError), open(f"/proc/{process}/status", encoding="utf-8") as file:
        caught = re.search(r"^SigCgt:\s*(\w+)", file.read(), re.MULTILINE)
        return caught is not None and bool(int(caught[1], 16) >> (number - 1) & 1)
    return False


def write_json(path: str, content: dict) -> None:
    """Write a file that is either the old one or complete."""
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.write("\n")
    os.replace(path + ".tmp", path)


def read_json(path: str) -> dict:
    """The file's content; nothing if there is no such file."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (FileNotFoundError, ValueError):
        return {}


def number(stats: dict, key: str) -> float:
    """A statistic as a number; fairseq writes them as text."""
    try:
        return float(stats[key])
    except (KeyError, TypeError, ValueError):
        return float("nan")


def clock(seconds: float) -> str:
    """0:01:30 for 90 seconds."""
    return str(datetime.timedelta(seconds=int(seconds)))


def run_record(args: argparse.Namespace) -> dict:
    """What is needed to tell this run from others and to repeat it."""
    versions = {"python": platform.python_version(), "platform": platform.platform()}
    for name in ("torch", "fairseq", "fairseq_plugins", "numpy"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed as a package"
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    git = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    versions["commit"] = git.stdout.strip() or "no git checkout"
    return {
        **dict(item.split("=", 1) for item in args.record),
        "command": args.command,
        "started": f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S}",
        "versions": versions,
    }


def comparable(command: list) -> list:
    """A command without what may differ from start to start of one run."""
    free = ("--restore-file", "--log-interval", "--rdzv_endpoint", "--node_rank")
    return [word for index, word in enumerate(command) if word not in free and command[index - 1] not in free]


class Progress:
    """Turns fairseq's records into lines for people and into progress.json."""

    def __init__(self, path: str, max_update: int, max_epoch: int) -> None:
        self.path = path
        self.max_update = max_update
        self.max_epoch = max_epoch
        self.state = read_json(path)
        self.seconds_before = self.state.get("seconds", 0.0)
        self.start = time.monotonic()
        #: (time, fraction of the run, updates) of the last reports: the estimate follows the present speed
        self.recent: collections.deque = collections.deque(maxlen=10)

    def seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.start

    def add_memory(self) -> None:
        """Bytes that the largest process of the training had, over all starts."""
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        self.state["peak_memory"] = max(largest, self.state.get("peak_memory", 0))

    def save(self) -> None:
        self.state["seconds"] = round(self.seconds(), 1)
        with contextlib.suppress(OSError):  # a full disk is for the training to report
            write_json(self.path, self.state)

    def line(self, tag: str, stats: dict) -> str:
        """The line to show for a record, and the state brought up to date; '' for a record of no interest."""
        if tag == "train_inner":
            text = self._training(stats)
        elif tag == "train":
            self.state["updates"] = int(number(stats, "train_num_updates"))
            text = ""
        elif f"{tag}_loss" in stats:
            text = self._validation(tag, stats)
        else:
            return ""
        self.save()
        return text

    def _training(self, stats: dict) -> str:
        updates = int(number(stats, "num_updates"))
        epochs = number(stats, "update")
        self.state.update(updates=updates, epoch=int(stats["epoch"]), loss=number(stats, "loss"))
        fractions = [updates / self.max_update] if self.max_update else []
        fractions += [epochs / self.max_epoch] if self.max_epoch else []
        fraction = min(max(fractions, default=0.0), 1.0)
        self.recent.append((time.monotonic(), fraction, updates))
        span = self.recent[-1][0] - self.recent[0][0]
        speed = (updates - self.recent[0][2]) / span if span > 0 else 0.0
        if span > 0 and fraction > self.recent[0][1]:
            left = (1 - fraction) * span / (fraction - self.recent[0][1])
        elif self.max_update and speed > 0:
            left = (self.max_update - updates) / speed
        else:
            left = float("nan")
        total = f"/{self.max_update}" if self.max_update else ""
        percent = f" ({100 * fraction:.0f} %)" if fractions else ""
        pace = f", {speed:.2f} updates/s" if speed > 0 else ""
        estimate = f", about {clock(left)} left" if left == left else ""
        return (
            f"{updates}{total} updates{percent}{pace}{estimate} | epoch {stats['epoch']}, "
            f"loss {number(stats, 'loss'):.3f}, lr {number(stats, 'lr'):.3g}"
        )

    def _validation(self, tag: str, stats: dict) -> str:
        loss, best = number(stats, f"{tag}_loss"), number(stats, f"{tag}_best_loss")
        if best != best or loss < best:
            best = loss
        updates = int(number(stats, f"{tag}_num_updates"))
        self.state.update(updates=updates, valid_loss=loss, best_valid_loss=best)
        return (
            f"{tag} after {updates} updates: loss {loss:.3f}, perplexity {number(stats, f'{tag}_ppl'):.2f} "
            f"(best loss {best:.3f})"
        )


class Watcher:
    """The command, its pipe and the signals."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.name = "train.sh"
        self.node = f".node{args.node_rank}" if args.node_rank else ""
        self.progress = Progress(os.path.join(args.save_dir, "progress.json"), args.max_update, args.max_epoch)
        self.last_lines: collections.deque = collections.deque(maxlen=25)
        self.process: subprocess.Popen | None = None
        self.completed = False
        self.saved_at = ""
        self.stopped_by = 0
        self.stopped_at = 0.0
        self.kill_at = float("inf")
        self.shown_at = float("-inf")
        # What fairseq_plugins.runtime.stopping reads and writes. They are at hand on every machine.
        self.stop_file = os.path.join(args.save_dir, ".stop")
        self.heartbeat = os.path.join(args.save_dir, ".heartbeat")
        self.beat = 0.0
        self.beat_seen = time.monotonic()
        self.hung = False
        #: processes of a hung training that have yet to say where they are
        self.to_ask: list = []
        self.ask_at = 0.0

    def say(self, text: str) -> None:
        print(f"{self.name}: {text}", flush=True)

    def lock(self) -> int:
        """One training per folder: the lock goes to the command too, so that a survivor of a kill still holds it."""
        handle = os.open(os.path.join(self.args.save_dir, f".lock{self.node}"), os.O_RDWR | os.O_CREAT, 0o644)
        deadline = time.monotonic() + LOCK_WAIT
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    owner = os.read(handle, 100).decode(errors="replace").strip()
                    sys.exit(
                        f"{self.name}: error: a training is running in {self.args.save_dir} (process {owner}); "
                        "stop it or take another --save-dir"
                    )
                time.sleep(0.2)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        return handle

    def stop(self, number: int, _frame: object) -> None:
        """Ask the training to save and stop; a second SIGINT kills it (clusters send SIGTERM more than once)."""
        again = self.stopped_by != 0
        self.stopped_by = number
        if self.process is None or self.process.poll() is not None:
            return
        if again:
            if number == signal.SIGINT and time.monotonic() - self.stopped_at > 1:
                self.kill()
            return
        self.stopped_at = time.monotonic()
        if os.path.exists(self.heartbeat):
            with open(self.stop_file, "w"):
                pass
            self.kill_at = time.monotonic() + self.args.grace
        else:  # not one update yet: there is nothing to save
            self.kill_at = time.monotonic() + GRACE
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """End the command and all that it started."""
        assert self.process is not None
        self.kill_at = float("inf")
        for process in [*descendants(self.process.pid), self.process.pid]:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)

    def look_for_hang(self, log: BinaryIO) -> None:
        """A training without an update or a validation step for too long says where it is, and is killed."""
        with contextlib.suppress(OSError):
            beat = os.path.getmtime(self.heartbeat)
            if beat != self.beat:
                self.beat, self.beat_seen = beat, time.monotonic()
        if self.hung:
            self.ask_where(log)
        elif self.args.hang_timeout and time.monotonic() - self.beat_seen > self.args.hang_timeout:
            self.hung = True
            assert self.process is not None
            asked: set = set()
            for process in [self.process.pid, *descendants(self.process.pid)]:
                if catches(process, signal.SIGUSR1) and parent(process) not in asked:  # not what loads data for it
                    asked.add(process)
            self.to_ask = sorted(asked)

    def ask_where(self, log: BinaryIO) -> None:
        """One process at a time prints the stack of each of its threads; after the last comes the end."""
        if time.monotonic() < self.ask_at:
            return
        if not self.to_ask:
            self.kill_at = 0.0
            return
        self.ask_at = time.monotonic() + LAST_WORDS
        process = self.to_ask.pop(0)
        with contextlib.suppress(OSError):
            with open(f"/proc/{process}/environ", encoding="utf-8", errors="replace") as file:
                rank = re.search(r"(?:^|\0)RANK=(\d+)", file.read())
            with open(f"/proc/{process}/stat", encoding="utf-8", errors="replace") as file:
                state = file.read().rsplit(") ", 1)[1][0]
            state = {"T": "stopped", "D": "waiting for a device", "Z": "ended"}.get(state, "alive")
            log.write(f"=== hung: rank {rank[1] if rank else 0}, process {process}, {state}\n".encode())
            os.kill(process, signal.SIGUSR1)

    def follow(self, process: "subprocess.Popen[bytes]", log: BinaryIO) -> None:
        """Take note of what the command writes to the log until it ends."""
        rest = b""
        with open(log.name, "rb") as written:
            written.seek(log.tell())
            ended = False
            while not ended:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(LOOK_EVERY)
                ended = process.poll() is not None  # before the look at the log: what it wrote last is seen
                *lines, rest = (rest + written.read()).split(b"\n")
                for line in lines:
                    self.handle(line.decode("utf-8", "replace"))
                if not ended:
                    self.look_for_hang(log)
                    if time.monotonic() > self.kill_at:
                        self.kill()
        if rest:
            self.handle(rest.decode("utf-8", "replace"))

    def handle(self, line: str) -> None:
        match = RECORD.search(line)
        if match is None:
            self.completed |= "done training in" in line
            saved = re.search(r"stopped as asked after (\d+) updates, checkpoint saved", line)
            self.saved_at = saved[1] if saved else self.saved_at
            if " | INFO | " not in line:
                self.last_lines.append(line)
            if "num. shared model params" in line:
                self.say(line.split(" | ")[-1])
            return
        try:
            stats = json.loads(match["stats"])
        except ValueError:
            return
        tag = match["tag"].strip()
        if tag == "train_inner" and time.monotonic() - self.shown_at < SHOW_EVERY:
            return
        text = self.progress.line(tag, stats)
        if text:
            self.shown_at = time.monotonic()
            self.say(text)

    def begin_records(self) -> None:
        """Take away what an earlier start left, and write down what runs now."""
        for name in ("done", ".stop", ".heartbeat"):
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(self.args.save_dir, name))
        record = os.path.join(self.args.save_dir, "run.json")
        previous = read_json(record).get("command")
        if previous and comparable(previous) != comparable(self.args.command):
            self.say(f"the options differ from the last start's: {shlex.join(previous)}")
        write_json(record, run_record(self.args))

    def run(self) -> int:
        os.makedirs(self.args.save_dir, exist_ok=True)
        lock = self.lock()
        if not self.node:
            self.begin_records()
        log_path = os.path.join(self.args.save_dir, f"train{self.node}.log")
        with open(log_path, "ab", buffering=0) as log:
            log.write(f"=== {datetime.datetime.now():%Y-%m-%d %H:%M:%S} {shlex.join(self.args.command)}\n".encode())
            # Before the start: a handled signal is at its default in the command, an ignored one would stay ignored.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self.stop)
            if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
                signal.signal(signal.SIGHUP, self.stop)
            self.process = subprocess.Popen(
                self.args.command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[lock],
                preexec_fn=die_with_parent,
                env={
                    **os.environ,
                    "FAIRSEQ_PLUGINS_STOP_FILE": os.path.abspath(self.stop_file),
                    "FAIRSEQ_PLUGINS_HEARTBEAT": os.path.abspath(self.heartbeat),
                },
            )
            if self.stopped_by:  # in the moment before there was a process to pass it on to
                self.process.kill()
            self.follow(self.process, log)
            status = self.process.wait()
        if self.node:
            return self.verdict_of_node(status, log_path)
        self.progress.save()
        for leftover in (self.stop_file, self.heartbeat):
            with contextlib.suppress(FileNotFoundError):
                os.remove(leftover)
        return self.verdict(status, log_path)

    def verdict(self, status: int, log_path: str) -> int:
        updates = self.progress.state.get("updates", 0)
        self.progress.add_memory()
        if status == 0 and self.completed:
            limits = {"max_update": self.args.max_update, "max_epoch": self.args.max_epoch}
            write_json(os.path.join(self.args.save_dir, "done"), dict(self.progress.state, **limits))
            self.say(f"finished: {updates} updates in {clock(self.progress.seconds())}, {self.args.save_dir}")
            return 0
        if self.stopped_by or self.saved_at:
            saved = ", checkpoint saved" if self.saved_at else ""
            self.say(f"stopped after {self.saved_at or updates} updates{saved}; the same command with --resume goes on")
            return 128 + (self.stopped_by or signal.SIGTERM)
        return self.failure(status, f"training {{}} after {updates} updates", log_path)

    def verdict_of_node(self, status: int, log_path: str) -> int:
        node = f"the processes of node {self.args.node_rank}"
        if status == 0:
            self.say(f"{node} finished")
            return 0
        if self.stopped_by:
            self.say(f"{node} stopped")
            return 128 + self.stopped_by
        return self.failure(status, f"{node}: {{}}", log_path)

    def failure(self, status: int, what: str, log_path: str) -> int:
        """Say how the command failed: WHAT with {} for the manner."""
        sys.stderr.write("".join(f"  {line}\n" for line in self.last_lines))
        if self.hung:
            ended = f"did nothing for {self.args.hang_timeout} s and was killed (where each process was is in the log)"
        elif status < 0:
            ended = f"was killed by signal {-status}"
        else:
            ended = f"failed with status {status}" if status else "ended without finishing"
        print(
            f"{self.name}: error: {what.format(ended)}; log: {log_path}; once the cause is gone, the same command with "
            "--resume goes on from the last checkpoint",
            file=sys.stderr,
        )
        return 128 - status if status < 0 else status or 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--save-dir", required=True)
    parser.add_argument("--max-update", type=int, default=0)
    parser.add_argument("--max-epoch", type=int, default=0)
    parser.add_argument("--node-rank", type=int, default=0, metavar="N", help="which machine of the run this is")
    parser.add_argument("--hang-timeout", type=int, default=0, metavar="SECONDS", help="0: never")
    parser.add_argument("--grace", type=int, default=120, metavar="SECONDS", help="time to save and stop when told to")
    parser.add_argument("--record", action="append", default=[], metavar="KEY=VALUE", help="goes into run.json")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    if args.command[:1] == ["--"]:
        args.command = args.command[1:]
    if os.environ.pop("FAIRSEQ_PLUGINS_STOP_WITH_PARENT", ""):
        die_with_parent()
    watcher = Watcher(args)
    try:
        return watcher.run()
    except OSError as error:  # of its own records and log: no room, no permission; the command dies with this process
        print(
            f"{watcher.name}: error: {error.strerror or error} ({error.filename or args.save_dir}); once the cause is "
            "gone, the same command with --resume goes on from the last checkpoint",
            file=sys.stderr,
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
