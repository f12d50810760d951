"""Keeps compiled functions on disk, in another folder for each state of the code that they are made of.

Numba knows a compiled function again by the file that defines it, its signature, its bytecode and the processor. What a
function takes from other files is compiled into it as well, and Numba does not look there.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite  # type: ignore[import-untyped]
import numba
from numba.core import event
from numba.core.errors import NumbaError
from numba.misc.appdirs import AppDirs

from fly64dask.base import Failure, FailureKind, result_or_failure

log = logging.getLogger(__name__)
HERE = Path(__file__).parent
# All that machine code is made of: the modules of this package, and of other ones those that they import.
SOURCES = (*sorted(HERE.glob("*.py")), HERE.parent / "step_arithmetic.py")
# Of this installation: several may keep theirs in one place.
PREFIX = f"fly64dask-kernels-{hashlib.sha256(os.fsencode(HERE)).hexdigest()[:8]}-"
ROOT_USER = 0


def kept(compile_function: Callable[[bool], Any]) -> Any:
    """Take a compiled function from the folder, or compile it and keep it there.

    Where the folder is damaged it is made anew. Where nothing can be kept, the function is compiled for this process
    alone, which takes longer and gives the same numbers.

    Parameters
    ----------
    compile_function : callable
        Compiles it with Numba, if told so with its cache.

    Raises
    ------
    RuntimeError
        If this Numba cannot compile it.
    """
    folder = _folder()
    with event.install_listener("numba:compile", _Announcement()):
        found = None if folder is None else _from_folder(folder, compile_function)
        if found is not None:
            return found
        try:
            return compile_function(False)
        except NumbaError as error:
            raise RuntimeError(f"Numba {numba.__version__}: {str(error).strip().splitlines()[0]}") from error


def _from_folder(folder: Path, compile_function: Callable[[bool], Any]) -> Any:
    """Take a compiled function from the folder, where it is put if it is not there; None if neither is possible."""
    for _ in range(2):
        found = result_or_failure(lambda: _compile_into(folder, compile_function), what=f"compiled loops in {folder}")
        if not isinstance(found, Failure):
            return found
        if found.kind is FailureKind.STORAGE_FAILED:
            break  # what is there may still serve
        shutil.rmtree(folder, ignore_errors=True)
    return None


class _Announcement(event.Listener):
    """Says once in a process that it compiles: until then nothing is seen of a first run for as long as that takes."""

    def on_start(self, event: object) -> None:
        """Say it when a function is compiled that was not on disk."""
        _say_that_loops_are_compiled()

    def on_end(self, event: object) -> None:
        """Say nothing."""


@functools.cache
def _say_that_loops_are_compiled() -> None:
    # Not in the log, which nobody sees of a process that loads the engine before there is a cell.
    print("fly64dask: compiling loops for this processor, which takes about 15 s", file=sys.stderr, flush=True)


def _compile_into(folder: Path, compile_function: Callable[[bool], Any]) -> Any:
    settings: Any = numba.config
    before = {name: getattr(settings, name, None) for name in ("CACHE_DIR", "CACHE_LOCATOR_CLASSES")}
    settings.CACHE_DIR = str(folder)
    # Else Numba takes another folder where this one is full, and what is there may be of other code.
    settings.CACHE_LOCATOR_CLASSES = "UserProvidedCacheLocator"
    try:
        return compile_function(True)
    finally:
        for name, value in before.items():
            setattr(settings, name, value)


@functools.cache
def _folder() -> Path | None:
    """Give the folder, made if missing; those of other code are then removed. None if there is no place for one."""
    name = PREFIX + _digest()
    for parent in _parents():
        folder = parent / name
        try:
            parent.mkdir(parents=True, exist_ok=True)
            is_new = not folder.exists()
            folder.mkdir(exist_ok=True)
            if not (_is_trusted(parent) and _is_trusted(folder) and os.access(folder, os.W_OK)):
                continue
        except OSError:
            continue
        if is_new:
            _remove_others(folder)
        return folder
    tried = ", ".join(map(str, _parents()))
    log.warning("compiled loops are not kept, and each process compiles them: no folder of one's own in %s", tried)
    return None


def _is_trusted(folder: Path) -> bool:
    """Whether nobody else could have put machine code there: others may write to a folder for temporary files."""
    return folder.stat().st_uid in (os.getuid(), ROOT_USER)


def _digest() -> str:
    """Compute a digest of the sources, and of the versions of what compiles them."""
    state = hashlib.sha256(f"numba {numba.__version__} llvmlite {llvmlite.__version__}".encode())
    for path in SOURCES:
        state.update(f"{path.name} {path.stat().st_size} ".encode() + path.read_bytes())
    return state.hexdigest()[:16]


def _parents() -> tuple[Path, ...]:
    """List where the folder may be, in Numba's order: where the user says, beside this file, in the user's caches."""
    settings: Any = numba.config
    app_dirs: Any = AppDirs
    usual = HERE / "__pycache__", Path(app_dirs(appname="numba", appauthor=False).user_cache_dir)
    return (Path(settings.CACHE_DIR), *usual) if settings.CACHE_DIR else usual


def _remove_others(folder: Path) -> None:
    """Remove what was compiled of this installation's code as it was."""
    for other in folder.parent.glob(f"{PREFIX}*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
