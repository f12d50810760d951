"""The light of a scan's exposures and the fluence on its area, in photons."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from fly64dask.base import Frozen, Quantity, counted, in_nm
from fly64dask.scan.beams import BeamFields

if TYPE_CHECKING:
    from fly64dask.study import DoseBy

# A measured mean is marked if it differs from the dose by more than both of these (our choice). Shot noise moves the
# mean of n exposures by more than 5 of its standard deviations 6 times in 1e7. Parts of an object that absorb
# differently also differ in brightness by some per cent, which changes no conclusion.
MAX_DEVIATION_SIGMAS = 5.0
MAX_DEVIATION_FRACTION = 0.05


class LengthFields(Frozen):
    """Sizes of a scan in nm and µm, where a pixel of its object has a size, of which `pixel_size_nm` are the sides
    (y, x).

    Lengths of no particular direction are converted by the side of a square pixel of the same area.
    """

    pixel_size_nm: tuple[float, float] | None = None
    step_nm: Annotated[float | None, Quantity("scan step: median distance to the nearest neighbour", "nm")] = None
    probe_fwhm_nm: Annotated[float | None, Quantity("probe diameter at half of its maximum", "nm")] = None
    probe_d90_nm: Annotated[float | None, Quantity("probe diameter that holds 90 % of its power", "nm")] = None
    illuminated_area_um2: Annotated[float | None, Quantity("illuminated area", "µm²")] = None


class FluenceFields(LengthFields, BeamFields):
    """Photons of a cell's exposures and fluence on its illuminated area; all are detected photons except
    `incident_photons`.

    `dose_photons` is what the study asks for, `mean_counts_photons` the mean of the kept exposures as counted, and
    `dose_deviation` says in words that the two differ by more than chance allows; `n_dark` exposures hold no photon.
    `total_photons` (of all kept exposures) and the fluence are counted as well; in a plan they are the expected ones.
    """

    dose_photons: Annotated[
        float | None,
        Field(gt=0, allow_inf_nan=False),
        Quantity("photons per exposure asked for", "photons"),
    ] = None
    mean_counts_photons: Annotated[float | None, Quantity("real mean of photons per exposure", "photons")] = None
    dose_deviation: str | None = None
    n_dark: Annotated[int | None, Quantity("exposures without a photon", "")] = None
    incident_photons: Annotated[float | None, Quantity("incident photons per exposure", "photons")] = None
    total_photons: Annotated[float | None, Quantity("photons of all kept exposures", "photons")] = None
    fluence_photons_per_px2: Annotated[float | None, Quantity("fluence on the illuminated area", "photons/px²")] = None
    fluence_photons_per_nm2: Annotated[float | None, Quantity("fluence on the illuminated area", "photons/nm²")] = None


def fluence_per_px2(total_photons: float, beams: BeamFields) -> float | None:
    """Compute the mean fluence on the illuminated area, photons per px^2; None if the area is not known.

    Parameters
    ----------
    total_photons : float
        Photons of all kept exposures together.
    beams : BeamFields
        Of the same exposures.

    Returns
    -------
    float or None
        The total number of photons, times the share of them that falls on the illuminated area, divided by that area.
    """
    if beams.illuminated_area_px2 is None or beams.illuminated_share is None:
        return None
    return total_photons * beams.illuminated_share / beams.illuminated_area_px2


def describe_light(
    beams: BeamFields,
    *,
    n_kept: int,
    dose_photons: float | None,
    mean_counts_photons: float | None = None,
    n_dark: int | None = None,
    incident_photons: float | None = None,
    pixel_size_nm: tuple[float, float] | None = None,
) -> FluenceFields:
    """Gather what is known of the photons of a cell's kept exposures.

    Parameters
    ----------
    beams : BeamFields
        Of the kept exposures.
    n_kept : int
        How many these are.
    dose_photons : float or None
        Photons per exposure that the study asks for; None if there is no noise.
    mean_counts_photons : float, optional
        Mean of the kept exposures as counted; if omitted, total and fluence are computed from the dose.
    n_dark : int, optional
        How many of them hold no photon.
    incident_photons : float, optional
        Incident photons of an exposure of that dose.
    pixel_size_nm : (float, float), optional
        Sides (y, x) of a pixel of the object.
    """
    lengths = _lengths(beams, pixel_size_nm)
    mean_photons = dose_photons if mean_counts_photons is None else mean_counts_photons
    if dose_photons is None or mean_photons is None:
        return FluenceFields(**dict(beams), **dict(lengths))
    per_px2 = fluence_per_px2(n_kept * mean_photons, beams)
    return FluenceFields(
        **dict(beams),
        **dict(lengths),
        dose_photons=dose_photons,
        mean_counts_photons=mean_counts_photons,
        dose_deviation=dose_deviation(dose_photons, mean_photons, n_kept),
        n_dark=n_dark,
        incident_photons=incident_photons,
        total_photons=n_kept * mean_photons,
        fluence_photons_per_px2=per_px2,
        fluence_photons_per_nm2=None
        if per_px2 is None or pixel_size_nm is None
        else per_px2 / math.prod(pixel_size_nm),
    )


def _lengths(beams: BeamFields, pixel_size_nm: tuple[float, float] | None) -> LengthFields:
    if pixel_size_nm is None:
        return LengthFields()
    area_px2 = beams.illuminated_area_px2
    return LengthFields(
        pixel_size_nm=pixel_size_nm,
        step_nm=in_nm(beams.step_px, pixel_size_nm),
        probe_fwhm_nm=in_nm(beams.probe_fwhm_px, pixel_size_nm),
        probe_d90_nm=in_nm(beams.probe_d90_px, pixel_size_nm),
        illuminated_area_um2=None if area_px2 is None else area_px2 * math.prod(pixel_size_nm) * 1e-6,
    )


def photons_per_exposure(dose: float, dose_by: DoseBy, *, n_kept: int, beams: BeamFields) -> float:
    """Resolve a dose of a study to photons per exposure of one view.

    Parameters
    ----------
    dose : float
        As the study has it.
    dose_by : "exposure", "fluence" or "total"
        What the dose counts: photons of an exposure, photons per px^2 of the illuminated area, or photons of all kept
        exposures together.
    n_kept : int
        Exposures that the view keeps; at least 1.
    beams : BeamFields
        Of these exposures.

    Returns
    -------
    float
        Detected photons per exposure, mean over the scan.
    """
    if dose_by == "exposure":
        return dose
    if dose_by == "total":
        return dose / n_kept
    of_one_photon = fluence_per_px2(n_kept, beams)
    assert of_one_photon is not None, "the beams of a selection are measured with it"
    return dose / of_one_photon


def dose_deviation(dose_photons: float, mean_counts_photons: float, n_kept: int) -> str | None:
    """Say in words that the mean of the kept exposures differs from the dose; None if chance explains the difference.

    Parameters
    ----------
    dose_photons : float
        Photons per exposure that the study asks for.
    mean_counts_photons : float
        Mean photons of the kept exposures.
    n_kept : int
        How many these are.
    """
    sigma = math.sqrt(dose_photons / n_kept)
    apart = abs(mean_counts_photons - dose_photons)
    if apart <= max(MAX_DEVIATION_SIGMAS * sigma, MAX_DEVIATION_FRACTION * dose_photons):
        return None
    return (
        f"real mean of {mean_counts_photons:.4g} photons per exposure, asked for {dose_photons:.4g}: shot noise leaves "
        f"{sigma:.2g} over {counted(n_kept, 'exposure')}; look at the brightness of single exposures"
    )
