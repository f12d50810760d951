"""Loads modules in a process that keeps them for as long as it lives."""

from __future__ import annotations

import gc
import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from fly64dask.base.failures import result_or_failure
from fly64dask.base.provenance import software_versions
from fly64dask.base.schema import build_records


@contextmanager
def kept_for_good() -> Iterator[None]:
    """Exempt what the block creates from garbage collection, now and later, because loaded modules stay.

    Collection takes a tenth of the time in which pty-chi or Dask load. pty-chi asks for one more in each process of an
    engine: 0.3 s, and a copy of all memory pages that the process shares with the one that forked it.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def load_for_good(modules: Sequence[str]) -> None:
    """Load modules, and compute once what each process forked from this one would otherwise compute again.

    Parameters
    ----------
    modules : sequence of str
        Their names. A module whose import fails is skipped: the code that needs it reports the error.
    """
    with kept_for_good():
        for name in modules:
            result_or_failure(partial(importlib.import_module, name), what=f"import of {name}")
        build_records()  # 0.06 s here, or 0.04 s in each fork
        software_versions()  # 0.02 s, and two calls of Git
