"""Overlap of a scan's beams and the light on its area, in the words that papers on ptychography use."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from fly64dask.base import Frozen, Quantity, in_nm
from fly64dask.scan.illumination import illuminated_area, illumination_map, total_intensity
from fly64dask.scan.positions import object_frame
from fly64dask.scan.probe_size import probe_diameters
from fly64dask.scan.spacing import median_step_px

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.study import DoseBy

# A real mean is marked if it is further from the dose than both of these (our choice). Shot noise leaves the mean of n
# exposures within 5 of its standard deviations but for 6 times in 1e7. Parts of an object that absorb differently
# differ in brightness by some per cent beside that, which changes no conclusion.
MAX_DEVIATION_SIGMAS = 5.0
MAX_DEVIATION_FRACTION = 0.05


class BeamFields(Frozen):
    """The density of the kept exposures' beams on the sample; a value that is not known is absent.

    The beam is the starting probe, its modes summed. The illuminated area are the pixels with at least a tenth of the
    brightest pixel's sum of all beams: that in which errors are measured.
    """

    step_px: Annotated[float | None, Quantity("scan step: median distance to the nearest neighbour", "px")] = None
    probe_fwhm_px: Annotated[float | None, Quantity("probe diameter at half of its maximum", "px")] = None
    probe_d90_px: Annotated[float | None, Quantity("probe diameter that holds 90 % of its power", "px")] = None
    linear_overlap: Annotated[
        float | None, Quantity("linear overlap: 1 - step / diameter of 90 % power", "", "higher")
    ] = None
    areal_oversampling: Annotated[
        float | None, Quantity("areal oversampling: beams on a pixel of the illuminated area", "", "higher")
    ] = None
    illuminated_area_px2: Annotated[int | None, Quantity("illuminated area", "px²")] = None
    illuminated_share: Annotated[float | None, Quantity("share of the light that falls on the illuminated area")] = None


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
    """Photons of a cell's exposures and fluence on its illuminated area, in detected photons but for the incident ones.

    `dose_photons` is what was asked, `mean_counts_photons` the real mean of the kept exposures, and `dose_deviation`
    says in words that they are further apart than chance allows; `n_dark` of them hold no photon. `total_photons` of
    all kept exposures and the fluence are the real ones too; a plan has those that are expected.
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


def measure_beams(positions_px: NDArray[np.float64], probe: NDArray[np.complex64]) -> BeamFields:
    """Measure how densely the beams of some exposures lie.

    Parameters
    ----------
    positions_px : (n, 2) float64
        Kept positions, order (y, x), px; n >= 1.
    probe : (..., H, W) complex64
        Illumination; intensities of leading axes are summed.

    Returns
    -------
    BeamFields
        A single distinct position has no step, and no linear overlap. A linear overlap below 0 says that the discs of
        90 % power do not touch.

    Notes
    -----
    Areal oversampling is n times the probe's footprint over the illuminated area (the covered area times the mean
    number of visits is n times the footprint; the footprint are the pixels with at least a tenth of the probe's
    brightest one).
    """
    shape, origin = object_frame(positions_px, (probe.shape[-2], probe.shape[-1]))
    light = illumination_map(probe, positions_px, shape, origin)
    illuminated = illuminated_area(light)
    footprint_px2 = illuminated_area(total_intensity(probe)).sum()
    diameters, step_px = probe_diameters(probe), median_step_px(positions_px)
    return BeamFields(
        step_px=step_px,
        probe_fwhm_px=diameters.fwhm_px,
        probe_d90_px=diameters.d90_px,
        linear_overlap=None if step_px is None else 1 - step_px / diameters.d90_px,
        areal_oversampling=float(len(positions_px) * footprint_px2 / illuminated.sum()),
        illuminated_area_px2=int(illuminated.sum()),
        illuminated_share=float(light[illuminated].sum() / light.sum()),
    )


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
        Times the illuminated area it is the total number of photons times the share that falls on that area.
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
        Photons per exposure that were asked; None if there is no noise.
    mean_counts_photons : float, optional
        Real mean of the kept exposures; total and fluence are those of the dose without it.
    n_dark : int, optional
        How many of them hold no photon.
    incident_photons : float, optional
        Photons that an exposure of that dose is illuminated with.
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
    """Say in words that the real mean of kept exposures is not what was asked; None if it is, within what chance does.

    Parameters
    ----------
    dose_photons : float
        Photons per exposure that were asked.
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
        f"{sigma:.2g} over {n_kept} exposures; look at the brightness of single exposures"
    )
