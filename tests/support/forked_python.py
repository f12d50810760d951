"""A program that does what Python does, in a process forked from one that has loaded the engine and the commands.

Each process that starts from nothing takes 3 to 6 s of CPU time for imports, of which only the tests of imports say
anything. `forked_python()` is for `sys.executable`, or for a script that starts Python. The program stays for as long
as the process that it stands for: it has its files, passes on signals and exit code, and takes it along if killed.
"""

from __future__ import annotations

import atexit
import fcntl
import functools
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

NUMBER = struct.Struct("q")  # the length of what is asked, the process's number, its exit code
ABOVE = 256  # descriptors from here on are not those of the program
MAX_FILES = 64
LOADED = (
    *("fly64dask.cli.main", "fly64dask.cli.terminal.console", "fly64dask.runs.run", "fly64dask.cells.cell"),
    *("fly64dask.cells.engine_call", "distributed.dashboard.scheduler", "distributed.nanny", "scipy.ndimage", "pandas"),
)


@functools.cache
def forked_python(*loaded: str) -> str:
    """Start the process that is forked, which ends with this one; gives the program's path.

    It loads the modules that are named; none stand for the engine and what commands import.
    """
    from fly64dask.base import KEEP_MEMORY, SINGLE_THREAD
    from fly64dask.cells import engine_modules
    from fly64dask.reconstruction import LSQML

    folder = Path(tempfile.mkdtemp(prefix="fly64dask-", dir="/tmp"))  # a socket's name has no room for a long path
    address, program = folder / "socket", folder / "python"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "{__file__}" "{address}" "$0" "$@"\n')
    program.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen(128)
        server = subprocess.Popen(
            [sys.executable, __file__, str(listener.fileno()), *(loaded or (*engine_modules(LSQML), *LOADED))],
            stdin=subprocess.PIPE,
            pass_fds=[listener.fileno()],
            env=os.environ | SINGLE_THREAD | KEEP_MEMORY,
        )
    atexit.register(_end, server, folder)
    return str(program)


def _end(server: subprocess.Popen[bytes], folder: Path) -> None:
    server.kill()
    server.communicate()
    shutil.rmtree(folder, ignore_errors=True)


def be_the_program(address: str, program: str, arguments: list[str]) -> int:
    """Have a process forked that does what is asked; gives its exit code, negative for a signal."""
    files = [number for number in map(int, os.listdir("/proc/self/fd")) if _is_passed_on(number)]
    asked = json.dumps([program, arguments, dict(os.environ), os.getcwd(), files]).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(address)
        socket.send_fds(server, [NUMBER.pack(len(asked))], files)
        server.sendall(asked)
        pid = _number(server)

        def pass_on(number: int, _: object) -> None:
            with suppress(ProcessLookupError):  # it has ended already
                os.kill(pid, number)

        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, pass_on)
        return _number(server)


def _is_passed_on(number: int) -> bool:
    with suppress(OSError):
        return os.get_inheritable(number)
    return False


def _number(link: socket.socket) -> int:
    received = link.recv(NUMBER.size, socket.MSG_WAITALL)
    if len(received) < NUMBER.size:
        raise ChildProcessError("the process that is forked has ended")
    return int(NUMBER.unpack(received)[0])


def serve(listener: socket.socket) -> tuple[str, list[str]]:
    """Fork for each that asks, until standard input closes; returns in the forked processes alone, with what to do."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        ready, _, _ = select.select([listener, 0], [], [])
        if 0 in ready:
            os._exit(0)
        control, _ = listener.accept()
        with control:
            if os.fork() == 0:
                listener.close()
                return _watched(control)


def _watched(control: socket.socket) -> tuple[str, list[str]]:
    """Fork once more: the first process follows the second and who asked; the second returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    length, files, _, _ = socket.recv_fds(control, NUMBER.size, MAX_FILES)
    asked = control.recv(NUMBER.unpack(length)[0], socket.MSG_WAITALL)
    program, arguments, environment, folder, numbers = json.loads(asked)
    pid = os.fork()
    if pid:
        with suppress(OSError):
            control.sendall(NUMBER.pack(pid))
            for number in (0, *files):
                os.close(number)
        process = os.pidfd_open(pid)
        ready, _, _ = select.select([process, control], [], [])
        if process not in ready:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        with suppress(OSError):
            control.sendall(NUMBER.pack(os.waitstatus_to_exitcode(status)))
        os._exit(0)
    control.detach()
    kept = [fcntl.fcntl(number, fcntl.F_DUPFD, ABOVE) for number in files]
    os.closerange(0, ABOVE)
    for number, one in zip(numbers, kept, strict=True):
        os.dup2(one, number)
        os.close(one)
    _open_streams(numbers)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    return program, arguments


def _open_streams(numbers: Collection[int]) -> None:
    """Open the standard streams anew, as Python does at its start: the forked ones take pipes for files or files for
    pipes.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if number in numbers:
            mode, errors = "w" if number else "r", "backslashreplace" if name == "stderr" else "strict"
            by_line = name == "stderr" or os.isatty(number)
            stream = open(number, mode, buffering=1 if by_line else -1, errors=errors, closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)


def do_as_python(program: str, arguments: list[str]) -> None:
    """Run `-m module`, `-c code` or a script, with its arguments; other options are of no concern here."""
    import multiprocessing

    sys.executable = program
    multiprocessing.set_executable(program)
    multiprocessing.process.ORIGINAL_DIR = os.getcwd()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    while arguments[0].startswith("-") and arguments[0] not in ("-m", "-c"):
        del arguments[0]
    # The first entry is this file's own folder.
    sys.path[:1] = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if any(name.startswith("DASK_") for name in os.environ):
        import dask

        dask.config.refresh()
    if arguments[0] == "-m":
        sys.argv = arguments[1:]
        sys.modules.pop(sys.argv[0], None)  # runpy warns of a module that is there already
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    elif arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(arguments[1], "<string>", "exec"), vars(sys.modules["__main__"]))
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(arguments[0]).resolve().parent))
        runpy.run_path(arguments[0], run_name="__main__")


def main() -> None:
    """Be the program, or the process that is forked for it."""
    if len(sys.argv) > 2 and not sys.argv[1].isdigit():
        code = be_the_program(sys.argv[1], sys.argv[2], sys.argv[3:])
        if code < 0:
            signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
        sys.exit(code)
    listener = socket.socket(fileno=int(sys.argv[1]))
    gc.disable()
    for name in sys.argv[2:]:
        importlib.import_module(name)
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert threading.active_count() == 1
    do_as_python(*serve(listener))


if __name__ == "__main__":
    main()
