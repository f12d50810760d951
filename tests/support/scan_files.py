"""Small scan files of other programs: the arrays in them, and how they are saved."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

N, H, W = 7, 8, 10
METADATA = {"dose": 1000, "note": "é", "nested": {"seed": 42}}


def draw_counts(seed: int, *, peak: float = 40.0, shape: tuple[int, int, int] = (N, H, W)) -> np.ndarray:
    """Poisson counts of a bright spot on the centre pixel, (n, H, W) int64."""
    _, height, width = shape
    y, x = np.ogrid[:height, :width]
    spot = peak * np.exp(-((y - height // 2) ** 2 + (x - width // 2) ** 2) / 3.0)
    return np.random.default_rng(seed).poisson(np.broadcast_to(spot, shape))


def draw_probe(seed: int, shape: tuple[int, ...] = (H, W)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


COUNTS = draw_counts(1)
BRIGHTEST = np.equal(COUNTS, COUNTS.max())
POSITIONS_PX = np.random.default_rng(2).uniform(0, 12, (N, 2))  # order (y, x)
PROBE = draw_probe(3)
AMPLITUDE = (np.sqrt(COUNTS) / math.pi).astype(np.float32)
DATA001: dict[str, Any] = {
    "diffraction": AMPLITUDE,
    "xcoords": POSITIONS_PX[:, 1],
    "ycoords": POSITIONS_PX[:, 0],
    "probeGuess": PROBE,
    "objectGuess": np.ones((60, 62), dtype=np.complex64),
}
TIKE: dict[str, Any] = {
    "data": np.fft.ifftshift(COUNTS, axes=(-2, -1))[None].astype(np.float32),
    "probe": PROBE[None, None, None, None],
    "scan": POSITIONS_PX[None].astype(np.float32),
}


def save(folder: Path, base: dict[str, Any] = DATA001, **changes: Any) -> Path:
    """Write an NPZ of some arrays with a few of them changed, or left out where None."""
    arrays = {key: value for key, value in (base | changes).items() if value is not None}
    np.savez(folder / "scan.npz", **arrays)
    return folder / "scan.npz"
