"""Makes the images of one cell from the arrays of its reconstruction: aligned, cropped and scaled for comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.metrics import Criterion, align, remove_phase_ramp
from fly64dask.report.content import PictureKey, Scale
from fly64dask.scan import bounding_box, crop_to_frame, illuminated_area, illumination_map

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.report.content import ColourMap, CurveKey

# Percentage of pixels that a scale spans (our choice): the few brightest would leave the others without contrast.
SPANNED_PERCENT = 99.5
# Smallest half-width of a scale of phases, rad (our choice): that of an empty object would be 0.
LEAST_PHASE_LIMIT_RAD = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """`values` (y, x) float64, NaN where there are none; `origin_px` is the scan-frame (y, x) of the first pixel."""

    key: PictureKey
    values: NDArray[np.float64]
    scale: Scale
    origin_px: tuple[int, int]
    cyclic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """`x` (k,) and `y` (k,) float64; for a ring correlation also the points (x, y) where it first falls below each
    criterion.
    """

    key: CurveKey
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    crossings: tuple[tuple[Criterion, tuple[float, float]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInArea:
    """An object, `values` (y, x) complex, cut to the box of its illuminated area, `inside` (y, x) bool.

    `is_aligned` says whether it is aligned to the truth, so that it can be compared with its repeats directly.
    """

    values: NDArray[np.number]
    inside: NDArray[np.bool_]
    is_aligned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """The box around the illuminated area of a reconstruction; `area` (Y, X) is on the reconstruction's grid."""

    area: NDArray[np.bool_]
    origin_px: tuple[int, int]

    def image(self, key: PictureKey, values: NDArray[np.number], scale: Scale, *, inside: NDArray[np.bool_]) -> Image:
        """Crop values (Y, X) to the box; NaN outside of `inside`."""
        rows, columns = bounding_box(self.area)
        corner = (self.origin_px[0] + rows.start, self.origin_px[1] + columns.start)
        cropped = np.where(inside, values, np.nan)[rows, columns]
        return Image(key=key, values=cropped, scale=scale, origin_px=corner, cyclic=scale.unit == "rad")

    def cut(self, values: NDArray[np.number], inside: NDArray[np.bool_], *, is_aligned: bool = False) -> ObjectInArea:
        """Crop an object (Y, X) to the box; only the pixels of `inside` count."""
        box = bounding_box(self.area)
        return ObjectInArea(values=values[box], inside=inside[box], is_aligned=is_aligned)


def object_images(
    arrays: Mapping[str, NDArray[np.number]],
    origin_px: tuple[int, int],
    positions_px: NDArray[np.float64],
    probe_guess: NDArray[np.complex64],
    *,
    object_truth: NDArray[np.complex64] | None,
    phase_limit_rad: float,
) -> tuple[list[Image], ObjectInArea]:
    """Make the images of a cell's object, inside the illuminated area, and give the object there.

    These are the phase (from minus to plus a limit) and the amplitude; those of the truth (scan frame), if there is
    one, and the differences; the illumination; and the difference of the half sets' objects. `arrays` has
    `object_recon` (slice, Y, X), of which the first slice is shown, and `half_objects` (2, Y, X) if there are any;
    `origin_px` is the scan-frame (y, x) of their first pixel.
    """
    recon = arrays["object_recon"][0]
    illumination = illumination_map(probe_guess, positions_px, recon.shape, origin_px)
    frame = _Frame(area=illuminated_area(illumination), origin_px=origin_px)
    relative = Scale(low=0, high=1, colours="magma", unit="")
    everywhere = np.ones_like(frame.area)
    if object_truth is None:
        images, area = _images_without_truth(recon, frame, phase_limit_rad), frame.cut(recon, frame.area)
    else:
        images, area = _images_beside_truth(recon, object_truth, frame, phase_limit_rad)
    images.append(frame.image("illumination", illumination / illumination.max(), relative, inside=everywhere))
    halves = arrays.get("half_objects")
    if halves is not None:
        difference_rad = remove_phase_ramp(halves[0] * np.conj(halves[1]), frame.area)
        scale = _phase_scale(phase_limit_rad, "RdBu_r")
        images.append(frame.image("half_difference", difference_rad, scale, inside=frame.area))
    return images, area


