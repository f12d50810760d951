"""Lists what libraries raise on damaged or hostile bytes, and refuses arrays that do not fit in memory."""

from __future__ import annotations

import pickle
import tokenize
import zipfile
import zlib
from collections.abc import Iterable

from fly64dask.base import InputError, memory_left_bytes

# Zip and its codecs raise these on damaged bytes, NumPy on a header that is not a literal or describes no array.
DAMAGED_ARCHIVE = (EOFError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)
DAMAGED_HEADER = (MemoryError, SyntaxError, TypeError, OverflowError, tokenize.TokenError)
# Code that a pickle names may be missing or other than it was; an HDF5 file may lack a name.
DAMAGED_PICKLE = (AttributeError, ImportError, LookupError, pickle.PickleError)
UNREADABLE = DAMAGED_ARCHIVE + DAMAGED_HEADER + DAMAGED_PICKLE
SHOWN_NAMES = 12


def refuse_beyond_memory(what: str, needed_bytes: int) -> None:
    """Refuse to read what does not fit in memory."""
    if needed_bytes > memory_left_bytes():
        raise too_large(what, needed_bytes)


def too_large(what: str, needed_bytes: int) -> InputError:
    """Describe something that does not fit in memory."""
    return InputError(
        f"{what}: needs {needed_bytes / 1e9:.3g} GB of memory, {memory_left_bytes() / 1e9:.3g} GB are left",
        remedy="check that it is the file you mean; else use a larger machine, or cut the scan into several files",
    )


def listed(names: Iterable[str]) -> str:
    """Write names of a foreign file for a message: sorted, the first of many, and the start of long ones."""
    ordered = sorted(names)
    shown = [name if len(name) <= 60 else f"{name[:57]}..." for name in ordered[:SHOWN_NAMES]]
    more = f" and {len(ordered) - SHOWN_NAMES} more" if len(ordered) > SHOWN_NAMES else ""
    return f"{shown}{more}"
