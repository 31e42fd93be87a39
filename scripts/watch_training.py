#!/usr/bin/env python3
"""Run one training command: keep its log, show progress with an estimate, pass signals on, and mark the end.

    watch_training.py --save-dir DIR [--max-update N] [--max-epoch N] -- COMMAND ...

DIR/train.log       everything that the command prints, also over several starts
DIR/run.json        what runs: the command, the records given, the versions
DIR/progress.json   updates done, seconds used so far (over all starts), last and best validation loss
DIR/done            written last, only after the command ended well: the run is complete

The exit status is the command's; 128 + signal when a signal ended it. Reads fairseq's --log-format json.
"""

import argparse
import collections
import ctypes
import datetime
import fcntl
import importlib.metadata
import json
import os
import platform
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from typing import Optional

RECORD = re.compile(r"\| INFO \| (?P<tag>[^|]+) \| (?P<stats>\{.*\})\s*$")
#: seconds that a command has to end after a signal, before it is killed
GRACE = 30
#: seconds to wait for the last process of a killed run to let go of the lock
LOCK_WAIT = 20
#: seconds between two lines of progress, at least
SHOW_EVERY = 1.0


def die_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent dies, so that a killed watcher leaves no training behind."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


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
    free = ("--restore-file", "--log-interval")
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

    def save(self) -> None:
        self.state["seconds"] = round(self.seconds(), 1)
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
        self.progress = Progress(os.path.join(args.save_dir, "progress.json"), args.max_update, args.max_epoch)
        self.last_lines: collections.deque = collections.deque(maxlen=25)
        self.process: Optional[subprocess.Popen] = None
        self.completed = False
        self.stopped_by = 0
        self.kill_at = float("inf")
        self.shown_at = float("-inf")

    def say(self, text: str) -> None:
        print(f"{self.name}: {text}", flush=True)

    def lock(self) -> int:
        """One training per folder: the lock goes to the command too, so that a survivor of a kill still holds it."""
        handle = os.open(os.path.join(self.args.save_dir, ".lock"), os.O_RDWR | os.O_CREAT, 0o644)
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
        """Pass a signal on to the whole command; the second one kills it."""
        kill = self.stopped_by != 0
        self.stopped_by = number
        self.kill_at = min(self.kill_at, time.monotonic() + GRACE)
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL if kill else number)

    def read(self, process: "subprocess.Popen[bytes]", log) -> None:
        """Copy the command's output to the log until it ends."""
        assert process.stdout is not None
        pipe = process.stdout.fileno()
        rest, silent_since_end = b"", None
        while True:
            if select.select([pipe], [], [], 0.5)[0]:
                chunk = os.read(pipe, 65536)
                if not chunk:
                    break
                log.write(chunk)
                log.flush()
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self.handle(line.decode("utf-8", "replace"))
            elif process.poll() is not None:
                # A stray worker may hold the pipe open after the command itself has gone.
                silent_since_end = silent_since_end or time.monotonic()
                if time.monotonic() - silent_since_end > 5:
                    break
            if time.monotonic() > self.kill_at and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                self.kill_at = float("inf")
        if rest:
            self.handle(rest.decode("utf-8", "replace"))

    def handle(self, line: str) -> None:
        match = RECORD.search(line)
        if match is None:
            self.completed |= "done training in" in line
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

    def run(self) -> int:
        os.makedirs(self.args.save_dir, exist_ok=True)
        lock = self.lock()
        done = os.path.join(self.args.save_dir, "done")
        if os.path.exists(done):
            os.remove(done)
        record = os.path.join(self.args.save_dir, "run.json")
        previous = read_json(record).get("command")
        if previous and comparable(previous) != comparable(self.args.command):
            self.say(f"the options differ from the last start's: {shlex.join(previous)}")
        write_json(record, run_record(self.args))
        log_path = os.path.join(self.args.save_dir, "train.log")
        with open(log_path, "ab") as log:
            log.write(f"=== {datetime.datetime.now():%Y-%m-%d %H:%M:%S} {shlex.join(self.args.command)}\n".encode())
            log.flush()
            # Before the start: a handled signal is at its default in the command, an ignored one would stay ignored.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, self.stop)
            if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
                signal.signal(signal.SIGHUP, self.stop)
            self.process = subprocess.Popen(
                self.args.command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                pass_fds=[lock],
                preexec_fn=die_with_parent,
            )
            if self.stopped_by:  # in the moment before there was a process to pass it on to
                self.process.kill()
            self.read(self.process, log)
            status = self.process.wait()
        self.progress.save()
        return self.verdict(status, log_path)

    def verdict(self, status: int, log_path: str) -> int:
        updates = self.progress.state.get("updates", 0)
        if status == 0 and self.completed:
            limits = {"max_update": self.args.max_update, "max_epoch": self.args.max_epoch}
            write_json(os.path.join(self.args.save_dir, "done"), dict(self.progress.state, **limits))
            self.say(f"finished: {updates} updates in {clock(self.progress.seconds())}, {self.args.save_dir}")
            return 0
        if self.stopped_by:
            self.say(f"stopped after {updates} updates; the same command with --resume goes on")
            return 128 + self.stopped_by
        sys.stderr.write("".join(f"  {line}\n" for line in self.last_lines))
        ended = f"was killed by signal {-status}" if status < 0 else f"failed with status {status}"
        if status == 0:
            ended = "ended without finishing"
        print(f"{self.name}: error: training {ended} after {updates} updates; log: {log_path}", file=sys.stderr)
        return 128 - status if status < 0 else status or 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--save-dir", required=True)
    parser.add_argument("--max-update", type=int, default=0)
    parser.add_argument("--max-epoch", type=int, default=0)
    parser.add_argument("--record", action="append", default=[], metavar="KEY=VALUE", help="goes into run.json")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    if args.command[:1] == ["--"]:
        args.command = args.command[1:]
    if os.environ.pop("FAIRSEQ_PLUGINS_STOP_WITH_PARENT", ""):
        die_with_parent()
    return Watcher(args).run()


if __name__ == "__main__":
    sys.exit(main())
