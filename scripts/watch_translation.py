#!/usr/bin/env python3
"""Translate in several processes: run fairseq-generate for every shard of a corpus, and put their texts together.

    watch_translation.py --out DIR --language L --shards N [--shard I | --merge] [OPTION]... -- COMMAND ...

DIR.partial/I-of-N.running  the log of shard I, which is at work
DIR.partial/I-of-N.log      that of a finished one; its first line tells what it is a translation of
DIR                         log, hyp.tok, hyp.detok.L and command.sh, all at once when no shard is missing

The batches are those of one process, dealt out so that all shards have about as many source tokens. SIGINT, SIGTERM,
SIGHUP or the failure of a shard end all others; finished ones are kept for --resume.
"""

import argparse
import contextlib
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

from collect_hypotheses import LOADED, collect
from watch_training import clock, die_with_parent

NAME = "generate.sh"
AGAIN = "the same command with --resume translates what is missing"
#: seconds between two looks at the processes
LOOK_EVERY = 0.1
#: seconds between two lines of progress: rewritten on a terminal, one below the other in a log
ON_TERMINAL, IN_LOG = 1.0, 30.0

HYPOTHESIS = re.compile(r"H-(\d+)\t")
BATCH = re.compile(r"\| INFO \| .*: +(\d+) / (\d+) ")
SCORE = re.compile(r"Generate \S+ with beam=\d+: ")


class Stopped(BaseException):
    """A signal that ends the translation."""

    def __init__(self, number: int) -> None:
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        self.status = 128 + number


def say(text: str) -> None:
    print(f"{NAME}: {text}", file=sys.stderr, flush=True)


class Shard:
    """One of several parts of a corpus, and the process that translates it."""

    def __init__(self, work: str, number: int, count: int) -> None:
        self.number, self.count = number, count
        self.finished = os.path.join(work, f"{number}-of-{count}.log")
        self.running = os.path.join(work, f"{number}-of-{count}.running")
        self.errors = os.path.join(work, f"{number}-of-{count}.errors")
        self.process: subprocess.Popen | None = None
        #: what the log tells so far
        self.sentences, self.loaded, self.done = 0, 0, 0.0
        self.read, self.rest, self.last = 0, "", ""

    def header(self) -> dict:
        """What the finished shard is a translation of; nothing if there is none."""
        try:
            with open(self.finished, encoding="utf-8", newline="\n") as file:
                return json.loads(file.readline())
        except (FileNotFoundError, ValueError):
            return {}

    def start(self, command: list, header: dict, environment: dict) -> None:
        with open(self.running, "wb") as log, open(self.errors, "wb") as errors:
            log.write(json.dumps(header).encode() + b"\n")
            log.flush()
            parts = ["--num-shards", str(self.count), "--shard-id", str(self.number)] if self.count > 1 else []
            self.process = subprocess.Popen(
                # Whatever is given later holds: a line a batch tells how far it is.
                [*command, *parts, "--log-format", "simple", "--log-interval", "1"],
                stdout=log,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=die_with_parent,
                env=environment,
            )

    def look(self) -> None:
        """Read what the log tells besides."""
        with contextlib.suppress(FileNotFoundError), open(self.running, "rb") as log:
            log.seek(self.read)
            chunk = log.read()
            self.read += len(chunk)
            *lines, self.rest = (self.rest + chunk.decode("utf-8", "replace")).split("\n")
            for line in lines:
                self.tell(line)

    def tell(self, line: str) -> None:
        if match := HYPOTHESIS.match(line):
            # With --nbest the hypotheses of a sentence follow each other.
            self.sentences += match[1] != self.last
            self.last = match[1]
        elif match := BATCH.search(line):
            self.done = int(match[1]) / int(match[2])
        elif not self.loaded and (match := LOADED.search(line)):
            self.loaded = int(match[1].replace(",", ""))

    def finish(self) -> None:
        """The process ended well: what it warned of goes into the log, which is on the disk before it has its name."""
        with open(self.running, "ab") as log, open(self.errors, "rb") as errors:
            shutil.copyfileobj(errors, log)
            log.flush()
            os.fsync(log.fileno())
        os.replace(self.running, self.finished)
        os.remove(self.errors)
        self.done = 1.0

    def end(self) -> None:
        """Kill what still runs, with the processes that load data for it; nothing is left of it."""
        if self.process is None:
            return
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        for path in (self.running, self.errors):
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)

    def last_words(self) -> list:
        """What the process said before it failed."""
        with open(self.errors, encoding="utf-8", errors="replace") as file:
            words = [line for line in file.read().splitlines()[-15:] if " | INFO | " not in line]
        with open(self.running, encoding="utf-8", errors="replace") as file:
            return words + [line for line in file.read().split("\n") if re.search("Error|Exception", line)][-3:]


