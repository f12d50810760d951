"""Tell by the first bytes of a file what it is; its name is ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fly64dask.base import InputError
from fly64dask.datasets.formats.containers.frames import EMPAD_FRAME_BYTES

Kind = Literal["hdf5", "npz", "npy", "matlab", "mib", "empad", "text"]
HDF5_MARK = b"\x89HDF\r\n\x1a\n"
# A user block before the HDF5 content, as MATLAB 7.3 has, is 512 bytes or a larger power of two (HDF5 specification).
HDF5_PLACES = (0, 512, 1024, 2048, 4096)
MARKS: dict[bytes, Kind] = {
    b"PK\x03\x04": "npz",
    b"PK\x05\x06": "npz",
    b"BZh": "npz",
    b"\x93NUMPY": "npy",
    b"MATLAB 5.0 MAT-file": "matlab",
    b"MQ1,": "mib",
}
SUPPORTED = (
    "CXI, NXcxi_ptycho, Ptychodus, PtyPy, fold_slice, PtychoShelves, PtyLab, py4DSTEM, EMPAD, Merlin, DATA-001 and "
    "tike files, and any HDF5 or NPZ whose datasets you name (see docs/how-to/ingest.md)"
)
OF_IMAGES = (
    "in Python, make one array of the images of all exposures, "
    'numpy.save("frames.npy", tifffile.imread("FILE.tif")) of a stack, or tifffile.imread("FOLDER/*.tif"), '
    "and ingest frames.npy with --positions FILE"
)
# Files that cannot be used, by their first bytes: what they are, and what to do.
UNSUITABLE = {
    b"version https://git-lfs": (
        "a Git LFS pointer: a text that stands for a file which was not downloaded",
        "run git lfs pull in its repository, then ingest the file again",
    ),
    b"\x80\x02": ("a Python pickle", "pickles run code; save the arrays with numpy.savez or as HDF5"),
    b"\x80\x03": ("a Python pickle", "pickles run code; save the arrays with numpy.savez or as HDF5"),
    b"\x80\x04": ("a Python pickle", "pickles run code; save the arrays with numpy.savez or as HDF5"),
    b"\x80\x05": ("a Python pickle", "pickles run code; save the arrays with numpy.savez or as HDF5"),
    b"\x1f\x8b": ("compressed with gzip", "unpack it with gunzip first"),
    b"\xfd7zXZ": ("compressed with xz", "unpack it with unxz first"),
    b"]\x00\x00": ("compressed with lzma", "unpack it with unlzma first"),
    b"\x28\xb5\x2f\xfd": ("compressed with Zstandard", "unpack it with unzstd first"),
    b"II*\x00": ("a TIFF image", OF_IMAGES),
    b"MM\x00*": ("a TIFF image", OF_IMAGES),
    b"II+\x00": ("a TIFF image", OF_IMAGES),
    b"MM\x00+": ("a TIFF image", OF_IMAGES),
    b"\x89PNG": ("a PNG image", "give the file of the measured patterns"),
    b"###CBF": ("a CBF image of one exposure", "put the patterns and their positions into one HDF5 or NPZ file"),
    b"\x00\x00\x00\x03": ("a Digital Micrograph file (dm3)", "save it as HDF5 with py4DSTEM or HyperSpy"),
    b"\x00\x00\x00\x04": ("a Digital Micrograph file (dm4)", "save it as HDF5 with py4DSTEM or HyperSpy"),
}


def kind_of(path: Path) -> Kind:
    """Tell what a file is by its content.

    Raises InputError if it is missing, empty, or nothing that a scan can be read from.
    """
    try:
        if not path.is_file():
            raise FileNotFoundError("no such file, or not a plain one")
        size = path.stat().st_size
        with path.open("rb") as stream:
            first = stream.read(max(HDF5_PLACES) + len(HDF5_MARK))
    except OSError as error:
        raise InputError(f"read {path}: {error}", remedy="check the path and its permissions") from error
    if any(first[offset:].startswith(HDF5_MARK) for offset in HDF5_PLACES):
        return "hdf5"
    for mark, kind in MARKS.items():
        if first.startswith(mark):
            return kind
    for mark, (what, remedy) in UNSUITABLE.items():
        if first.startswith(mark):
            raise InputError(f"read {path}: it is {what}", remedy=remedy)
    if size and size % EMPAD_FRAME_BYTES == 0:
        return "empad"
    if first and _is_text(first):
        return "text"
    what = "it is empty" if not first else f"no known kind of file: it begins with {first[:8]!r}"
    raise InputError(f"read {path}: {what}", remedy=f"give one of {SUPPORTED}")


def _is_text(first: bytes) -> bool:
    try:
        # The last character may be cut in the middle.
        text = first[:-4].decode("utf-8") if len(first) > 4000 else first.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(mark.isprintable() or mark in "\r\n\t\ufeff" for mark in text)
