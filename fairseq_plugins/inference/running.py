"""One run of a command that puts raw text through a model, from the first line to the last."""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
from typing import Any

from fairseq_plugins.errors import UserError
from fairseq_plugins.lines import PathLike

from .columns import Columns
from .engine import Engine, Settings
from .job import Job
from .pool import Here, Processes
from .progress import Progress
from .records import find_record
from .shards import Shard, merge
from .sink import File, SinkError, Stdout
from .source import Source

#: lines of a buffer, where nobody waits for the answer to each
BUFFER = 1000
#: options of fairseq-interactive that the command has itself, and those of other ways for text
OWN_OPTIONS = {"--path", "--input", "--buffer-size", "--nbest", "--print-alignment", "--num-shards", "--shard-id"}
WITHOUT_MEANING = {"--tokenizer", "--bpe", "--remove-bpe", "--post-process", "--task", "--data", "--results-path"}
WITHOUT_MEANING |= {"--constraints", "--score-reference", "--prefix-size", "--gen-subset", "--distributed-world-size"}
#: options that a file of answers may differ in when it is gone on with, or that stand elsewhere in what it tells
NOT_OF_ANSWERS = {"input", "path", "text", "out", "options", "processes", "shard", "merge", "resume", "buffer_size"}
#: the same: what is answered before a line that needs them does not depend on them
NOT_OF_ANSWERS |= {"repair", "long"}


def run(args: argparse.Namespace, command: str, kind: type[Engine], words: list[str], split: bool) -> int:
    """Answer all lines; returns the exit status.

    Args:
        args: of :func:`.arguments.add_line_arguments`.
        command: its name, for messages.
        kind: what answers.
        words: options of ``fairseq-interactive`` besides the user's.
        split: whether lines longer than the model takes are answered in parts.

    Raises:
        UserError: something that the user can mend; what was written before stays.
    """
    check(args)
    if args.merge:
        say(command, f"{merge(args.out)} shards: {args.out}")
        return 0
    options = passed_on(args.options)
    paths = args.path.split(os.pathsep)
    for path in paths:
        if not os.path.isfile(path):
            raise UserError(f"no checkpoint {path}; train first, or give another --path")
    record = find_record(args.text, paths[0])
    settings = Settings(tuple(paths), record, (*words, *options))
    source = Source(args.input, args.repair)
    size = args.buffer_size or (1 if source.keyboard else BUFFER)
    shard = Shard(args.shard, args.input, size, args.repair) if args.shard else None
    sink = sink_of(args, settings, size, shard)
    if sink.finished:
        say(command, f"{shard.path(args.out) if shard else args.out} is there already")
        return 0
    cfg = settings.fairseqs()
    pool = Processes(kind, settings, args.processes) if args.processes > 1 else Here(kind, settings)
    status = 1
    try:
        work = Job(
            pool,
            kind.encoder(record),
            name=source.name,
            equal_lengths=kind.EQUAL_LENGTHS,
            split=split,
            max_tokens=cfg.dataset.max_tokens,
            max_sentences=cfg.dataset.batch_size,
            multiple=cfg.dataset.required_batch_size_multiple,
            seed=cfg.common.seed,
        )
        columns = Columns(args.nbest > 1, args.scores, getattr(args, "alignments", False))
        status = through(work, source, sink, size, shard, columns, command)
    finally:
        pool.close(at_once=status != 0)
    tell(work, source, command)
    return status


def passed_on(words: list[str]) -> list[str]:
    """What stands after ``--``, for fairseq.

    Raises:
        UserError: an option that would be passed over, or that the command has itself.
    """
    options = words[1:] if words[:1] == ["--"] else words
    for option in (word.partition("=")[0] for word in options):
        if option in OWN_OPTIONS:
            raise UserError(f"{option} is an option of this command: give it before the --")
        if option in WITHOUT_MEANING:
            raise UserError(f"{option} has no meaning here: text goes the way that its record tells, line by line")
    return options


def check(args: argparse.Namespace) -> None:
    """Look at the options together.

    Raises:
        UserError: they do not fit together.
    """
    for name in ("nbest", "processes", "buffer_size"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} needs a number of at least 1, not {value}")
    if args.merge and (args.shard or not args.out):
        raise UserError("--merge puts all shards of --out together; give --out, and leave out --shard")
    if args.shard and not (args.input and args.out):
        raise UserError("--shard is for a part of a file, into a file; give --input and --out")
    if args.resume and not (args.input and args.out):
        raise UserError("--resume goes on with a file's answers in a file; give --input and --out")


def sink_of(args: argparse.Namespace, settings: Settings, size: int, shard: Shard | None) -> Stdout | File:
    """Where the answers go."""
    if args.out is None:
        return Stdout()
    made = {
        "options": {name: value for name, value in sorted(vars(args).items()) if name not in NOT_OF_ANSWERS},
        "words": [word for word in settings.words if word != "--cpu"],  # where it was made changes rounding alone
        "reads": [identity(path) for path in [*settings.paths, *([args.input] if args.input else [])]],
        "text": [file.sha256 for file in settings.record.files()],
        "buffer": size,
    }
    return File(shard.path(args.out) if shard else args.out, made, args.resume, keep=shard is not None)


def identity(path: PathLike) -> list[Any]:
    """What tells a file from another one of its name."""
    found = os.stat(path)
    return [os.path.abspath(path), found.st_size, found.st_mtime_ns]


def through(
    work: Job, source: Source, sink: Stdout | File, size: int, shard: Shard | None, columns: Columns, command: str
) -> int:
    """All lines through the job and into the sink; returns the exit status.

    Raises:
        UserError: something that the user can mend; what is kept has been said.
    """
    before = sink.done
    begin = (shard.first if shard else 1) + before
    if sink.done:
        say(command, f"the answers to {sink.done:,} lines are there already")
    lines = itertools.islice(source, begin - 1, shard.end - 1 if shard else None)
    progress = Progress(command, source, shown=not source.keyboard)
    if source.keyboard:
        say(command, "a line at a time; Ctrl-D ends")
    try:
        for answered in work.run(lines, size, begin):
            texts = [line for each in answered for line in columns.lines(each.number, each.hypotheses)]
            sink.write("".join(f"{line}\n" for line in texts), len(answered), whole=len(answered) == size)
            progress.show(sink.done - before)
        sink.finish()
    except KeyboardInterrupt:
        progress.clear()
        say(command, f"stopped; {sink.kept()}")
        return 128 + signal.SIGINT
    except BrokenPipeError:
        progress.clear()
        say(command, f"nobody reads the output any more; {sink.kept()}")
        return 128 + signal.SIGPIPE
    except UserError as error:
        progress.clear()
        if sink.done and not isinstance(error, SinkError):
            say(command, sink.kept())
        raise
    progress.clear()
    return 0


def tell(work: Job, source: Source, command: str) -> None:
    """Say at the end what may be wrong with the answers."""
    for numbers, what in (
        (work.cut, "longer than the model takes, and cut inside a sentence"),
        (work.ended, "answered with the longest output of the search, so that an end may be missing; see --max-len-b"),
    ):
        if numbers:
            listed = ", ".join(map(str, numbers[:5])) + (" ..." if len(numbers) > 5 else "")
            say(command, f"{len(numbers)} lines were {what}: {listed}")
    if source.unended and source.path is None:
        say(command, "the last line of standard input had no end; if it was cut off, so is its answer")


def say(command: str, text: str) -> None:
    """A line on standard error."""
    print(f"{command}: {text}", file=sys.stderr, flush=True)
