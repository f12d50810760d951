"""Half sets: exposures are divided into halves of independent noise, and the halves' objects are compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError
from fly64dask.metrics import HalfSetMetrics, PhasePlane, Plane, RingCorrelation, SplitBy, crossing, frc
from fly64dask.reconstruction.best_epoch import EpochEstimate
from fly64dask.reconstruction.interface import Exposures, refuse_dark
from fly64dask.scan import illuminated_area, illumination_map, refuse_degenerate
from fly64dask.simulation import thin

if TYPE_CHECKING:
    from numpy.typing import NDArray

# The streams that a study's grouping seed has beside that of the minibatches.
HALVES_KEY, HELD_OUT_KEY = 1, 2
FINEST_PX = 1.0  # half a period at Nyquist
HELD_OUT_FRACTION = 0.1  # of the photons; our choice
BATCH_EXPOSURES = 256  # drawn at once: 64 MB of 128 x 128 in 64-bit numbers, in and out


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSubset:
    """A subset of a cell's exposures, or of their photons, with the seed of its minibatches."""

    exposures: Exposures
    seed: int


def halve(exposures: Exposures, split_by: SplitBy, *, seed: int) -> Iterator[DataSubset]:
    """Split exposures into two halves of independent noise; the first comes, then the second, so that one is in memory.

    Of "counts" each photon goes to a half by a fair coin: two independent Poisson counts of half the mean, with all
    positions in both. "exposures" go to the halves in turns. Coins and minibatches have streams of their own of the
    study's grouping seed. Raises InputError if a half holds no photon or counts are expected ones, DegenerateScanError
    if the positions of every other exposure span less than a pixel on an axis: such a half must stand alone, one of the
    counts shares the cell's guard.
    """
    seeds = np.random.SeedSequence(seed, spawn_key=(HALVES_KEY,)).generate_state(2)
    if split_by == "counts":
        _refuse_expectations(exposures)
    first = thinned(exposures.counts, 0.5, rng=_coins(seed, HALVES_KEY)) if split_by == "counts" else None
    for half_index in range(2):
        if first is None:
            half = _every_other(exposures, half_index)
            positions, counts = half.positions_px, half.counts
            refuse_degenerate(positions, n_exposures=len(exposures.counts), rule="by turns in a half")
        else:
            half = exposures
            positions, counts = exposures.positions_px, exposures.counts - first if half_index else first
        refuse_dark(counts)
        yield DataSubset(exposures=replace(half, positions_px=positions, counts=counts), seed=int(seeds[half_index]))


def _every_other(exposures: Exposures, first: int) -> Exposures:
    """Take every other exposure, from number `first` on, with all that belongs to it."""
    rows, weights = slice(first, None, 2), exposures.opr_weights
    return replace(
        exposures,
        positions_px=exposures.positions_px[rows],
        counts=exposures.counts[rows],
        opr_weights=None if weights is None else weights[rows],
    )


def hold_out(exposures: Exposures, *, seed: int) -> DataSubset:
    """Leave out a tenth of the photons, drawn one by one; `seed` as in `halve`."""
    _refuse_expectations(exposures)
    shown = thinned(exposures.counts, 1 - HELD_OUT_FRACTION, rng=_coins(seed, HELD_OUT_KEY))
    refuse_dark(shown)
    seeds = np.random.SeedSequence(seed, spawn_key=(HELD_OUT_KEY,)).generate_state(1)
    return DataSubset(exposures=replace(exposures, counts=shown), seed=int(seeds[0]))


def _refuse_expectations(exposures: Exposures) -> None:
    if exposures.noise_free:
        raise InputError(
            "divide the photons of noise-free exposures: they are expected counts, of which no two parts differ in "
            "their noise",
            remedy="use stop = 'epochs', with halves = 'none' or 'exposures'",
        )


def thinned(counts: NDArray[np.number], probability: float, *, rng: np.random.Generator) -> NDArray[np.number]:
    """Keep each photon with a probability; (n, H, W) of the same dtype, drawn in batches."""
    drawn = np.empty_like(counts)
    for start in range(0, len(counts), BATCH_EXPOSURES):
        batch = slice(start, start + BATCH_EXPOSURES)
        drawn[batch] = thin(counts[batch], probability, rng=rng)
    return drawn


def shared_area(
    exposures: Exposures, split_by: SplitBy, shape_px: tuple[int, int], origin_px: tuple[int, int]
) -> NDArray[np.bool_]:
    """Find the pixels that both halves illuminate, by the starting probe; (Y, X) bool."""
    groups = [slice(None)] if split_by == "counts" else [slice(half_index, None, 2) for half_index in range(2)]
    areas = [
        illuminated_area(illumination_map(exposures.probe_guess, exposures.positions_px[group], shape_px, origin_px))
        for group in groups
    ]
    area: NDArray[np.bool_] = np.logical_and.reduce(areas)
    return area


