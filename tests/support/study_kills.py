#!/usr/bin/env python3
"""Kill a study at random moments, let it end, and compare its report with that of an undisturbed one, byte by byte.

    PYTHONPATH=. tests/support/study_kills.py [--kills 20] [--seed 1] STUDY.yaml OUT [OPTION]...

The OPTIONs are those of ``fairseq-plugins study``. Each kill is SIGKILL, of the study's process alone or of all that it
has started as well, as when a machine goes down. Both studies run in OUT, one after the other, as their commands stand
in the report.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

#: what differs between two undisturbed studies
OF_TIMES = ("times.json", "times.md", "report.html")


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


def disturbed(command, out, moments, environment, say=print):
    """Run a study undisturbed, and again with kills; its report, and those of all that were disturbed.

    Args:
        command: of the study; the same again goes on.
        moments: of the kills, as fractions of the time that the undisturbed study took; each from the one before on. A
            study that ends before its next kill is followed by another one.
    """
    begun = time.monotonic()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - begun
    undisturbed = report_of(out)
    say(f"undisturbed: {seconds:.1f} s")
    shutil.move(out, f"{out}.undisturbed")
    reports = []
    for number, (moment, all_of_it) in enumerate(moments, 1):
        while True:
            study = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                status = study.wait(moment * seconds)
            except subprocess.TimeoutExpired:
                break
            assert status == 0
            reports.append(report_of(out))
            say(f"it ended before kill {number}")
            shutil.rmtree(out)
        kill(study, all_of_it)
        done = len(list(Path(out).glob("jobs/**/*.json")))
        say(f"kill {number} after {moment * seconds:.1f} s{', all of it' if all_of_it else ''}: {done} jobs were done")
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
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
    command = [sys.executable, "-m", "fairseq_plugins.cli", "study", args.study, "--out", args.out, *options]
    before, reports = disturbed(command, args.out, moments, dict(os.environ))
    different = {name for after in reports for name in {**before, **after} if before.get(name) != after.get(name)}
    print(f"{len(reports)} reports of {len(before)} files, {len(different)} differ {' '.join(sorted(different))}")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
