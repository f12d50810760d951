"""Converts a study's doses to photons per exposure, and refuses doses that are not possible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fly64dask.base import InputError, NotSelectableError, counted
from fly64dask.scan import measure_beams, photons_per_exposure, select, split_indices
from fly64dask.study import DOSE_UNITS, MAX_DOSE_PHOTONS, Dose, Split, Study

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fly64dask.scan import BeamFields


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptExposures:
    """The exposures that a view keeps of a split; a dose that counts photons per area or in total depends on them."""

    view: str
    split: Split
    n_kept: int
    beams: BeamFields


def dose_in_photons(
    study: Study, dose: Dose, own_dose_photons: float | None, kept: KeptExposures | None = None
) -> float | None:
    """Resolve a dose to photons per exposure.

    Parameters
    ----------
    study : Study
        The study, which says what its doses count.
    dose : float, "measured" or "noise_free"
        One of its doses.
    own_dose_photons : float or None
        Mean count of the measured exposures; None if simulated.
    kept : KeptExposures, optional
        Needed unless the study's doses count photons per exposure.

    Returns
    -------
    float or None
        Detected photons per exposure; None for "noise_free", which is not a number of photons.

    Raises
    ------
    InputError
        If the dose is above the measured one, because photons cannot be added, or above what a count can hold.
    """
    if dose == "noise_free":
        return None
    if dose == "measured":
        assert own_dose_photons is not None, "the study model allows it for measured sources only"
        return own_dose_photons
    if study.dose_by == "exposure":
        if own_dose_photons is not None and dose > own_dose_photons:
            raise InputError(
                f"doses_photons = {dose:g}: above the measured dose of {own_dose_photons:.6g} photons per exposure",
                remedy='thinning only lowers a dose: give at most that, or "measured" for all of it',
            )
        return float(dose)
    assert kept is not None, "exposures that are given by area or in total are for one view"
    photons = photons_per_exposure(dose, study.dose_by, n_kept=kept.n_kept, beams=kept.beams)
    most = MAX_DOSE_PHOTONS if own_dose_photons is None else own_dose_photons
    if photons > most:
        limit = "a count can hold" if own_dose_photons is None else "were measured; thinning only lowers a dose"
        raise InputError(
            f"doses_photons = {dose:g} {DOSE_UNITS[study.dose_by]}: view {kept.view!r} keeps "
            f"{counted(kept.n_kept, 'exposure')} of split {kept.split}, so each needs {photons:.6g} photons, more "
            f"than the {most:.6g} that {limit}",
            remedy=f"give at most {dose * most / photons:.6g}, or leave that view out",
        )
    return photons


def refuse_doses(
    study: Study,
    positions_px: NDArray[np.float64],
    probe: NDArray[np.complex64],
    own_dose_photons: float | None,
) -> None:
    """Refuse doses that are not possible, before anything runs.

    Parameters
    ----------
    study : Study
        The study.
    positions_px : (n, 2) float64
        The whole scan, order (y, x), px.
    probe : (n_opr, n_modes, H, W) complex64
        Starting probe.
    own_dose_photons : float or None
        Mean count of the measured exposures; None if simulated.

    Raises
    ------
    InputError
        If a dose is above the measured one, or is the measured one with several repeats, which thinning leaves equal.
    """
    views: list[KeptExposures | None] = [None]
    if study.dose_by != "exposure":
        # Selecting takes time, and simulated photons have no limit except that of a count, which is checked later.
        views = [] if own_dose_photons is None else [*_kept_exposures(study, positions_px, probe)]
    for of_view in views:
        for dose in study.doses_photons:
            photons = dose_in_photons(study, dose, own_dose_photons, of_view)
            if not isinstance(dose, str) and study.repeats > 1 and photons == own_dose_photons:
                raise InputError(
                    f"doses_photons = {dose:g} with repeats = {study.repeats}: this is the measured dose, of which "
                    "thinning leaves the same photons each time",
                    remedy='write it as "measured", of which there is one cell, or lower it',
                )


def _kept_exposures(
    study: Study, positions_px: NDArray[np.float64], probe: NDArray[np.complex64]
) -> list[KeptExposures]:
    """Select the exposures of each view and split; a view that cannot be selected is left out."""
    selections = []
    for split in study.splits:
        of_split = positions_px[split_indices(positions_px, study.split, split)]
        for view in study.views:
            try:
                kept_rows = select(of_split, view).kept
            except NotSelectableError:
                continue
            beams = measure_beams(of_split[kept_rows], probe)
            selections.append(KeptExposures(view=view.name, split=split, n_kept=len(kept_rows), beams=beams))
    return selections
