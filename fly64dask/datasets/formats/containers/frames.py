"""Files of raw frames, one after the other: EMPAD and Merlin detectors of electron microscopes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError
from fly64dask.datasets.formats.containers.named_arrays import reading
from fly64dask.datasets.formats.patterns import ArrayPatterns

if TYPE_CHECKING:
    from fly64dask.datasets.formats.patterns import Patterns

# 128 x 128 float32 pixels, then two rows of numbers of the detector (py4DSTEM's and fold_slice's readers agree).
EMPAD_PX, EMPAD_ROWS = 128, 130
EMPAD_FRAME_BYTES = EMPAD_ROWS * EMPAD_PX * 4
MIB_TYPES = {"U08": ">u1", "U16": ">u2", "U32": ">u4"}  # big-endian (Merlin's manual)


def empad_patterns(path: Path) -> Patterns:
    """Map the frames of an EMPAD file, without the two rows of the detector's own numbers."""
    with reading(f"read {path}"):
        frames = np.memmap(path, dtype="<f4", mode="r").reshape(-1, EMPAD_ROWS, EMPAD_PX)
    return ArrayPatterns(array=frames[:, :EMPAD_PX])


def mib_patterns(path: Path) -> Patterns:
    """Map the frames of a Merlin file, each of which follows a header of its own.

    Raises InputError if the header is damaged, or the pixels are packed in bits (raw mode).
    """
    with path.open("rb") as stream:
        words = stream.read(384).decode("ascii", errors="replace").split(",")
    try:
        header_bytes, width, height = int(words[2]), int(words[4]), int(words[5])
        pixel = words[6].strip()
    except (ValueError, IndexError) as error:
        raise InputError(
            f"read {path}: a Merlin file whose header does not give offset, width and height",
            remedy="copy the file again",
        ) from error
    if pixel not in MIB_TYPES:
        raise InputError(
            f"read {path}: a Merlin file with pixels of type {pixel!r}, needed one of {', '.join(MIB_TYPES)}",
            remedy="record counts, not raw mode, or convert it to HDF5 with HyperSpy",
        )
    if not (64 <= header_bytes <= 2**16 and 1 <= width <= 2**14 and 1 <= height <= 2**14):
        raise InputError(
            f"read {path}: a Merlin file with a header of {header_bytes} bytes and {height} x {width} px",
            remedy="copy the file again",
        )
    frame = np.dtype([("header", "V", header_bytes), ("pixels", MIB_TYPES[pixel], (height, width))])
    left = path.stat().st_size % frame.itemsize
    if left:
        raise InputError(
            f"read {path}: {path.stat().st_size // frame.itemsize} frames of {height} x {width} px and {left} bytes "
            "more, needed whole frames",
            remedy="copy the file again: it is cut",
        )
    with reading(f"read {path}"):
        return ArrayPatterns(array=np.memmap(path, dtype=frame, mode="r")["pixels"])
