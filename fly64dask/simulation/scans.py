"""The positions of simulated exposures: drawn, listed, or laid out in a regular pattern."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.study import ConcentricScan, FermatSpiralScan, ListedScan, RasterScan, UniformScan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    DrawnScan = UniformScan | ListedScan | RasterScan | FermatSpiralScan | ConcentricScan

# The angle by which neighbours on the spiral turn, 137.508 degrees: no two arms ever line up.
GOLDEN_ANGLE_RAD = math.pi * (3 - math.sqrt(5))
# Positions on the first ring of a concentric scan: the default of ptypy (`nth` of its round_scan).
FIRST_RING = 5
# A length that rounding alone took out of a field still lies in it.
ROUNDING = 1e-9


def draw_positions(scan: DrawnScan, *, seed: int) -> NDArray[np.float64]:
    """Draw, list or lay out the scan positions.

    Parameters
    ----------
    scan : UniformScan, ListedScan, RasterScan, FermatSpiralScan or ConcentricScan
        The rule.
    seed : int
        Seed of the positions of a uniform scan and of the jitter of a raster.

    Returns
    -------
    (n, 2) float64
        Order (y, x), px, in the order the exposures are taken.
    """
    match scan:
        case UniformScan():
            return _uniform(scan, seed)
        case ListedScan():
            return np.asarray(scan.positions_px, dtype=np.float64)
        case RasterScan():
            return _raster(scan, seed)
        case FermatSpiralScan():
            return _in_field(_fermat_spiral(scan), scan)
        case ConcentricScan():
            return _in_field(_concentric(scan), scan)


def _uniform(scan: UniformScan, seed: int) -> NDArray[np.float64]:
    """Draw every x before any y: the fly64 study's order."""
    legacy = np.random.RandomState(seed)
    x = legacy.uniform(scan.low_px, scan.high_px, scan.n_exposures)
    y = legacy.uniform(scan.low_px, scan.high_px, scan.n_exposures)
    return np.stack([y, x], axis=1)


def _raster(scan: RasterScan, seed: int) -> NDArray[np.float64]:
    """Lay out rows and columns a step apart, centred on the field, and move each position by its jitter.

    A regular raster leaves periodic artefacts that blind ptychography cannot tell from the object; positions moved
    at random remove them (Fannjiang, "Raster grid pathology and the cure", arXiv 1810.00852). Jitter is drawn
    uniformly from [-jitter, jitter] for each axis, from a stream that nothing else draws from. A position belongs
    to the field by its place before the jitter.
    """
    y, x = (_centred_line(half, scan.step_px) for half in scan.half_size_px)
    grid = _in_field(np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2), scan)
    if scan.jitter_px:
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(b"jitter")))
        grid += rng.uniform(-scan.jitter_px, scan.jitter_px, grid.shape)
    return grid


def _centred_line(half_px: float, step_px: float) -> NDArray[np.float64]:
    """Lay out as many positions a step apart as a length holds, centred on 0."""
    n_steps = math.floor(2 * half_px / step_px * (1 + ROUNDING))
    line: NDArray[np.float64] = (np.arange(n_steps + 1, dtype=np.float64) - n_steps / 2) * step_px
    return line


def _fermat_spiral(scan: FermatSpiralScan) -> NDArray[np.float64]:
    """Lay out a Fermat spiral around 0, as far as the field's farthest corner.

    r_n = c sqrt(n) at n times the golden angle (Huang et al., Opt. Express 22, 12634 (2014)), n = 0, 1, 2 ... Each
    position has an area of pi c^2; c = step / sqrt(pi) makes that the square of the step, as a raster has it. Nearest
    neighbours are then 0.92 to 1 steps apart (measured), and 0.56 in the centre.
    """
    n_positions = math.floor(math.pi * (_reach_px(scan) / scan.step_px) ** 2) + 1
    n = np.arange(n_positions, dtype=np.float64)
    return _polar(scan.step_px * np.sqrt(n / math.pi), n * GOLDEN_ANGLE_RAD)


def _concentric(scan: ConcentricScan) -> NDArray[np.float64]:
    """Lay out rings a step apart around 0, as far as the field's farthest corner.

    Ring k has radius k step and 5 k positions, evenly spaced from the x axis on (Dierolf et al., New J. Phys. 12,
    035017 (2010)): neighbours on a ring are 2 pi / 5 = 1.26 steps apart, so that equal steps give 0.80 as many
    positions per area as on a raster.
    """
    n_rings = math.floor(_reach_px(scan) / scan.step_px)
    ring = np.repeat(np.arange(n_rings + 1), np.maximum(1, FIRST_RING * np.arange(n_rings + 1)))
    starts = np.flatnonzero(np.diff(ring, prepend=-1))
    number_on_ring = np.arange(len(ring)) - starts[ring]
    turns: NDArray[np.float64] = number_on_ring / np.maximum(1, FIRST_RING * ring)
    return _polar(ring.astype(np.float64) * scan.step_px, 2 * math.pi * turns)


def _reach_px(scan: RasterScan | FermatSpiralScan | ConcentricScan) -> float:
    """Distance from the field's centre to its farthest point, px."""
    reach = scan.radius_px if scan.radius_px is not None else math.hypot(*scan.half_size_px)
    return reach * (1 + ROUNDING)


def _polar(radius_px: NDArray[np.float64], angle_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positions (n, 2), order (y, x), at angles from the x axis to the y axis."""
    return np.stack([radius_px * np.sin(angle_rad), radius_px * np.cos(angle_rad)], axis=1)


def _in_field(
    offsets_px: NDArray[np.float64], scan: RasterScan | FermatSpiralScan | ConcentricScan
) -> NDArray[np.float64]:
    """Keep the offsets from the centre that lie in the field, as positions (n, 2), order (y, x)."""
    if scan.radius_px is not None:
        inside = np.hypot(*offsets_px.T) <= _reach_px(scan)
    else:
        inside = (np.abs(offsets_px) <= np.asarray(scan.half_size_px) * (1 + ROUNDING)).all(axis=1)
    positions: NDArray[np.float64] = offsets_px[inside] + np.asarray(scan.centre_px)
    return positions
