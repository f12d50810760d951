"""Arrays as some file holds them -> `RawScan`: checked counts, positions and probe."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fly64dask.base import InputError
from fly64dask.scan import checked_positions

if TYPE_CHECKING:
    from numpy.typing import NDArray

Layout = Literal["nhw", "hwn"]
Quantity = Literal["amplitude", "intensity"]
ZeroFrequency = Literal["centre", "corner"]
MAX_COUNT = np.iinfo(np.uint32).max


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What a person says about a file that the file does not say itself; None: find out."""

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
    metadata: dict[str, Any]
    photons_per_intensity: float
    source: dict[str, Any]


def to_counts(
    patterns: NDArray[Any], quantity: Quantity, scale: float | None, path: Path
) -> tuple[NDArray[Any], float]:
    """Turn amplitudes or intensities into photon counts.

    Parameters
    ----------
    patterns : (n, H, W) array
        Amplitude (the root of intensity) or intensity, in any common unit.
    quantity : "amplitude" or "intensity"
        Which of the two.
    scale : float or None
        Photons per unit of intensity; None finds it from the data, whose dimmest lit pixel is
        then one photon.
    path : Path
        For messages.

    Returns
    -------
    counts : (n, H, W) uint16 or uint32
        Photons.
    photons_per_intensity : float
        The scale that was used.

    Raises
    ------
    InputError
        If a value is not finite or negative, nothing is lit, or values are not whole photons.
    """
    if not np.isfinite(patterns).all():
        bad = tuple(map(int, np.argwhere(~np.isfinite(patterns))[0]))
        raise InputError(
            f"read {path}: pixel {bad} is {patterns[bad]}, needed finite values", remedy="mask or drop that exposure"
        )
    refuse_darkness(patterns, path)
    if scale is not None and not (math.isfinite(scale) and scale > 0):
        raise InputError(
            f"read {path}: photons_per_intensity is {scale!r}, needed a finite number above 0",
            remedy="give --photons-per-intensity",
        )
    if patterns.min() < 0:
        raise InputError(
            f"read {path}: dimmest pixel is {patterns.min()}, needed values >= 0",
            remedy="clip the background subtraction at 0 and round to counts",
        )
    # Values near the ends of float64 overflow or vanish here; the checks refuse what becomes of them.
    with np.errstate(all="ignore"):
        intensity = patterns.astype(np.float64)
        if quantity == "amplitude":
            np.square(intensity, out=intensity)
        if not 0 < intensity.max() < np.inf:
            raise InputError(
                f"read {path}: brightest {quantity} is {patterns.max()}, which as intensity is no number above 0",
                remedy="store it in another unit",
            )
        if scale is None:
            whole = quantity == "intensity" and not (intensity % 1).any()
            scale = 1.0 if whole or np.issubdtype(patterns.dtype, np.integer) else _quantum_scale(intensity)
        intensity *= scale
        counts = np.rint(intensity)
        off = np.abs(intensity - counts, out=intensity).max()
    # float32 amplitudes hold a count c to 1.2e-7 c, 0.13 photons at 2^20; a fifth tells counts from reals.
    if not (off <= 0.2 and 1 <= counts.max() <= MAX_COUNT):
        raise InputError(
            f"read {path}: at {scale:.9g} photons per unit of intensity values are up to {off:.2g} photons off a "
            f"whole number, brightest {counts.max():.3g}; needed counts of 1 to {MAX_COUNT}",
            remedy="give --photons-per-intensity, or store counts",
        )
    dtype = np.uint16 if counts.max() <= np.iinfo(np.uint16).max else np.uint32
    return counts.astype(dtype), scale


def refuse_darkness(patterns: NDArray[Any], path: Path) -> None:
    """Refuse patterns without any light, before anyone asks what their zeros mean."""
    if patterns.size == 0 or not patterns.any():
        raise InputError(f"read {path}: every pixel is 0 or there is none", remedy="check which array holds the scan")


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


def _quantum_scale(intensity: NDArray[np.float64]) -> float:
    """Photons per intensity if the dimmest lit pixel holds one photon, refined on dim pixels."""
    quantum = float(intensity[intensity > 0].min())
    dim = intensity[(intensity > 0) & (intensity < 30.5 * quantum)]
    photons = np.rint(dim / quantum)
    return float((photons * photons).sum() / (photons * dim).sum())


def centre_zero_frequency(
    counts: NDArray[Any], claimed: ZeroFrequency | None, default: ZeroFrequency, path: Path
) -> NDArray[Any]:
    """Put the zero frequency at the centre, and refuse data whose light contradicts the claim.

    Parameters
    ----------
    counts : (n, H, W) integer
        Photons.
    claimed : "centre", "corner" or None
        What a person said; taken as it is.
    default : "centre" or "corner"
        What the format says, checked against where the light is.
    path : Path
        For messages.

    Returns
    -------
    (n, H, W) integer
        Zero frequency at index (H // 2, W // 2).

    Raises
    ------
    InputError
        If the format's convention and the light disagree: shifted data reconstruct to a bad
        object without an error.
    """
    where = claimed or default
    if claimed is None:
        mean = counts.mean(axis=0, dtype=np.float64)
        height, width = mean.shape
        inner = np.s_[height // 4 : height - height // 4, width // 4 : width - width // 4]
        at_centre, at_corner = mean[inner].sum(), np.fft.fftshift(mean)[inner].sum()
        brighter: ZeroFrequency = "centre" if at_centre >= at_corner else "corner"
        if brighter != where:
            raise InputError(
                f"read {path}: this format has the zero frequency at the {where}, but more light is at the {brighter} "
                f"({at_centre:.3g} against {at_corner:.3g} photons in the middle half)",
                remedy=f"give --zero-frequency {brighter} (or {where} if you are sure)",
            )
    return np.fft.fftshift(counts, axes=(-2, -1)) if where == "corner" else counts


def checked_probe(probe: NDArray[Any], shape_px: tuple[int, ...], path: Path) -> NDArray[np.complex64]:
    """Check a probe and give it four axes.

    Parameters
    ----------
    probe : complex array
        (H, W), (modes, H, W), (opr, modes, H, W), or with more leading axes of length 1.
    shape_px : (int, int)
        (H, W) of the patterns.
    path : Path
        For messages.

    Returns
    -------
    (n_opr, n_modes, H, W) complex64

    Raises
    ------
    InputError
        If shape, kind or values do not fit.
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
    metadata: dict[str, Any],
    photons_per_intensity: float,
) -> RawScan:
    """Check that the parts of a scan belong together.

    Parameters
    ----------
    path : Path
        The file, for messages and provenance.
    file_format : str
        Name of its format.
    counts : (n, H, W) integer
        Photons, zero frequency at the centre.
    positions_px : (n, 2) array
        Order (y, x), px.
    probe : complex array
        Probe guess.
    object_guess : complex array or None
        Whatever object the file holds.
    metadata : dict
        The file's own metadata.
    photons_per_intensity : float
        Scale of the counts.

    Returns
    -------
    RawScan

    Raises
    ------
    InputError
        If lengths or shapes disagree.
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
    """Name of a file as text that JSON can hold: bytes that are not UTF-8 as escapes."""
    return path.name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def known_keys(arrays: Iterable[str], *candidates: str) -> str | None:
    """First of the candidate names that is among the arrays, or None."""
    present = set(arrays)
    return next((name for name in candidates if name in present), None)