def _images_without_truth(recon: NDArray[np.complex64], frame: _Frame, phase_limit_rad: float) -> list[Image]:
    area = frame.area
    amplitude = np.abs(recon) / np.abs(recon[area]).mean()
    of_phase = _phase_scale(phase_limit_rad, "twilight_shifted")
    of_amplitude = Scale(low=0, high=2, colours="cividis", unit="of the mean")
    return [
        frame.image("phase", remove_phase_ramp(recon, area), of_phase, inside=area),
        frame.image("amplitude", amplitude, of_amplitude, inside=area),
    ]


def _images_beside_truth(
    recon: NDArray[np.complex64], object_truth: NDArray[np.complex64], frame: _Frame, phase_limit_rad: float
) -> tuple[list[Image], ObjectInArea]:
    """Make phase and amplitude of reconstruction, truth and difference, all aligned as for the phase error."""
    height, width = recon.shape
    reference, is_known = crop_to_frame(object_truth, (height, width), frame.origin_px)
    area = frame.area & is_known
    aligned = align(recon, reference, area).image
    phase_error = np.angle(aligned * np.conj(reference))
    # The mean phase of the truth, which no data determine, would only use up the scale.
    truth_phase = np.angle(reference * np.exp(-1j * np.angle(reference[area].sum())))
    phase = np.angle(np.exp(1j * (truth_phase + phase_error)))
    amplitude, truth_amplitude = np.abs(aligned), np.abs(reference)
    top = float(np.percentile(np.abs(object_truth), SPANNED_PERCENT))
    of_amplitude = Scale(low=0, high=1.2 * top, colours="cividis", unit="transmission")
    of_error = Scale(low=-0.5 * top, high=0.5 * top, colours="RdBu_r", unit="transmission")
    of_phase = _phase_scale(phase_limit_rad, "twilight_shifted")
    shown: tuple[tuple[PictureKey, NDArray[np.number], Scale], ...] = (
        ("phase", phase, of_phase),
        ("phase_truth", truth_phase, of_phase),
        ("phase_difference", phase_error, _phase_scale(phase_limit_rad, "RdBu_r")),
        ("amplitude", amplitude, of_amplitude),
        ("amplitude_truth", truth_amplitude, of_amplitude),
        ("amplitude_difference", amplitude - truth_amplitude, of_error),
    )
    images = [frame.image(key, values, scale, inside=area) for key, values, scale in shown]
    return images, frame.cut(aligned, area, is_aligned=True)


def probe_images(probe: NDArray[np.complex64], *, unit: str = "√photons") -> list[Image]:
    """Make the images of a probe (n_opr, n_modes, H, W): amplitude of all modes, and phase of the first where it is
    bright.
    """
    modes = probe[0]
    amplitude = np.sqrt((np.abs(modes) ** 2).sum(axis=0, dtype=np.float64))
    phase = np.where(illuminated_area(np.abs(modes[0]) ** 2), np.angle(modes[0]), np.nan)
    of_amplitude = Scale(low=0, high=float(amplitude.max()) or 1, colours="viridis", unit=unit)
    return [
        Image(key="probe_amplitude", values=amplitude, scale=of_amplitude, origin_px=(0, 0)),
        Image(
            key="probe_phase",
            values=phase,
            scale=_phase_scale(math.pi, "twilight_shifted"),
            origin_px=(0, 0),
            cyclic=True,
        ),
    ]


def phase_limit(phase_rad: NDArray[np.float64]) -> float:
    """Find the limit, rad, of a scale around 0 that spans nearly all phases: rounded up to a tenth, at most pi."""
    spanned = float(np.nanpercentile(np.abs(np.angle(np.exp(1j * phase_rad))), SPANNED_PERCENT))
    return min(math.pi, max(LEAST_PHASE_LIMIT_RAD, math.ceil(10 * spanned) / 10))


def _phase_scale(limit_rad: float, colours: ColourMap) -> Scale:
    return Scale(low=-limit_rad, high=limit_rad, colours=colours, unit="rad")
