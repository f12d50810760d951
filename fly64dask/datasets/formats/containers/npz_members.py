"""Read members of an NPZ archive that may be damaged, hostile or too large; plain or inside bzip2."""

from __future__ import annotations

import bz2
import io
import math
import os
import struct
import warnings
import zipfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import InputError, memory_left_bytes
from fly64dask.datasets.formats.containers.damage import UNREADABLE, listed, refuse_beyond_memory, too_large

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The methods that NumPy writes. With zip's other two a few kB unpack to GB at once, even if little is read.
KNOWN_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

# Memory besides the array, in bytes per value: at most 32 (measured) until counts are made, and 4 to store one.
WORKING_BYTES = 36

BLOCK_BYTES = 2**20

BZIP2_MARK = b"BZh"

# The end of a zip archive without a comment (PKWARE's APPNOTE.TXT, 4.3.16): mark, numbers of two disks, members on this
# one and in all, size and place of the list, length of the comment.
END_OF_ZIP, END_MARK, MORE_THAN_SAID = struct.Struct("<4s4H2LH"), b"PK\5\6", 0xFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An array of an NPZ, not read yet."""

    archive: zipfile.ZipFile
    info: zipfile.ZipInfo
    allow_pickle: bool


def load_arrays(path: Path, *, allow_pickle: bool) -> Mapping[str, Member]:
    """Open an NPZ, plain or inside bzip2, whose arrays `take` reads; unpickling object arrays runs code from the file.

    Raises InputError if the file cannot be opened as an NPZ, or would not fit in memory.
    """
    try:
        if not path.is_file():
            raise FileNotFoundError("no such file, or not a plain one")
        with path.open("rb") as stream:
            first = stream.read(len(np.lib.format.MAGIC_PREFIX))
        archive = None if first == np.lib.format.MAGIC_PREFIX else _opened(path, first)
        if archive is not None:
            _compare_directory(archive)
    except UNREADABLE as error:
        raise InputError(
            f"read {path}: not a whole NPZ file ({type(error).__name__}: {error})",
            remedy="give an .npz or .npz.bz2 file; one that was cut short has to be copied again",
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


def take(arrays: Mapping[str, Member], key: str, path: Path) -> NDArray[np.number]:
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


class _File(io.FileIO):
    """A file that is closed with its last reader, without Python's warning about it."""

    def __del__(self) -> None:
        self.close()


def _opened(path: Path, first: bytes) -> zipfile.ZipFile:
    """Open an archive; one inside bzip2 is unpacked, and must fit in memory twice, as it is copied while it grows."""
    if not first.startswith(BZIP2_MARK):
        return zipfile.ZipFile(_File(path))
    limit = memory_left_bytes() // 2
    content = io.BytesIO()
    with bz2.open(path) as stream:
        while block := stream.read(BLOCK_BYTES):
            content.write(block)
            if content.tell() > limit:
                raise too_large(f"read {path}: more than {content.tell()} bytes unpacked", 2 * content.tell())
    return zipfile.ZipFile(content)


def _compare_directory(archive: zipfile.ZipFile) -> None:
    """Compare an archive's list of members with the archive itself, so that damage does not pass for a missing array.

    The end of the archive holds the number of members, unless there is a comment or the number is 65535; Python does
    not compare it. Each member has its name twice, which Python compares when it opens one.
    """
    assert archive.fp is not None, "just opened"
    archive.fp.seek(-END_OF_ZIP.size, os.SEEK_END)
    mark, *_, n_members, _, _, _ = END_OF_ZIP.unpack(archive.fp.read(END_OF_ZIP.size))
    if mark == END_MARK and n_members not in (len(archive.infolist()), MORE_THAN_SAID):
        raise zipfile.BadZipFile(f"{len(archive.infolist())} members are listed, its end says {n_members}")
    for info in archive.infolist():
        if info.compress_type in KNOWN_COMPRESSION:
            archive.open(info).close()


def _read_member(member: Member, what: str) -> NDArray[np.number]:
    """Read an array if its header and size agree, so that a header alone reserves no memory."""
    info = member.info
    refuse_beyond_memory(what, info.file_size)
    with opened_member(member) as stream:
        shape, dtype, _ = read_header(stream, info)
        if dtype.hasobject and not member.allow_pickle:
            raise refusal_of_pickles(what)
        refuse_beyond_memory(what, info.file_size + math.prod(shape) * WORKING_BYTES)
        stream.seek(0)
        array = np.lib.format.read_array(stream, allow_pickle=member.allow_pickle)
        stream.read()  # zip's checksum is compared at the end
    return np.asarray(array)


def refusal_of_pickles(what: str) -> InputError:
    """Make the error for an array that only unpickling would read."""
    return InputError(f"{what} is pickled", remedy="if you trust the file give --allow-pickle, which runs code from it")


def read_header(stream: IO[bytes], info: zipfile.ZipInfo) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Read shape, dtype and whether the first axis varies fastest; the size must be that of the array."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(stream)
    if version not in readers:
        raise ValueError(f"npy format {version}, needed one of {sorted(readers)}")
    shape, is_fortran, dtype = readers[version](stream)
    if any(size < 0 for size in shape):
        raise ValueError(f"declared shape {shape}")
    declared, held = math.prod(shape) * dtype.itemsize, info.file_size - stream.tell()
    if not dtype.hasobject and declared != held:
        raise ValueError(f"declared as {shape} of {dtype}, which takes {declared} bytes, and it has {held}")
    return shape, dtype, is_fortran


def opened_member(member: Member) -> IO[bytes]:
    """Open one member of the archive for reading from its start."""
    if member.info.compress_type not in KNOWN_COMPRESSION:
        raise ValueError(f"zip compression {member.info.compress_type}, needed 0 or 8")
    return member.archive.open(member.info)