class Progress:
    """How far all shards of a call are, in one line."""

    def __init__(self, shards: list, terminal: bool) -> None:
        self.shards, self.terminal = shards, terminal
        self.shown = time.monotonic()
        self.begun: tuple[float, float] | None = None

    def line(self) -> str:
        """Sentences done of all, percent, and the time left by the batches: sentences become longer on the way."""
        now, done = time.monotonic(), sum(shard.done for shard in self.shards) / len(self.shards)
        sentences = sum(shard.sentences for shard in self.shards)
        # Of several shards each loads the whole corpus; these may be one of them.
        total = max(shard.loaded for shard in self.shards) * len(self.shards) // self.shards[0].count
        if not total:
            return ""
        self.begun = self.begun or (now, done)
        gained = done - self.begun[1]
        left = f", about {clock((1 - done) * (now - self.begun[0]) / gained)} left" if gained > 0 else ""
        percent = min(100 * sentences // total, 100)
        return f"{sentences:,} of {total:,} sentences ({percent} %){left}"

    def show(self) -> None:
        now = time.monotonic()
        if now - self.shown < (ON_TERMINAL if self.terminal else IN_LOG):
            return
        if text := self.line():
            self.shown = now
            if self.terminal:
                print(f"\r\x1b[K{NAME}: {text}", end="", file=sys.stderr, flush=True)
            else:
                say(text)

    def clear(self) -> None:
        if self.terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class Translation:
    """What this call does, for all shards or for one."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.work = args.out + ".partial"
        #: a translation is another one if one of these is; where it was made only changes rounding
        self.made = {
            "command": [word for word in args.command if word != "--cpu"],
            "reads": [identity(path) for path in args.reads],
        }
        self.shards = [Shard(self.work, number, args.shards) for number in range(args.shards)]

    def is_finished(self, shard: Shard) -> bool:
        return shard.header().get("made") == self.made

    def prepare(self) -> None:
        """Keep the shards that are wanted; other calls may be at work on other shards."""
        if self.args.shard is None and not self.args.resume:
            shutil.rmtree(self.work, ignore_errors=True)
        os.makedirs(self.work, exist_ok=True)
        mine = self.shards if self.args.shard is None else [self.shards[self.args.shard]]
        kept = {shard.finished for shard in mine if self.args.resume and self.is_finished(shard)}
        removed = {shard.finished for shard in mine} - kept
        if self.args.shard is None:
            removed = set(glob.glob(os.path.join(glob.escape(self.work), "*-of-*.log"))) - kept
        for path in removed:
            with contextlib.suppress(FileNotFoundError):
                os.remove(path)

    def run(self) -> None:
        """Translate the shards of this call that are missing.

        Raises:
            Stopped: by a signal; all processes have ended.
            SystemExit: one failed; the others have ended, too.
        """
        self.prepare()
        wanted = self.shards if self.args.shard is None else [self.shards[self.args.shard]]
        missing = [shard for shard in wanted if not self.is_finished(shard)]
        if len(wanted) > 1 and len(missing) < len(wanted):
            say(f"{len(wanted) - len(missing)} of {len(wanted)} shards are there already")
        progress = Progress(missing, sys.stderr.isatty())
        try:
            for shard in missing:
                header = {"shard": [shard.number, shard.count], "made": self.made, "script": self.args.script}
                shard.start(self.args.command, header, self.environment(shard))
            running = list(missing)
            while running:
                time.sleep(LOOK_EVERY)
                for shard in list(running):
                    status = shard.process.poll() if shard.process else None
                    shard.look()
                    if status is None:
                        continue
                    if status:
                        self.failure(shard, status)
                    shard.finish()
                    running.remove(shard)
                progress.show()
        finally:
            progress.clear()
            for shard in missing:
                shard.end()
            with contextlib.suppress(OSError):  # there are finished shards in it, or it is not there
                os.rmdir(self.work)

    def environment(self, shard: Shard) -> dict:
        """With --gpus, a device of its own among those that this process sees."""
        extra = {"LOGLEVEL": "INFO", "PYTHONIOENCODING": "utf-8"}
        if self.args.gpus:
            visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
            devices = visible.split(",") if visible else [str(number) for number in range(shard.count)]
            extra["CUDA_VISIBLE_DEVICES"] = devices[shard.number].strip()
        return {**os.environ, **extra}

    def failure(self, shard: Shard, status: int) -> None:
        for line in shard.last_words():
            print(line, file=sys.stderr)
        where = f" in shard {shard.number} of {shard.count}" if shard.count > 1 else ""
        killed = f", killed by signal {-status}" if status < 0 else ""
        cause = "the disk is full" if shutil.disk_usage(self.work).free < 1 << 20 else "its last words are above"
        remedy = f"; the others were stopped, and once the cause is gone, {AGAIN}" if where else ""
        sys.exit(f"{NAME}: error: fairseq-generate failed{where}{killed}; {cause}{remedy}")

    def complete(self) -> list:
        """The shards to put together: all of one number of them.

        Raises:
            SystemExit: there is no such number.
        """
        found: dict[int, set] = {}
        for path in glob.glob(os.path.join(glob.escape(self.work), "*-of-*.log")):
            number, count = map(int, os.path.basename(path)[: -len(".log")].split("-of-"))
            if self.is_finished(Shard(self.work, number, count)):
                found.setdefault(count, set()).add(number)
        if not found:
            sys.exit(
                f"{NAME}: error: no shard of this command and checkpoint is finished in {self.work}; add --shard I/N"
            )
        count = max(found, key=lambda count: len(found[count]) / count)
        missing = [str(number) for number in range(count) if number not in found[count]]
        if missing:
            numbers, first = ", ".join(missing), f"--shard {missing[0]}/{count}"
            sys.exit(f"{NAME}: error: of {count} shards these are missing: {numbers}; run them, the first with {first}")
        return [Shard(self.work, number, count) for number in range(count)]

    def merge(self) -> None:
        """Put the finished shards together, in the order of the corpus, in the place of an older translation."""
        shards = self.complete() if self.args.merge else self.shards
        log, script = os.path.join(self.work, "log"), shards[0].header()["script"]
        if len(shards) > 1:
            script = script.replace(
                "\n", f"\n# {len(shards)} processes, each with --num-shards {len(shards)} and its --shard-id:\n", 1
            )
        with open(log, "w", encoding="utf-8", newline="\n") as file:
            for shard in shards:
                with open(shard.finished, encoding="utf-8", newline="\n") as part:
                    part.readline()
                    # A part's BLEU would be taken for that of the whole.
                    file.writelines(line for line in part if len(shards) == 1 or not SCORE.match(line))
        sentences, left_out = collect(log, self.work, self.args.language, self.args.text_record)
        with open(os.path.join(self.work, "command.sh"), "w", encoding="utf-8") as file:
            file.write(script + "\n")
        shutil.rmtree(self.args.out, ignore_errors=True)
        os.rename(self.work, self.args.out)
        for path in glob.glob(os.path.join(glob.escape(self.args.out), "*-of-*.*")):
            os.remove(path)
        took = "" if self.args.merge else f" in {time.monotonic() - self.args.begun:.0f} s"
        say(f"{sentences} sentences{took}: {os.path.join(self.args.out, 'hyp.detok.' + self.args.language)}")
        if left_out:
            say(left_out)

    def state(self) -> str:
        """What a stopped translation has."""
        kept = sum(self.is_finished(shard) for shard in self.shards)
        return f": {kept} of {len(self.shards)} shards are finished; {AGAIN}" if len(self.shards) > 1 else ""


def identity(path: str) -> list:
    """What tells a file from another one of its name."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return [path]
    return [path, found.st_size, found.st_mtime_ns]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--language", required=True)
    parser.add_argument("--text-record", metavar="FILE", help="what the text went through: how it is detokenised")
    parser.add_argument("--script", required=True, metavar="TEXT", help="what command.sh is to hold")
    parser.add_argument("--shards", type=int, default=1, metavar="N")
    parser.add_argument("--shard", type=int, metavar="I", help="only this one; other calls translate the others")
    parser.add_argument("--merge", action="store_true", help="translate nothing, put finished shards together")
    parser.add_argument("--gpus", action="store_true", help="one for each process")
    parser.add_argument("--resume", action="store_true", help="keep finished shards of this command")
    parser.add_argument("--reads", action="append", default=[], metavar="FILE", help="a checkpoint, or data")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    if args.command[:1] == ["--"]:
        args.command = args.command[1:]
    args.begun = time.monotonic()
    return args


def stop(number: int, _frame: object) -> None:
    raise Stopped(number)


def main() -> int:
    if os.environ.pop("FAIRSEQ_PLUGINS_STOP_WITH_PARENT", ""):
        die_with_parent()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, stop)
    translation = Translation(arguments())
    args = translation.args
    try:
        if not args.merge:
            translation.run()
        if args.shard is None:
            translation.merge()
        else:
            say(f"shard {args.shard} of {args.shards} is finished; --merge puts all together once none is missing")
        return 0
    except Stopped as stopped:
        say(f"stopped{translation.state()}")
        return stopped.status
    except OSError as error:  # of its own files: no room, no permission
        named = f"{error.strerror or error} ({error.filename or args.out})"
        sys.exit(f"{NAME}: error: {named}; once the cause is gone, {AGAIN}")


if __name__ == "__main__":
    sys.exit(main())
