"""Writes a scan as a DATA-001 file, the format of the original study."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError
from fly64dask.store import publish_bytes
from fly64dask.study import MAX_OBJECT_PIXELS

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydantic import JsonValue


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanToWrite:
    """A scan as a file of the original study holds it.

    `counts` (n, H, W) unsigned photons, zero frequency at the centre; `positions_px` (n, 2) float64, order (y, x);
    `probe_guess` (n_opr, n_modes, H, W) complex64; `object_guess` (Y, X) complex64 or None; `source` says where the
    scan is from.
    """

    counts: NDArray[np.number]
    positions_px: NDArray[np.float64]
    probe_guess: NDArray[np.complex64]
    object_guess: NDArray[np.complex64] | None
    metadata: dict[str, JsonValue]
    photons_per_intensity: float
    source: dict[str, JsonValue]


def write_data001(path: Path, scan: ScanToWrite) -> None:
    """Write a scan, in one step, as DATA-001 that `np.load(allow_pickle=False)` reads; an empty object stands for none.

    `diffraction` is sqrt(counts / photons_per_intensity) in float32, which gives back counts up to 2^20 exactly, in
    float64 for brighter ones; `_metadata` is a 0-d unicode array.
    """
    exact = np.float32 if scan.counts.max() <= 2**20 else np.float64
    amplitude = np.sqrt(scan.counts / scan.photons_per_intensity).astype(exact)
    y, x = scan.positions_px.T
    object_guess = scan.object_guess if scan.object_guess is not None else _empty_object(scan, path)
    metadata = scan.metadata | {
        "layout": "nhw",
        "quantity": "amplitude",
        "zero_frequency": "centre",
        "photons_per_intensity": scan.photons_per_intensity,
        "source": scan.source,
        "object_is_empty": scan.object_guess is None,
    }
    probe = scan.probe_guess
    publish_bytes(
        path,
        lambda stream: np.savez_compressed(
            stream,
            allow_pickle=False,
            diffraction=amplitude,
            xcoords=x,
            ycoords=y,
            probeGuess=probe[0, 0] if probe.shape[:2] == (1, 1) else probe,
            objectGuess=object_guess,
            scan_index=np.arange(len(amplitude)),
            _metadata=np.array(json.dumps(metadata)),
        ),
    )


def _empty_object(scan: ScanToWrite, path: Path) -> NDArray[np.complex64]:
    height, width = np.ceil(np.ptp(scan.positions_px, axis=0)).astype(int) + scan.counts.shape[1:]
    if height * width > MAX_OBJECT_PIXELS:
        raise InputError(
            f"export {path}: the scan spans {height} x {width} px, an empty object of it has more than "
            f"{MAX_OBJECT_PIXELS} px",
            remedy="drop the positions that lie far from the others",
        )
    return np.ones((height, width), dtype=np.complex64)
