"""A prediction, before anything is reconstructed, of whether kept positions, probe and dose determine the unknowns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from fly64dask.base import Frozen, Quantity
from fly64dask.scan.degenerate import is_guarded, optimises_probe
from fly64dask.scan.illumination import illuminated_area, total_intensity
from fly64dask.scan.positions import object_frame, patch_corners_px

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.study import Recipe

Prediction = Literal["well_determined", "marginal", "underdetermined"]

# Our choice and a heuristic, compared with 84 cells (docs/explanation/identifiability.md). Fewer equations than
# unknowns determine nothing; twice as many are what a single pattern with a known support needs as well. Where the
# probe has been only once, nothing connects a pattern with its neighbours, so at least half of the area must be visited
# twice.
MIN_LIT_PER_UNKNOWN, GOOD_LIT_PER_UNKNOWN = 1.0, 2.0
GOOD_COVERED_TWICE = 0.5


class Identifiability(Frozen):
    """The number of knowns and unknowns of a cell, and a heuristic prediction of whether the knowns suffice.

    Areas count the object pixels inside the probe's footprint at one or more kept positions; the footprint consists of
    the pixels with at least a tenth of the intensity of the probe's brightest one. `n_intensities` counts the valid
    detector pixels of all kept exposures; lit pixels are those expected to hold a photon if the object were empty.
    `n_unknowns` counts the real and imaginary parts of the covered object and, if the engine may change it, of the
    probe, the weights of further OPR modes, and both coordinates of refined positions. Without noise every pixel counts
    as lit, and there is no number of photons.
    """

    prediction: Prediction
    n_intensities: Annotated[int, Quantity("measured intensities")]
    n_lit_intensities: Annotated[float, Quantity("intensities expected to hold a photon")]
    n_unknowns: Annotated[int, Quantity("unknowns")]
    intensities_per_unknown: Annotated[float, Quantity("intensities per unknown", "", "higher")]
    lit_intensities_per_unknown: Annotated[float, Quantity("nonzero intensities per unknown", "", "higher")]
    photons_per_unknown: Annotated[float | None, Quantity("photons per unknown", "photons", "higher")] = None
    footprint_px2: Annotated[int, Quantity("footprint of the probe", "px²")]
    covered_once_px2: Annotated[int, Quantity("area covered at least once", "px²")]
    covered_twice_px2: Annotated[int, Quantity("area covered at least twice", "px²")]
    covered_thrice_px2: Annotated[int, Quantity("area covered at least three times", "px²")]
    covered_twice_fraction: Annotated[float, Quantity("fraction covered at least twice", "", "higher")]
    mean_coverage: Annotated[float, Quantity("mean number of visits", "", "higher")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Counts of how often the probe's footprint visits the object, the same at every dose.

    `covered_px2` holds the number of object pixels that it visits at least once, twice and three times.
    """

    n_exposures: int
    footprint_px2: int
    covered_px2: tuple[int, int, int]
    mean_coverage: float


def measure_coverage(positions_px: NDArray[np.float64], probe: NDArray[np.complex64]) -> Coverage:
    """Count how often each object pixel lies in the probe's footprint.

    Parameters
    ----------
    positions_px : (n, 2) float64
        Kept positions, patch centres at index N / 2, order (y, x), px; taken to the nearest pixel.
    probe : (..., H, W) complex64
        Leading axes are summed.
    """
    height, width = probe.shape[-2:]
    footprint = illuminated_area(total_intensity(probe))
    shape, origin = object_frame(positions_px, (height, width))
    visits = np.zeros(shape, dtype=np.int32)
    for y, x in patch_corners_px(positions_px, (height, width), origin):
        visits[y : y + height, x : x + width] += footprint
    covered = visits > 0
    return Coverage(
        n_exposures=len(positions_px),
        footprint_px2=int(footprint.sum()),
        covered_px2=(int(covered.sum()), int((visits > 1).sum()), int((visits > 2).sum())),
        mean_coverage=float(visits[covered].mean()),
    )


