"""Simulates exposures in one of a study's setups: at its true positions, in its light, on its detector."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import InputError
from fly64dask.datasets.digests import NOISE_FREE_SCALE_PHOTONS
from fly64dask.datasets.pattern_batches import PatternBatches
from fly64dask.simulation import (
    Pair,
    SetupDetector,
    SetupFields,
    check_coverage,
    coherent_modes,
    mistake_probe,
    saturated_count,
    setup_intensity_batches,
    setup_stream,
    true_positions_px,
    valid_pixels,
)
from fly64dask.store import Group, ScanAttributes, count_dtype
from fly64dask.study import Setup, Study, photons_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.study import Realisation


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedExposures:
    """Exposures of a simulated scan, as one setup makes them.

    Parameters
    ----------
    setup : Setup
        What is not ideal in the measurement.
    dose_photons : float or None
        The dose; None without noise.
    truth : callable
        Opens object and probe when patterns are made.
    positions_px : (k, 2) float64
        Where the exposures are really taken, order (y, x), px.
    scan : Group
        The scan, with the brightness in an ideal setup.
    detector : SetupDetector
        The detector of the setup.
    """

    setup: Setup
    dose_photons: float | None
    truth: Callable[[], Pair]
    positions_px: NDArray[np.float64]
    scan: Group[ScanAttributes]
    detector: SetupDetector

    def patterns(self, rng: Callable[[], np.random.Generator]) -> PatternBatches:
        """Draw the patterns, or compute the expected ones if there is no dose.

        `rng` makes the source of the Poisson draws. The scale is the one at which an ideal setup detects the dose, so
        that all setups of one dose get the same incident photons.
        """
        dose = NOISE_FREE_SCALE_PHOTONS if self.dose_photons is None else self.dose_photons
        scale = dose / self.scan.attributes.mean_total_intensity
        if self.dose_photons is None:
            return PatternBatches(blocks=self._expected(scale), dtype=np.dtype(np.float32), photons_per_intensity=scale)
        dtype = self._count_dtype(scale * self.scan.attributes.brightest_pixel_intensity)
        return PatternBatches(blocks=self._drawn(scale, rng()), dtype=dtype, photons_per_intensity=scale)

    def _expected(self, scale: float) -> Iterator[NDArray[np.float32]]:
        for intensity in setup_intensity_batches(self.truth(), self.positions_px, self.setup):
            yield self.detector.expect(intensity, scale)

    def _drawn(self, scale: float, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        for intensity in setup_intensity_batches(self.truth(), self.positions_px, self.setup):
            yield self.detector.detect(intensity, scale, rng=rng)

    def _count_dtype(self, brightest_photons: float) -> np.dtype[Any]:
        """Choose the type that holds every count; in a setup that is not ideal, counts may exceed the expected ones."""
        if not self.setup.changes_patterns:
            return count_dtype(brightest_photons)
        ceiling = saturated_count(self.setup)
        return np.dtype(np.uint16 if ceiling is not None and ceiling <= np.iinfo(np.uint16).max else np.uint32)

    def facts(self) -> SetupFields:
        """Describe the setup and what its detector did, after all patterns have been drawn; empty for an ideal setup.

        Without a dose only the sample's photons are counted, and nothing saturates.
        """
        setup, n_valid = self.setup, int(self.detector.valid_pixels.sum())
        if setup.is_ideal:
            return SetupFields()
        n_saturated, has_dose = self.detector.n_saturated, self.dose_photons is not None
        return SetupFields(
            setup=setup,
            mean_background_photons=setup.background_photons * n_valid
            if has_dose and setup.background_photons
            else None,
            saturated_share=n_saturated / (len(self.positions_px) * n_valid)
            if has_dose and setup.full_well_photons
            else None,
            unmasked_share=1 - n_valid / self.detector.valid_pixels.size
            if setup.masks_pixels and setup.mask == "unknown"
            else None,
        )


def simulate_exposures(
    study: Study,
    drawn: Realisation,
    scan: Group[ScanAttributes],
    rows: NDArray[np.int64],
    truth: Callable[[], Pair],
    dose_photons: float | None,
) -> SimulatedExposures:
    """Make what simulates some exposures of a scan in a setup.

    Parameters
    ----------
    study : Study
        The study.
    drawn : Realisation
        The noise realisation, with its setup.
    scan : Group
        The scan.
    rows : (k,) int64
        Numbers of the exposures in the scan.
    truth : callable
        Returns the true object and probe.
    dose_photons : float or None
        The dose in photons per exposure; None without noise.
    """
    setup, seed = study.setup_of(drawn.setup_name), study.seeds.simulation
    dose = "noise_free" if dose_photons is None else dose_photons
    of_realisation = f"{photons_name(dose, drawn.repeat, drawn.object_seed)}/{drawn.split}"
    detector = SetupDetector(
        setup=setup,
        valid_pixels=valid_pixels(scan.attributes.diffraction_shape_px, setup, seed=seed),
        read_noise=setup_stream(seed, "read_noise", of_realisation),
    )
    return SimulatedExposures(
        setup=setup,
        dose_photons=dose_photons,
        truth=truth,
        positions_px=true_positions_px(scan.read("positions_px"), setup, seed=seed)[rows],
        scan=scan,
        detector=detector,
    )


def setup_probe_guess(study: Study, setup_name: str | None, probe: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Make the probe that an engine starts from in one of a study's setups, from that of the scan."""
    return mistake_probe(probe, study.setup_of(setup_name), seed=study.seeds.simulation)


def known_mask(study: Study, setup_name: str | None, shape_px: tuple[int, int]) -> NDArray[np.bool_] | None:
    """Return the pixels (H, W) that an engine takes for valid in one of a study's setups; None if it takes all."""
    setup = study.setup_of(setup_name)
    if not setup.masks_pixels or setup.mask == "unknown":
        return None
    return valid_pixels(shape_px, setup, seed=study.seeds.simulation)


def refuse_setups(
    study: Study, positions_px: NDArray[np.float64], probe: NDArray[np.complex64], object_shape_px: tuple[int, ...]
) -> None:
    """Refuse setups that cannot be simulated.

    Parameters
    ----------
    study : Study
        The study.
    positions_px : (n, 2) float64
        The intended positions of the whole scan, order (y, x), px.
    probe : (H, W) complex64
        The probe.
    object_shape_px : (int, int)
        (Y, X) of the object on the detector's grid.

    Raises
    ------
    InputError
        If true positions leave the object, no pixel measures anything, or a source is too large.
    """
    for name in study.setup_names:
        setup, of_setup = study.setup_of(name), f" of setup {name}" if name else " of the setup"
        if setup.moves_positions:
            moved = true_positions_px(positions_px, setup, seed=study.seeds.simulation)
            check_coverage(moved, probe.shape, object_shape_px, what=f"simulate true positions{of_setup}")
        if not valid_pixels((probe.shape[0], probe.shape[1]), setup, seed=study.seeds.simulation).any():
            raise InputError(
                f"simulate{of_setup}: gaps, dead pixels and beam stop leave none of the detector's "
                f"{' x '.join(map(str, probe.shape))} px",
                remedy="make them smaller",
            )
    for source_size_px in {study.setup_of(name).source_size_px for name in study.setup_names}:
        coherent_modes(probe, source_size_px)
