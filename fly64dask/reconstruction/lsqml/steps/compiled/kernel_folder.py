"""Names the folder in which compiled functions are kept: another one for each state of the code that they are made of.

Numba knows a compiled function again by the file that defines it, its signature, its bytecode and the processor. What a
function takes from other files is compiled into it as well, and Numba does not look there.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llvmlite  # type: ignore[import-untyped]
import numba
from numba.misc.appdirs import AppDirs

HERE = Path(__file__).parent
# All that machine code is made of: the modules of this package, and of other ones those that they import.
SOURCES = (*sorted(HERE.glob("*.py")), HERE.parent / "step_arithmetic.py")
# Of this installation: several may keep theirs in one place.
PREFIX = f"fly64dask-kernels-{hashlib.sha256(os.fsencode(HERE)).hexdigest()[:8]}-"


@contextmanager
def kept_in_folder() -> Iterator[None]:
    """Have Numba keep what is compiled while the block lasts in the folder of the code as it is.

    Raises RuntimeError if there is no folder that can be written to.
    """
    settings = numba.config
    before = {name: getattr(settings, name, None) for name in ("CACHE_DIR", "CACHE_LOCATOR_CLASSES")}
    settings.CACHE_DIR = str(_folder())  # type: ignore[attr-defined]
    # Else Numba takes another folder where this one is full, and what is there may be of other code.
    settings.CACHE_LOCATOR_CLASSES = "UserProvidedCacheLocator"  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(settings, name, value)


@functools.cache
def _folder() -> Path:
    """Give the folder, which is made if missing; those of other code are then removed."""
    name = PREFIX + _digest()
    for parent in _parents():
        folder = parent / name
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            pass
        except OSError:
            continue
        else:
            _remove_others(folder)
        if os.access(folder, os.W_OK):
            return folder
    tried = ", ".join(map(str, _parents()))
    raise RuntimeError(f"no folder can be written to for what Numba compiles, of {tried}")


def _digest() -> str:
    """Compute a digest of the sources, and of the versions of what compiles them."""
    state = hashlib.sha256(f"numba {numba.__version__} llvmlite {llvmlite.__version__}".encode())
    for path in SOURCES:
        state.update(f"{path.name} {path.stat().st_size} ".encode() + path.read_bytes())
    return state.hexdigest()[:16]


def _parents() -> tuple[Path, ...]:
    """List where the folder may be, in Numba's order: where the user says, beside this file, in the user's caches."""
    of_user = numba.config.CACHE_DIR  # type: ignore[attr-defined]
    app_dirs: Any = AppDirs
    usual = HERE / "__pycache__", Path(app_dirs(appname="numba", appauthor=False).user_cache_dir)
    return (Path(of_user), *usual) if of_user else usual


def _remove_others(folder: Path) -> None:
    """Remove what was compiled of this installation's code as it was."""
    for other in folder.parent.glob(f"{PREFIX}*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
