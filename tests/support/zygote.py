"""A Python that has imported torch and fairseq before it is called: what scripts under test take for ``PYTHON``.

Each command of a pipeline takes a second or two to import what the one before it imported too. Here one process
imports it and forks for each command; :func:`start` writes a folder of stand-ins for ``python`` and its commands, which
hand arguments, folder, environment and open files over a socket and wait for the exit status; the command has their
network and their limit for the size of a file, too. A second process has imported the plugin as well, for commands
that are going to: a stand-in sees by their words that they do, and that it is no copy of this project. The processes
that multiprocessing spawns for a command come from here, too. Tests whose subject is the process itself (signals,
memory, start-up) take the real interpreter.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import ctypes
import fcntl
import functools
import gc
import importlib
import importlib.metadata
import logging
import marshal
import multiprocessing.util
import os
import resource
import runpy
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import weakref
from pathlib import Path

from warm import warm_up, warm_up_plugin

STAND_IN = """#!{python} -ISE
import _signal as signal, _socket as socket, array, marshal, os, sys  # the wrappers of the first two take twice as long
command = {command!r}
words = sys.argv[1:]
real = [{python!r}, *words] if command == "python" else [{folder!r} + "/" + command, *words]
if words[:1] == ["-B"]:  # multiprocessing hands on PYTHONDONTWRITEBYTECODE, which the process that forks has, too
    words = words[1:]
if command == "python" and (not words or (words[0].startswith("-") and words[0] not in ("-c", "-m", "-"))):
    os.execv(real[0], real)
files = array.array("i", [])
for name in os.listdir("/proc/self/fd"):  # one of them was for reading this folder
    if os.path.exists("/proc/self/fd/" + name):
        files.append(int(name))
def uses_plugin():
    ours = words[:2] == ["-m", "fairseq_plugins.cli"] or words[:1] and words[0].startswith({root!r} + "/scripts/")
    if command == "fairseq-plugins" or ours:
        own = os.getcwd() if words[:1] == ["-m"] else ""
        found = [path for path in [own, *os.environ.get("PYTHONPATH", "").split(":")] if path]
        found = [path for path in found if os.path.isdir(path + "/fairseq_plugins")]
        return not found or os.path.realpath(found[0]) == {root!r}
    at = words.index("--user-dir") + 1 if command.startswith("fairseq-") and "--user-dir" in words else 0
    return 0 < at < len(words) and os.path.abspath(words[at]) == {root!r} + "/fairseq_plugins"


there = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
try:
    there.connect({address!r} + ".plugin" * uses_plugin())
except OSError:
    os.execv(real[0], real)
request = marshal.dumps([command, words, os.getcwd(), dict(os.environ), files.tolist()])
there.sendall(len(request).to_bytes(8, "little") + request)
there.sendmsg([b"!"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, files)])
for file in files[3:]:
    os.close(file)  # who reads a pipe from the command waits for all who could write to it
child = int.from_bytes(there.recv(8), "little")
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) != signal.SIG_IGN:
        signal.signal(number, lambda number, _: os.kill(child, number))
status = int.from_bytes(there.recv(8), "little", signed=True)
if status < 0:
    signal.signal(-status, signal.SIG_DFL)
    os.kill(os.getpid(), -status)
sys.exit(status)
"""


#: what commands import of other packages, which takes each of them up to a second
OF_COMMANDS = ("sacremoses", "subword_nmt.subword_nmt", "sacrebleu", "scipy.stats", "scipy.optimize", "jinja2")
OF_COMMANDS += ("matplotlib.pyplot", "tokenizers", "sentencepiece", "torch.distributed.launcher.api")

#: the variable that names the stand-ins' folder, where one process forks for all of a run's workers
SHARED = "TESTS_STAND_INS"

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


@functools.cache
def quick_python() -> Path:
    """The stand-in for ``python`` of this test session, in a folder with those of fairseq's and our commands."""
    folder = Path(os.environ.get(SHARED) or start())
    deadline = time.monotonic() + 120
    while not all((folder / name).exists() for name in ("socket", "socket.plugin")):
        if time.monotonic() > deadline:
            raise RuntimeError("the process that forks did not start")
        time.sleep(0.02)
    return folder / "python"


def start() -> Path:
    """Start the process that forks, until this one ends, and write the stand-ins, of which it returns the folder."""
    folder, own = Path(tempfile.mkdtemp()), Path(sys.executable).parent
    address = str(folder / "socket")
    atexit.register(subprocess.Popen([sys.executable, __file__, address]).kill)
    programs = ("preprocess", "train", "hydra-train", "generate", "interactive", "eval-lm", "validate", "score")
    commands = ("python", "fairseq-plugins", "sacremoses", "subword-nmt", *(f"fairseq-{name}" for name in programs))
    for path in own.iterdir():
        if path.name in commands:
            text = STAND_IN.format(
                python=sys.executable, command=path.name, address=address, folder=str(own), root=ROOT
            )
            (folder / path.name).write_text(text)
            (folder / path.name).chmod(0o755)
        else:
            (folder / path.name).symlink_to(path)
    return folder


