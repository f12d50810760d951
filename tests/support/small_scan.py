"""A small measured scan in memory, as a reader describes one, with any part of it changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fly64dask.datasets.formats import ArrayPatterns, ScanFile

SIDE, ROWS, COLUMNS, STEP_PX = 24, 5, 6, 5.0
N = ROWS * COLUMNS


def small_counts(seed: int = 1, *, photons: float = 3000.0) -> np.ndarray:
    """Poisson counts of a spot at the centre, (n, 24, 24) uint16, of so many photons an exposure."""
    y, x = np.ogrid[:SIDE, :SIDE]
    spot = np.exp(-((y - SIDE // 2) ** 2 + (x - SIDE // 2) ** 2) / 18.0) + 1e-3
    rng = np.random.default_rng(seed)
    return rng.poisson(np.broadcast_to(photons * spot / spot.sum(), (N, SIDE, SIDE))).astype(np.uint16)


def small_positions() -> np.ndarray:
    """A raster of steps of 5 px, (n, 2), order (y, x)."""
    return STEP_PX * np.stack(np.divmod(np.arange(N), COLUMNS), axis=1).astype(np.float64)


def small_probe(side: int = SIDE) -> np.ndarray:
    """A Gaussian beam with some curvature at the centre, (H, W) complex64."""
    y, x = np.ogrid[:side, :side]
    squared = ((y - side // 2) ** 2 + (x - side // 2) ** 2).astype(np.float64)
    return np.exp(-squared / 20.0 + 0.05j * squared).astype(np.complex64)


def small_scan(counts: np.ndarray | None = None, **changes: Any) -> ScanFile:
    """The scan with other patterns, or other parts of the record."""
    parts: dict[str, Any] = {
        "file_format": "test",
        "paths": (Path("scan.h5"),),
        "patterns": ArrayPatterns(array=small_counts() if counts is None else counts),
        "positions": small_positions(),
        "positions_unit": "px",
        "quantity": "intensity",
        "probe": small_probe(),
    }
    return ScanFile(**(parts | changes))