def lit_fraction(
    probe: NDArray[np.complex64], dose_photons: float | None, valid_pixels: NDArray[np.bool_] | None = None
) -> float:
    """Compute the fraction of a pattern's valid pixels that would be expected to hold a photon if the object were
    empty.

    A Poisson count of mean m is 0 with probability exp(-m), so the fraction is the mean of 1 - exp(-dose p) over the
    pixels of the far field of a probe (..., H, W), each of which gets a fraction p of the photons. An object scatters
    light away from that far field and lights more pixels, so the result errs on the careful side. Without a dose there
    is no noise, every pixel tells its intensity, and the fraction is 1. `valid_pixels` (H, W) bool has the zero
    frequency at the centre, and the dose counts the photons that fall on them; None stands for all pixels.
    """
    if dose_photons is None:
        return 1.0
    far_field = total_intensity(np.fft.fft2(probe))
    if valid_pixels is not None:
        far_field = far_field[np.fft.ifftshift(valid_pixels)]
    return float(np.mean(-np.expm1(-dose_photons * far_field / far_field.sum())))


def judge(
    coverage: Coverage,
    *,
    probe_shape: tuple[int, ...],
    n_valid_pixels: int,
    lit: float,
    dose_photons: float | None,
    probe_is_unknown: bool,
    n_further_unknowns: int = 0,
) -> Identifiability:
    """Compare what is measured with what is unknown; `lit` is from `lit_fraction`, `probe_shape` is (..., H, W).

    A cell is `underdetermined` with less than 1 lit intensity per unknown, or if nothing is covered twice; it is
    `well_determined` with at least 2 and if half of the covered area is covered twice; else it is `marginal`. This is
    our choice and a heuristic: it does not look at how much each equation says. A well determined cell is still noisy
    if few photons fall on each unknown.
    """
    once, twice, thrice = coverage.covered_px2
    n_intensities = coverage.n_exposures * n_valid_pixels
    n_unknowns = 2 * once + (2 * int(np.prod(probe_shape)) if probe_is_unknown else 0) + n_further_unknowns
    lit_ratio, twice_fraction = lit * n_intensities / n_unknowns, twice / once
    prediction: Prediction = "marginal"
    if lit_ratio < MIN_LIT_PER_UNKNOWN or not twice:
        prediction = "underdetermined"
    elif lit_ratio >= GOOD_LIT_PER_UNKNOWN and twice_fraction >= GOOD_COVERED_TWICE:
        prediction = "well_determined"
    return Identifiability(
        prediction=prediction,
        n_intensities=n_intensities,
        n_lit_intensities=lit * n_intensities,
        n_unknowns=n_unknowns,
        intensities_per_unknown=n_intensities / n_unknowns,
        lit_intensities_per_unknown=lit_ratio,
        photons_per_unknown=None if dose_photons is None else dose_photons * coverage.n_exposures / n_unknowns,
        footprint_px2=coverage.footprint_px2,
        covered_once_px2=once,
        covered_twice_px2=twice,
        covered_thrice_px2=thrice,
        covered_twice_fraction=twice_fraction,
        mean_coverage=coverage.mean_coverage,
    )


def predict_identifiability(
    positions_px: NDArray[np.float64],
    probe: NDArray[np.complex64],
    recipe: Recipe,
    *,
    dose_photons: float | None,
    coverage: Coverage | None = None,
    valid_pixels: NDArray[np.bool_] | None = None,
) -> Identifiability:
    """Predict for one cell whether its exposures can determine what it asks for.

    Parameters
    ----------
    positions_px : (n, 2) float64
        Kept positions, order (y, x), px.
    probe : (n_opr, n_modes, H, W) complex64
        Starting probe.
    recipe : Recipe
        Says whether the probe is an unknown, and how many modes it has.
    dose_photons : float or None
        Expected photons per exposure; None without noise.
    coverage : Coverage, optional
        The coverage of these positions, if it is known already: cells of other doses have the same.
    valid_pixels : (H, W) bool, optional
        Where the detector measures, zero frequency at the centre; everywhere if omitted.
    """
    guarded = is_guarded(positions_px, recipe)
    n_opr = 1 if guarded else recipe.n_opr_modes(len(probe))
    return judge(
        coverage or measure_coverage(positions_px, probe),
        probe_shape=(n_opr, recipe.probe_modes or probe.shape[1], *probe.shape[2:]),
        n_valid_pixels=probe.shape[-2] * probe.shape[-1] if valid_pixels is None else int(valid_pixels.sum()),
        lit=lit_fraction(probe, dose_photons, valid_pixels),
        dose_photons=dose_photons,
        probe_is_unknown=optimises_probe(positions_px, recipe),
        n_further_unknowns=len(positions_px) * (n_opr - 1 + 2 * (recipe.refine_positions and not guarded)),
    )
