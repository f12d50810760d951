"""Writes a reconstruction as a TIFF file of two pages, amplitude and phase, which ImageJ opens to scale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

if TYPE_CHECKING:
    from fly64dask.datasets.export.reconstruction import ReconstructionToWrite

PAGES = ["amplitude", "phase in rad"]
UM = 1e-6


def write_tiff(path: Path, reconstruction: ReconstructionToWrite) -> None:
    """Write the first slice of an object as float32: amplitude, then phase in rad, wrapped and as it was reconstructed.

    ImageJ stores the size of a pixel as pixels per micrometre; its `Info` repeats it, with the positions (y, x) of the
    scan frame in px, as JSON.
    """
    first = reconstruction.object_recon[0]
    pages = np.stack([np.abs(first), np.angle(first)]).astype(np.float32)
    size_m = reconstruction.pixel_size_m
    info = reconstruction.facts | {
        "pages": PAGES,
        "pixel_size_m": None if size_m is None else list(size_m),
        "positions_px": reconstruction.positions_px.round(4).tolist(),
    }
    metadata: dict[str, Any] = {"axes": "CYX", "mode": "grayscale", "Labels": PAGES, "Info": json.dumps(info)}
    resolution = None
    if size_m is not None:
        metadata["unit"] = "um"
        resolution = (UM / size_m[1], UM / size_m[0])
    tifffile.imwrite(path, pages, imagej=True, resolution=resolution, metadata=metadata)