class HalfSetEstimator:
    """Estimates an epoch's signal and noise from what two half-set objects share inside one area.

    Parameters
    ----------
    area : (Y, X) bool
        Illuminated pixels; at least three, not in one line.

    Notes
    -----
    An epoch of 42 exposures takes only three times as long as the comparison of one image.
    """

    def __init__(self, area: NDArray[np.bool_]) -> None:
        self._area, self._plane = area, PhasePlane(area)

    def estimate(self, object_recon: NDArray[np.complex64], half_objects: NDArray[np.complex64]) -> EpochEstimate:
        """Estimate signal and noise of an object from what two half-set objects share.

        Parameters
        ----------
        object_recon : (Y, X) complex64
            Of the full data.
        half_objects : (2, Y, X) complex64
            Of the two halves of its counts.

        Returns
        -------
        EpochEstimate
            The mean square of the full data's phase, rad^2, parted as 2 C / (1 + C) to the rest.
            C = X / A is the correlation of the halves' phases: X their mean product, but 0 where
            that is negative, A the mean of their mean squares. Planes are taken off as in `compare_halves`.

        Notes
        -----
        2 C / (1 + C) is the correlation that two sets of all photons would have, and the fraction of
        signal in each: doubled photons halve the noise.
        """
        full, (first, second) = self.phase(object_recon), self._phases(half_objects)
        shared, power = max(float(first @ second), 0.0), float(first @ first + second @ second) / 2
        of_full = 2 * shared / (power + shared) if power > 0 else 0.0
        mean_square = float(full @ full) / len(full)
        return EpochEstimate(signal=mean_square * of_full, noise=mean_square * (1 - of_full))

    def phase(self, image: NDArray[np.complex64]) -> NDArray[np.float64]:
        """Compute the phase of the pixels inside, (n,) float64, rad; its mean and slopes are 0 but for wraps."""
        rest = self._plane.fit(image).rest
        return np.asarray(rest - rest.mean())

    def _phases(self, half_objects: NDArray[np.complex64]) -> list[NDArray[np.float64]]:
        planes = planes_of(half_objects, self._plane)
        if all(plane.is_unique for plane in planes):
            phases = [plane.rest for plane in planes]
        else:
            flat = (_without(half, plane) for half, plane in zip(half_objects, planes, strict=True))
            phases = [np.angle(image[self._area]) for image in flat]
        return [phase - phase.mean() for phase in phases]


def compare_halves(
    half_objects: NDArray[np.complex64],
    area: NDArray[np.bool_],
    split_by: SplitBy,
    *,
    pixel_nm: tuple[float, float] | None = None,
) -> tuple[HalfSetMetrics, RingCorrelation]:
    """Correlate two half-set objects ring by ring.

    Parameters
    ----------
    half_objects : (2, Y, X) complex64
        The two objects.
    area : (Y, X) bool
        From `shared_area`.
    split_by : "counts" or "exposures"
        How they were split, for the record.
    pixel_nm : (float, float), optional
        Sides (y, x) of a pixel.

    Returns
    -------
    HalfSetMetrics
        Resolutions of the full data.
    RingCorrelation
        The curve of the halves themselves.

    Notes
    -----
    With C the correlation of halves, that of two full data sets is 2 C / (1 + C), and that of one
    with the truth sqrt(2 C / (1 + C)): P. Rosenthal, R. Henderson, J. Mol. Biol. 333, 721 (2003),
    doi:10.1016/j.jmb.2003.07.013. The half-bit criterion is made for halves as they are.
    """
    planes = planes_of(half_objects, PhasePlane(area))
    first, second = (_without(half, plane) for half, plane in zip(half_objects, planes, strict=True))
    curve = frc(first, second, area, pixel_nm=pixel_nm)
    halves = np.maximum(curve.correlation, 0)
    of_full = 2 * halves / (1 + halves)
    half_bit = crossing(curve, "half_bit")
    # A curve that stays above up to Nyquist resolves a pixel, the longer side of it, and what is finer cannot be seen.
    finest_px = FINEST_PX * (1.0 if pixel_nm is None or curve.side_nm is None else max(pixel_nm) / curve.side_nm)
    resolution_px = half_bit.resolution_px if half_bit else finest_px
    metrics = HalfSetMetrics(
        split_by=split_by,
        n_pixels=int(area.sum()),
        resolution_px=resolution_px,
        resolution_nm=None if curve.side_nm is None else resolution_px * curve.side_nm,
        half_bit=half_bit,
        one_bit=crossing(curve, "one_bit"),
        half=crossing(replace(curve, correlation=of_full), "half"),
        against_truth=crossing(replace(curve, correlation=np.sqrt(of_full)), "half"),
    )
    return metrics, curve


def planes_of(half_objects: NDArray[np.complex64], plane: PhasePlane) -> tuple[Plane, Plane]:
    """Find global phase and ramp of both halves: each its own, and where that is not unique those between the two."""
    first, second = half_objects
    of_first, of_second = plane.fit(first), plane.fit(second)
    if not (of_first.is_unique and of_second.is_unique):
        of_second = replace(plane.fit(second * _without(first, of_first).conj()), is_unique=False)
    return of_first, of_second


def _without(image: NDArray[np.complex64], plane: Plane) -> NDArray[np.complex128]:
    return np.asarray(np.abs(image) * np.exp(1j * np.angle(image * plane.wave(image.shape).conj())))


def _coins(seed: int, key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(key, 0)))
