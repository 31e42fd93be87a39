"""Running fairseq's commands, in fresh processes and in forks of this one."""

import importlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from warm import warm_up
from zygote import quick_python

#: options that make a translation model small enough for a test
SIZES = [
    *("--encoder-layers", "1", "--decoder-layers", "1", "--encoder-embed-dim", "16", "--encoder-ffn-embed-dim", "16"),
    *("--decoder-embed-dim", "16", "--decoder-ffn-embed-dim", "16"),
    *("--encoder-attention-heads", "2", "--decoder-attention-heads", "2", "--share-all-embeddings"),
]


def sparse(arch):
    """Options that leave a value-aware model fewer keys than a test's sentences have."""
    return ["--attention-r", "2"] if "valueaware" in arch else []


def fairseq(command, *arguments, cwd=None, check=True, wrapper=()):
    """Run ``fairseq-COMMAND`` of this interpreter's environment in a process without the plugin; returns its output.

    With a wrapper, such as torchrun, which starts processes itself, it is a fresh interpreter.
    """
    python = Path(sys.executable) if wrapper else quick_python()
    program = python.parent / f"fairseq-{command}"
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [*wrapper, str(program), *map(str, arguments)],
        cwd=cwd,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )
    assert not check or done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def ended(child, limit=300):
    """The status of a process when it has ended; one that takes more than a limit of seconds is killed."""
    deadline = time.monotonic() + limit
    pause = 0.005
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            deadline = float("inf")
        time.sleep(pause)
        pause = min(2 * pause, 0.1)


def start(function, out):
    """Fork: the child calls the function with all output going to an open file, and ends; returns the child's id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
        sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1, closefd=False)  # a fork of this one has its own
        logging.basicConfig(stream=sys.stdout, level="INFO", force=True)
        function()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def call(command, *arguments):
    """``fairseq-COMMAND`` in this process."""
    sys.argv = [f"fairseq-{command}", *map(str, arguments)]
    importlib.import_module(f"fairseq_cli.{command.replace('-', '_')}").cli_main()


def forked(command, *arguments):
    """The same in a fork of this process, which has imported everything: quicker, where freshness proves nothing."""
    warm_up()
    importlib.import_module(f"fairseq_cli.{command.replace('-', '_')}")
    with tempfile.TemporaryFile("w+") as out:
        status = ended(start(lambda: call(command, *arguments), out))
        out.seek(0)
        text = out.read()
    assert status == 0, text[-4000:]
    return text
