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
    """Let Python search what the block makes for garbage neither now nor later, as modules stay.

    A tenth of the time in which pty-chi or Dask are loaded goes into that search. pty-chi asks for one more in each
    process of an engine: 0.3 s, and a copy of all pages that were shared with the process that forked it.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def load_for_good(modules: Sequence[str]) -> None:
    """Load modules, and what else processes that are forked from this one would each work out anew.

    Parameters
    ----------
    modules : sequence of str
        Those that cannot be imported, whatever they raise, are left to whoever needs them, and can say so.
    """
    with kept_for_good():
        for name in modules:
            result_or_failure(partial(importlib.import_module, name), what=f"import of {name}")
        build_records()  # 0.06 s here, or 0.04 s in each fork
        software_versions()  # 0.02 s, and two calls of Git
