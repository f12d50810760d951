"""Read arrays of an NPZ file that may be damaged, hostile or too large; plain or inside bzip2."""

from __future__ import annotations

import bz2
import io
import math
import pickle
import tokenize
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import InputError, memory_left_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Zip and its codecs raise these on damaged bytes; NumPy on a header that is no Python literal or describes no array.
DAMAGED_ARCHIVE = (EOFError, OSError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)
DAMAGED_HEADER = (MemoryError, SyntaxError, TypeError, OverflowError, tokenize.TokenError)
# Code that a pickle names may be missing or other than it was; an HDF5 file may lack a name.
DAMAGED_PICKLE = (AttributeError, ImportError, LookupError, pickle.PickleError)
UNREADABLE = DAMAGED_ARCHIVE + DAMAGED_HEADER + DAMAGED_PICKLE
# What NumPy writes. Of zip's other two a few kB unpack to GB at once, however little is asked for.
KNOWN_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# Beyond an array itself, for each of its values: at most 32 measured until counts are made, and 4 to store one.
WORKING_BYTES = 36
BLOCK_BYTES = 2**20
SHOWN_NAMES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One array of an NPZ, not read yet."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo
    allow_pickle: bool


def load_arrays(path: Path, *, allow_pickle: bool) -> Mapping[str, Member]:
    """Open an NPZ, plain or inside bzip2, whose arrays `take` reads; unpickling object arrays runs code from the file.

    Raises InputError if the file cannot be opened as an NPZ, or would not fit in memory.
    """
    try:
        content = _read_whole(path)
        is_one_array = content.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX
        archive = None if is_one_array else zipfile.ZipFile(content)
    except UNREADABLE as error:
        raise InputError(
            f"read {path}: not an NPZ file ({type(error).__name__}: {error})", remedy="give an .npz or .npz.bz2 file"
        ) from error
    if archive is None:
        raise InputError(
            f"read {path}: a single array, needed an NPZ with named arrays", remedy="save it with np.savez"
        )
    names = [info.filename.removesuffix(".npy") for info in archive.infolist()]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(
            f"read {path}: {listed(repeated)} more than once, so which array is meant is not known",
            remedy="save each array once",
        )
    members = (Member(archive=archive, info=info, allow_pickle=allow_pickle) for info in archive.infolist())
    return dict(zip(names, members, strict=True))


def take(arrays: Mapping[str, Member], key: str, path: Path) -> NDArray[Any]:
    """Read one array of an opened NPZ; raises InputError if it is missing, damaged, pickled or larger than memory."""
    if key not in arrays:
        raise InputError(f"read {path}: no array {key!r}, found {listed(arrays)}", remedy="add it, or check the format")
    what = f"read {path}: array {key!r}"
    try:
        # NumPy warns of headers that Python 2 wrote, and Python of code in damaged ones.
        with warnings.catch_warnings(action="ignore"):
            return _read_member(arrays[key], what)
    except UNREADABLE as error:
        raise InputError(f"{what} cannot be read ({type(error).__name__}: {error})", remedy="save it again") from error


def listed(names: Iterable[str]) -> str:
    """Write names of a foreign file for a message, sorted, only the first of many and the start of long ones."""
    known = sorted(names)
    shown = [name if len(name) <= 60 else f"{name[:57]}..." for name in known[:SHOWN_NAMES]]
    more = f" and {len(known) - SHOWN_NAMES} more" if len(known) > SHOWN_NAMES else ""
    return f"{shown}{more}"


def _read_whole(path: Path) -> io.BytesIO:
    """Read the content of a file, unpacked; it and its copy while it grows must fit in memory."""
    if not path.is_file():
        raise FileNotFoundError("no such file, or not a plain one")
    limit = memory_left_bytes() // 2
    content = io.BytesIO()
    with bz2.open(path) if path.suffix == ".bz2" else path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            content.write(block)
            if content.tell() > limit:
                raise _too_large(f"read {path}: more than {content.tell()} bytes unpacked", 2 * content.tell())
    content.seek(0)
    return content


def _read_member(member: Member, what: str) -> NDArray[Any]:
    """Read an array whose header and size agree; a header alone reserves no memory."""
    info = member.info
    if info.compress_type not in KNOWN_COMPRESSION:
        raise ValueError(f"zip compression {info.compress_type}, needed 0 or 8")
    _refuse_beyond_memory(what, info.file_size)
    with member.archive.open(info) as stream:
        shape, dtype = _read_header(stream)
        if dtype.hasobject and not member.allow_pickle:
            raise InputError(
                f"{what} is pickled", remedy="if you trust the file give --allow-pickle, which runs code from it"
            )
        declared, held = math.prod(shape) * dtype.itemsize, info.file_size - stream.tell()
        if not dtype.hasobject and declared != held:
            raise ValueError(f"declared as {shape} of {dtype}, which takes {declared} bytes, and it has {held}")
        _refuse_beyond_memory(what, info.file_size + math.prod(shape) * WORKING_BYTES)
        stream.seek(0)
        array = np.lib.format.read_array(stream, allow_pickle=member.allow_pickle)
        stream.read()  # zip's checksum is compared at the end
    return np.asarray(array)


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(stream)
    if version not in readers:
        raise ValueError(f"npy format {version}, needed one of {sorted(readers)}")
    shape, _, dtype = readers[version](stream)
    if any(size < 0 for size in shape):
        raise ValueError(f"declared shape {shape}")
    return shape, dtype


def _refuse_beyond_memory(what: str, needed_bytes: int) -> None:
    if needed_bytes > memory_left_bytes():
        raise _too_large(what, needed_bytes)


def _too_large(what: str, needed_bytes: int) -> InputError:
    return InputError(
        f"{what}: needs {needed_bytes / 1e9:.3g} GB of memory, {memory_left_bytes() / 1e9:.3g} GB are left",
        remedy="check that it is the file you mean; else use a larger machine, or cut the scan into several files",
    )
