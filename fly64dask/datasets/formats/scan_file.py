"""The record that every scan file is read into: counts, positions and probe, checked to belong together."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fly64dask.base import InputError
from fly64dask.datasets.formats.photon_counts import Quantity, ZeroFrequency
from fly64dask.scan import checked_positions

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydantic import JsonValue

Layout = Literal["nhw", "hwn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """Settings that a person gives for what a file does not say itself; what is None is found out from the data."""

    layout: Layout | None = None
    quantity: Quantity | None = None
    zero_frequency: ZeroFrequency | None = None
    photons_per_intensity: float | None = None
    allow_pickle: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RawScan:
    """One scan in this project's units.

    `counts` (n, H, W) uint16 or uint32 photons with the zero frequency at the centre,
    `positions_px` (n, 2) float64 in order (y, x), `probe_guess` (n_opr, n_modes, H, W)
    complex64, `object_guess` (Y, X) complex64 or None, `metadata` the file's own.
    """

    counts: NDArray[Any]
    positions_px: NDArray[np.float64]
    probe_guess: NDArray[np.complex64]
    object_guess: NDArray[np.complex64] | None
    metadata: dict[str, JsonValue]
    photons_per_intensity: float
    source: dict[str, JsonValue]


def checked_object(stored: NDArray[Any], path: Path) -> NDArray[np.complex64]:
    """Check an object guess of (Y, X), or with more axes of length 1."""
    squeezed = np.squeeze(stored)
    if squeezed.ndim != 2 or squeezed.dtype.kind not in "uifc":
        raise InputError(
            f"read {path}: objectGuess of shape {stored.shape} and dtype {stored.dtype}, needed two axes of numbers",
            remedy="store one image under that key, or none",
        )
    return as_complex64(squeezed)


def as_complex64(stored: NDArray[Any]) -> NDArray[np.complex64]:
    """Round numbers to complex64; what it cannot hold becomes infinite or 0, so check afterwards."""
    with np.errstate(all="ignore"):
        return stored.astype(np.complex64)


def checked_probe(probe: NDArray[Any], shape_px: tuple[int, ...], path: Path) -> NDArray[np.complex64]:
    """Check a probe of (H, W), (modes, H, W), (opr, modes, H, W), or with more leading axes of length 1.

    Gives (n_opr, n_modes, H, W) complex64. Raises InputError if shape, kind or values do not fit the patterns.
    """
    squeezed = probe
    while squeezed.ndim > 4 and squeezed.shape[0] == 1:
        squeezed = squeezed[0]
    if squeezed.ndim not in (2, 3, 4) or squeezed.shape[-2:] != tuple(shape_px):
        raise InputError(
            f"read {path}: probe of shape {probe.shape} beside patterns of {tuple(shape_px)} px",
            remedy="give a probe of the patterns' size, (H, W) or (modes, H, W)",
        )
    shape = (1,) * (4 - squeezed.ndim) + squeezed.shape
    four = as_complex64(squeezed.reshape(shape)) if np.iscomplexobj(squeezed) else None
    if four is None or not np.isfinite(four).all() or not four.any():
        raise InputError(
            f"read {path}: probe of dtype {probe.dtype} that in single precision is real, zero or not finite",
            remedy="give a complex probe",
        )
    return four


def assemble(
    *,
    path: Path,
    file_format: str,
    counts: NDArray[Any],
    positions_px: NDArray[Any],
    probe: NDArray[Any],
    object_guess: NDArray[Any] | None,
    metadata: dict[str, JsonValue],
    photons_per_intensity: float,
) -> RawScan:
    """Check that the parts of a scan, which are those of `RawScan`, belong together, and make them one record.

    The file and its format are for messages and provenance. Raises InputError if lengths or shapes disagree.
    """
    positions = checked_positions(positions_px, origin=f"read {path}")
    if len(positions) != len(counts):
        raise InputError(
            f"read {path}: {len(counts)} patterns but {len(positions)} scan positions",
            remedy="give one position for each pattern",
        )
    return RawScan(
        counts=counts,
        positions_px=positions,
        probe_guess=checked_probe(probe, counts.shape[1:], path),
        object_guess=None if object_guess is None else checked_object(object_guess, path),
        metadata=metadata,
        photons_per_intensity=photons_per_intensity,
        source={"kind": "ingested", "format": file_format, "file": _file_name(path), "sha256": file_sha256(path)},
    )


def _file_name(path: Path) -> str:
    """Give the name of a file as text that JSON can hold: bytes that are not UTF-8 as escapes."""
    return path.name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
