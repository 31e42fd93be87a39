#!/usr/bin/env python3
"""Kill a study at random moments, let it end, and compare its report with that of an undisturbed one, byte by byte.

    PYTHONPATH=. tests/support/study_kills.py [--kills 20] [--seed 1] STUDY.yaml OUT [OPTION]...

The OPTIONs are those of ``fairseq-plugins study``. Each kill is SIGKILL, of the study's process alone or of all that it
has started as well, as when a machine goes down. Both studies run in OUT, one after the other, as their commands stand
in the report. A study is a fork of this process, which has imported once what each would import for itself.
"""

import argparse
import contextlib
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot  # noqa: F401  the first of what takes two seconds of a study's start
import sacrebleu  # noqa: F401
import scipy.stats  # noqa: F401
from running import start
from warm import warm_up

import fairseq_plugins.models
import fairseq_plugins.study.call  # noqa: F401
from fairseq_plugins import cli

#: what differs between two undisturbed studies
OF_TIMES = ("times.json", "times.md", "report.html")


class Study:
    """``fairseq-plugins study`` with such words and such an environment, in a fork of this process."""

    def __init__(self, words, environment):
        warm_up()

        def run():
            os.environ.clear()
            os.environ.update(environment)
            status = cli.main(["study", *map(str, words)])
            sys.stdout.flush()
            os._exit(status)

        self.output = tempfile.TemporaryFile("w+")  # noqa: SIM115  as long as the study is looked at
        self.pid = start(run, self.output)
        self.end = os.pidfd_open(self.pid)

    def wait(self, seconds=None):
        """Its status, as soon as it ends; None if it does not within so many seconds."""
        if not select.select([self.end], [], [], seconds)[0]:
            return None
        os.close(self.end)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def said(self):
        """What it has printed."""
        self.output.seek(0)
        return self.output.read()


def whole(words, environment):
    """Run a study to its end."""
    study = Study(words, environment)
    assert study.wait() == 0, study.said()


def descendants(process):
    """The processes that one has started, and theirs."""
    children = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            number, rest = status.read_text(errors="replace").split(" (", 1)
            children.setdefault(int(rest.rsplit(") ", 1)[1].split()[1]), []).append(int(number))
    found = [process]
    for parent in found:
        found += children.get(parent, [])
    return found[1:]


def kill(study, all_of_it):
    """SIGKILL."""
    for process in [study.pid, *(descendants(study.pid) if all_of_it else [])]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    study.wait()


def report_of(out):
    """Name -> bytes of every file of the report that is the same for the same study."""
    folder = Path(out) / "report"
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in OF_TIMES)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def disturbed(words, out, moments, environment, say=print):
    """Run a study undisturbed, and again with kills; its report, and those of all that were disturbed.

    Args:
        words: of the study, after ``fairseq-plugins study``; the same again goes on.
        moments: of the kills, as fractions of the time that the undisturbed study took; each from the one before on. A
            study that ends before its next kill is followed by another one.
    """
    begun = time.monotonic()
    whole(words, environment)
    seconds = time.monotonic() - begun
    undisturbed = report_of(out)
    say(f"undisturbed: {seconds:.1f} s")
    shutil.move(out, f"{out}.undisturbed")
    reports = []
    for number, (moment, all_of_it) in enumerate(moments, 1):
        while True:
            study = Study(words, environment)
            status = study.wait(moment * seconds)
            if status is None:
                break
            assert status == 0, study.said()
            reports.append(report_of(out))
            say(f"it ended before kill {number}")
            shutil.rmtree(out)
        kill(study, all_of_it)
        done = len(list(Path(out).glob("jobs/**/*.json")))
        say(f"kill {number} after {moment * seconds:.1f} s{', all of it' if all_of_it else ''}: {done} jobs were done")
    whole(words, environment)
    return undisturbed, [*reports, report_of(out)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("study")
    parser.add_argument("out")
    args, options = parser.parse_known_args()
    chance = random.Random(args.seed)
    moments = [(chance.uniform(0.01, 0.6), chance.random() < 0.5) for _ in range(args.kills)]
    before, reports = disturbed([args.study, "--out", args.out, *options], args.out, moments, dict(os.environ))
    different = {name for after in reports for name in {**before, **after} if before.get(name) != after.get(name)}
    print(f"{len(reports)} reports of {len(before)} files, {len(different)} differ {' '.join(sorted(different))}")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
