"""Turn what a file says of a scan into photon counts, positions in px and a probe, checked to belong together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import InputError
from fly64dask.datasets.formats.detect import read_scan_file
from fly64dask.datasets.formats.photon_counts import centre_zero_frequency, refuse_darkness, to_counts
from fly64dask.datasets.formats.scan_file import Quantity, ReadOptions, ScanFile, file_sha256
from fly64dask.scan import checked_positions

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydantic import JsonValue


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


def read_scan(path: Path, options: ReadOptions) -> RawScan:
    """Read a scan file of any known format and convert it to this project's units.

    Raises InputError if the file is missing, damaged, ambiguous or of no known format.
    """
    return convert(read_scan_file(path, options), options)


def convert(scan: ScanFile, options: ReadOptions) -> RawScan:
    """Convert what a file says to counts, px and a checked probe; a person's options come before what the file says.

    Raises InputError if something is missing, ambiguous or does not fit.
    """
    path = scan.paths[0]
    if scan.positions_unit != "px":
        raise InputError(f"read {path}: positions in {scan.positions_unit}, needed px", remedy="convert them to px")
    if scan.probe is None:
        raise InputError(f"read {path}: no probe", remedy="add one to the file")
    patterns = scan.patterns.read(0, scan.patterns.shape[0])
    refuse_darkness(patterns, path)
    scale = scan.photons_per_intensity if options.photons_per_intensity is None else options.photons_per_intensity
    counts, scale = to_counts(patterns, _quantity(patterns, options.quantity or scan.quantity, path), scale, path)
    claimed = options.zero_frequency or (scan.zero_frequency if scan.zero_frequency_is_stated else None)
    counts = centre_zero_frequency(counts, claimed, scan.zero_frequency, path)
    return RawScan(
        counts=counts,
        positions_px=checked_positions(scan.positions, origin=f"read {path}"),
        probe_guess=checked_probe(scan.probe, counts.shape[1:], path),
        object_guess=None if scan.object_guess is None else checked_object(scan.object_guess, path),
        metadata=scan.metadata,
        photons_per_intensity=scale,
        source={"kind": "ingested", "format": scan.file_format, "file": _file_name(path), "sha256": file_sha256(path)},
    )


def _quantity(patterns: NDArray[Any], said: Quantity | None, path: Path) -> Quantity:
    """Tell amplitude from intensity where nobody says which it is.

    Integers are intensities; reals with fractions are amplitudes, as DATA-001 defines. Raises InputError if reals are
    all whole numbers: counts and roots of square counts look alike.
    """
    if said is not None:
        return said
    if np.issubdtype(patterns.dtype, np.integer):
        return "intensity"
    if bool((np.nan_to_num(patterns) % 1 != 0).any()):
        return "amplitude"
    raise InputError(
        f"read {path}: patterns are {patterns.dtype} with whole numbers only: counts, or amplitudes?",
        remedy="give --quantity intensity or --quantity amplitude",
    )


def _file_name(path: Path) -> str:
    """Give the name of a file as text that JSON can hold: bytes that are not UTF-8 as escapes."""
    return path.name.encode(errors="surrogateescape").decode(errors="backslashreplace")
