"""The scans of a study: rules by which the positions of simulated exposures are drawn, laid out or read."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fly64dask.base import Frozen
from fly64dask.study.quantities import MAX_EXPOSURES, MAX_LENGTH_PX, LengthPx, PathText, Pixels

ColumnName = Annotated[str, Field(min_length=1, max_length=200)]


class UniformScan(Frozen):
    """Positions drawn uniformly from a square, x before y, from NumPy's legacy generator."""

    kind: Literal["uniform"]
    n_exposures: int = Field(ge=1, le=MAX_EXPOSURES)
    low_px: Pixels
    high_px: Pixels

    @model_validator(mode="after")
    def _ordered(self) -> UniformScan:
        if not self.low_px < self.high_px:
            raise ValueError(f"low_px {self.low_px:g} is not below high_px {self.high_px:g}; swap or widen them")
        return self


class ListedScan(Frozen):
    """Positions written out in the study file, order (y, x), px."""

    kind: Literal["listed"]
    positions_px: tuple[tuple[Pixels, Pixels], ...] = Field(min_length=2)


class FileScan(Frozen):
    """Positions in px from a `.csv`, `.txt`, `.npy` or `.npz` file; a relative path starts at the study file.

    `columns` names y, then x: as the header of a text file has them, the fields of a structured `.npy`, or
    the arrays of an `.npz`.
    """

    kind: Literal["file"]
    path: PathText
    columns: tuple[ColumnName, ColumnName] = ("y_px", "x_px")


class PatternScan(Frozen):
    """A regular pattern of one step, as far as it lies in a field: a rectangle or a disc around a centre.

    `step_px` is the distance of neighbours, or what comes near to it; see each pattern. `height_px` and
    `width_px`, or `radius_px`, are of the field in which the positions lie; `centre_px` is (y, x).
    """

    step_px: LengthPx
    height_px: LengthPx | None = None
    width_px: LengthPx | None = None
    radius_px: LengthPx | None = None
    centre_px: tuple[Pixels, Pixels]

    @property
    def half_size_px(self) -> tuple[float, float]:
        """Half the height and width (y, x) of the field, px; the radius for a disc."""
        if self.radius_px is not None:
            return self.radius_px, self.radius_px
        assert self.height_px is not None and self.width_px is not None
        return self.height_px / 2, self.width_px / 2

    @model_validator(mode="after")
    def _one_field(self) -> PatternScan:
        sides = (self.height_px is not None, self.width_px is not None)
        if sides not in ((True, True), (False, False)) or (sides == (True, True)) == (self.radius_px is not None):
            raise ValueError("give either height_px and width_px, or radius_px")
        # Of the square around a round field, or the circle around a rectangle, as much as has to be laid out.
        n_laid_out = math.pi * (math.hypot(*self.half_size_px) / self.step_px) ** 2
        if n_laid_out > MAX_EXPOSURES:
            raise ValueError(
                f"step_px {self.step_px:g} lays out some {n_laid_out:.2g} positions, more than {MAX_EXPOSURES}; "
                "enlarge the step or shrink the field"
            )
        return self


class RasterScan(PatternScan):
    """Rows of positions a step apart, from the top; each row from the left.

    `jitter_px` moves each position by up to so much in y and in x.
    """

    kind: Literal["raster"]
    jitter_px: Annotated[float, Field(ge=0, le=MAX_LENGTH_PX, allow_inf_nan=False)] = 0.0


class FermatSpiralScan(PatternScan):
    """Positions on a Fermat spiral, from its centre outwards: as many per area as a raster of the same step has."""

    kind: Literal["fermat_spiral"]


class ConcentricScan(PatternScan):
    """A position in the centre, then rings a step apart; ring k has 5 k positions."""

    kind: Literal["concentric"]


Scan = Annotated[
    UniformScan | ListedScan | FileScan | RasterScan | FermatSpiralScan | ConcentricScan,
    Field(discriminator="kind"),
]