def serve(address: str) -> None:
    """Fork for each request until killed."""
    gc.disable()
    for name in OF_COMMANDS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    warm_up()
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # with the other
        import_plugin()
        address += ".plugin"
    gc.enable()
    forget_the_end()
    entry_points = {point.name: point for point in importlib.metadata.entry_points(group="console_scripts")}
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address + ".new")
    listener.listen(64)
    os.rename(address + ".new", address)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    multiprocessing.set_executable(Path(address).with_name("python"))
    one_by_one = threading.Lock()
    while True:
        there, _ = listener.accept()
        threading.Thread(target=attend, args=(there, entry_points, one_by_one), daemon=True).start()


def forget_the_end() -> None:
    """What imports have registered for the end of a process is for this one: most is torch's, and takes a fork 30 ms.

    What a command registers itself is done; logging and multiprocessing have registered theirs before.
    """
    atexit._clear()
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined]
    atexit.register(logging.shutdown)
    atexit.register(multiprocessing.util._exit_function)


def attend(there: socket.socket, entry_points: dict, one_by_one: threading.Lock) -> None:
    """Run one command in a fork and answer its exit status; it is killed if nobody waits for it any more."""
    with there:
        request = there.recv(int.from_bytes(there.recv(8), "little"), socket.MSG_WAITALL)
        with one_by_one:  # no command may inherit another's files
            _, ancillary, _, _ = there.recvmsg(1, socket.CMSG_SPACE(253 * 4))
            if not ancillary:  # the stand-in was killed
                return
            files = array.array("i", ancillary[0][2])
            child = os.fork()
            if child == 0:
                with contextlib.suppress(OSError):
                    live_where(there.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED))  # whose number is first
                there.close()
                become(*marshal.loads(request), files, entry_points)
            for file in files:
                os.close(file)
        there.sendall(child.to_bytes(8, "little"))
        gone = threading.Thread(target=kill_when_left, args=(there, child), daemon=True)
        gone.start()
        _, status, used = os.wait4(child, 0)
        environment = marshal.loads(request)[3]
        if "TESTS_CPU_TIME" in environment and "PYTEST_CURRENT_TEST" in environment:
            with open(environment["TESTS_CPU_TIME"] + "/seconds", "a") as file:  # for cpu_time
                file.write(f"{used.ru_utime + used.ru_stime:.3f}\t{environment['PYTEST_CURRENT_TEST']}\n")
        with contextlib.suppress(OSError):
            there.sendall(struct.pack("<q", os.waitstatus_to_exitcode(status)))


def live_where(process: int) -> None:
    """Take on another process's limit for the size of a file, and its network."""
    resource.setrlimit(resource.RLIMIT_FSIZE, resource.prlimit(process, resource.RLIMIT_FSIZE))
    with open(f"/proc/{process}/ns/net") as network:
        if os.fstat(network.fileno()).st_ino != os.stat("/proc/self/ns/net").st_ino:
            ctypes.CDLL(None).setns(network.fileno(), 0)


def kill_when_left(there: socket.socket, child: int) -> None:
    """Kill a child whose stand-in ended."""
    with contextlib.suppress(OSError):
        if there.recv(1) == b"":
            os.kill(child, signal.SIGKILL)


def become(
    command: str, words: list, cwd: str, environment: dict, numbers: list, files: array.array, entry_points: dict
) -> None:
    """Be the command in this process, its open files under their numbers, and end."""
    status = 1
    try:
        aside = [fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, max(numbers) + 1) for file in files]
        for file in files:
            os.close(file)
        for file, number in zip(aside, numbers, strict=True):
            os.dup2(file, number)
            os.close(file)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115  they stay open to the end
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environment)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        threading.main_thread()._daemonic = False  # type: ignore[attr-defined]  it was: new threads inherit that
        run(command, words, entry_points)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    except KeyboardInterrupt:
        status = 130
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def run(command: str, words: list, entry_points: dict) -> None:
    """What the interpreter does with its arguments, or what a console command does."""
    path = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    if command != "python":
        sys.argv, sys.path[:0] = [command, *words], path
        if command == "fairseq-plugins" and "fairseq_plugins" not in sys.modules:
            import_copy()
        sys.exit(entry_points[command].load()())
    first, *rest = words
    if first == "-m":
        sys.path[:0] = [os.getcwd(), *path]
        sys.argv = rest
        if rest[0] == "fairseq_plugins.cli" and "fairseq_plugins" not in sys.modules:
            import_copy()
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first in ("-c", "-"):
        code = rest.pop(0) if first == "-c" else sys.stdin.read()
        sys.path[:0] = ["", *path]
        sys.argv = [first, *rest]
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
    else:
        sys.path[:0] = [os.path.dirname(os.path.abspath(first)), *path]
        sys.argv = words
        runpy.run_path(first, run_name="__main__")


def import_plugin() -> None:
    """What ``--user-dir`` does, and the settings that commands with it compose most often."""
    sys.path.insert(0, ROOT)
    importlib.import_module("fairseq_plugins.models")
    sys.path.remove(ROOT)
    warm_up_plugin()


def import_copy() -> None:
    """As a process does that has not imported fairseq: nothing is registered before a command needs it, by 50 ms."""
    models = sys.modules.pop("fairseq.models")
    try:
        importlib.import_module("fairseq_plugins")
    finally:
        sys.modules["fairseq.models"] = models


if __name__ == "__main__":
    sys.path.pop(0)
    serve(sys.argv[1])
