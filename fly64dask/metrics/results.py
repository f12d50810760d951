"""Records of a reconstruction's quality: how it was aligned, and what was measured then."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from fly64dask.base import UNIT_OF_RECORD, Frozen, Quantities, Quantity
from fly64dask.metrics.ring_correlation import Crossing

SplitBy = Literal["counts", "exposures"]


class Alignment(Frozen):
    """The alignment of a reconstruction to its reference, inside one area.

    aligned(y, x) = amplitude_scale exp(-i (phase_offset_rad + ramp_y y + ramp_x x)) recon(y - shift_y, x - shift_x)
    with y, x from the frame's first pixel. `shift_beyond_bound`: registration asked for more than `shift_bound_px` on
    an axis, so none was applied. The area has at least `illuminated_fraction` of the brightest pixel's light.
    """

    shift_y_px: Annotated[float, Quantity("shift along y", "px")] = Field(allow_inf_nan=False)
    shift_x_px: Annotated[float, Quantity("shift along x", "px")] = Field(allow_inf_nan=False)
    shift_bound_px: Annotated[float, Quantity("largest shift that is applied", "px")] = Field(gt=0, allow_inf_nan=False)
    shift_beyond_bound: bool
    phase_offset_rad: Annotated[float, Quantity("phase offset", "rad")] = Field(allow_inf_nan=False)
    ramp_y_rad_per_px: Annotated[float, Quantity("phase ramp along y", "rad/px")] = Field(allow_inf_nan=False)
    ramp_x_rad_per_px: Annotated[float, Quantity("phase ramp along x", "rad/px")] = Field(allow_inf_nan=False)
    amplitude_scale: Annotated[float, Quantity("amplitude scale")] = Field(ge=0, allow_inf_nan=False)
    illuminated_fraction: Annotated[float, Quantity("fraction of the brightest illumination inside the area")] = Field(
        gt=0, le=1
    )


class ImageMetrics(Frozen):
    """The difference of a real image from the truth's; a phase in rad, an amplitude in transmission.

    `peak` is the range, maximum less minimum, of the whole truth's image, in the same unit:
    PSNR and SSIM refer to it. PSNR is absent if it is infinite or the truth has no range; SSIM if
    no window fits into the area; MS-SSIM if fewer than two of its levels have windows there.
    """

    rmse: Annotated[float, Quantity("error, root mean square", UNIT_OF_RECORD, "lower")] = Field(
        ge=0, allow_inf_nan=False
    )
    mae: Annotated[float, Quantity("error, mean absolute", UNIT_OF_RECORD, "lower")] = Field(ge=0, allow_inf_nan=False)
    peak: Annotated[float, Quantity("range of the truth", UNIT_OF_RECORD)] = Field(ge=0, allow_inf_nan=False)
    psnr_db: Annotated[float | None, Quantity("PSNR", "dB", "higher")] = Field(default=None, allow_inf_nan=False)
    ssim: Annotated[float | None, Quantity("SSIM", "", "higher")] = Field(default=None, ge=-1, le=1)
    ms_ssim: Annotated[float | None, Quantity("MS-SSIM", "", "higher")] = Field(default=None, ge=0, le=1)
    ms_ssim_levels: Annotated[int | None, Quantity("MS-SSIM, levels")] = Field(default=None, ge=2, le=5)


class RingMetrics(Frozen):
    """The frequencies below Nyquist at which the ring correlation with the truth crosses half a bit, a bit, 0.5."""

    half_bit: Annotated[Crossing | None, Quantities("at half a bit,")] = None
    one_bit: Annotated[Crossing | None, Quantities("at one bit,")] = None
    half: Annotated[Crossing | None, Quantities("at 0.5,")] = None


class ObjectMetrics(Frozen):
    """The difference of an aligned object from the truth; `frc` is absent if the area is below 4 px wide or high."""

    phase: Annotated[ImageMetrics, Quantities("phase", "rad")]
    amplitude: Annotated[ImageMetrics, Quantities("amplitude", "transmission")]
    frc: Annotated[RingMetrics | None, Quantities("ring correlation with the truth")] = None


class TruthMetrics(ObjectMetrics):
    """The difference of a reconstruction from the truth inside the illuminated area, and that of an empty object.

    The empty object was aligned in the same way. `no_better_than_empty` says that its phase error is
    not larger: as far as the phase goes, nothing was reconstructed.
    """

    phase_rmse_rad: Annotated[float, Quantity("phase error against the truth", "rad", "lower")] = Field(
        ge=0, allow_inf_nan=False
    )
    empty_phase_rmse_rad: Annotated[float, Quantity("phase error of an empty object", "rad")] = Field(
        ge=0, allow_inf_nan=False
    )
    no_better_than_empty: bool
    n_pixels: Annotated[int, Quantity("compared pixels", "px")] = Field(ge=1)
    empty: Annotated[ObjectMetrics, Quantities("empty object:", rated=False)]
    alignment: Annotated[Alignment, Quantities("alignment:")]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        """The headline repeats what the parts say; it must not say anything else."""
        if (self.phase_rmse_rad, self.empty_phase_rmse_rad) != (self.phase.rmse, self.empty.phase.rmse):
            raise ValueError("phase_rmse_rad or empty_phase_rmse_rad is not the rmse of its phase")
        if self.no_better_than_empty != (self.phase_rmse_rad >= self.empty_phase_rmse_rad):
            raise ValueError("no_better_than_empty does not follow from the phase errors")
        return self


class ReferenceMetrics(Frozen):
    """The difference of a reconstruction of a measured scan from a reference where both were illuminated, once aligned.

    The reference is a reconstruction too, and no truth: what both have wrong does not count. `half_bit` and `one_bit`
    are where their ring correlation falls below half a bit a pixel or one; absent if it stays above up to Nyquist.
    Photons that both were made from are noise that both share, so that the correlation is at least what independent
    data would give. `is_registered` is False if the two lie further apart than is corrected; `missing` says why there
    are no numbers.
    """

    name: str
    phase_rmse_rad: Annotated[float | None, Quantity("phase difference from the reference", "rad", "lower")] = None
    over_empty: Annotated[
        float | None, Quantity("phase difference from the reference over that of an empty object", "", "lower")
    ] = None
    phase_ssim: Annotated[float | None, Quantity("SSIM of the phase with the reference", "", "higher")] = None
    amplitude_rmse: Annotated[
        float | None, Quantity("amplitude difference from the reference", "transmission", "lower")
    ] = None
    n_pixels: Annotated[int | None, Quantity("pixels compared with the reference", "px")] = None
    half_bit: Annotated[Crossing | None, Quantities("ring correlation with the reference at half a bit,")] = None
    one_bit: Annotated[Crossing | None, Quantities("ring correlation with the reference at one bit,")] = None
    is_registered: bool = True
    missing: str | None = None


class OriginalImageMetrics(Frozen):
    """The metrics of one image by the original study's conventions; a phase in rad, an amplitude in transmission.

    `psnr_peak_255_db` is larger by 20 log10(255 / range) than a PSNR that refers to the range.
    """

    mae: float = Field(ge=0, allow_inf_nan=False)
    mse: float = Field(ge=0, allow_inf_nan=False)
    psnr_peak_255_db: float | None = Field(default=None, allow_inf_nan=False)
    ssim: float = Field(ge=-1, le=1)
    ms_ssim: float = Field(ge=0, le=1)


class OriginalMetrics(Frozen):
    """A reconstruction by the original study's conventions, on the rectangle that the kept positions span."""

    phase: OriginalImageMetrics
    amplitude: OriginalImageMetrics
    n_rows: int
    n_columns: int


class HalfSetMetrics(Frozen):
    """The agreement of two reconstructions of independent halves; absent numbers were not computed.

    `resolution_px` is that at half a bit a pixel, or 1 where the halves agree up to Nyquist: pixels show nothing finer.
    `half_bit` and `one_bit` are where the halves' correlation falls below half a bit a pixel or one, `half` where that
    of two full data sets would fall below 0.5, `against_truth` where that of the full data's
    object with the truth would; absent too if they stay above up to Nyquist. `missing` says why
    there are no halves.
    """

    split_by: SplitBy
    n_pixels: Annotated[int | None, Quantity("compared pixels", "px")] = None
    resolution_px: Annotated[float | None, Quantity("resolution (half a bit)", "px", "lower")] = None
    resolution_nm: Annotated[float | None, Quantity("resolution (half a bit)", "nm", "lower")] = None
    half_bit: Annotated[Crossing | None, Quantities("correlation at half a bit,")] = None
    one_bit: Annotated[Crossing | None, Quantities("correlation at one bit,")] = None
    half: Annotated[Crossing | None, Quantities("correlation of full sets at 0.5,")] = None
    against_truth: Annotated[Crossing | None, Quantities("expected correlation with the truth at 0.5,")] = None
    missing: str | None = None
