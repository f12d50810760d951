"""The scans of a study: rules by which the positions of simulated exposures are drawn, laid out or read."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fly64dask.base import Frozen
from fly64dask.study.quantities import MAX_EXPOSURES, MAX_LENGTH_PX, LengthPx, PathText, Pixels

ColumnName = Annotated[str, Field(min_length=1, max_length=200)]


class UniformScan(Frozen):
    """Positions drawn uniformly from a square, x before y, from NumPy's legacy generator.

    Parameters
    ----------
    kind : "uniform"
        Draw positions at random.
    n_exposures : int
        Number of positions.
    low_px, high_px : float
        Lowest and highest coordinate along both axes, px.
    """

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
    """Positions that are written in the study file.

    Parameters
    ----------
    kind : "listed"
        Take the positions that follow.
    positions_px : tuple of (float, float)
        The positions (y, x), px; two at least.
    """

    kind: Literal["listed"]
    positions_px: tuple[tuple[Pixels, Pixels], ...] = Field(min_length=2)


class FileScan(Frozen):
    """Positions in px from a `.csv`, `.txt`, `.npy` or `.npz` file.

    Parameters
    ----------
    kind : "file"
        Read positions from a file.
    path : str
        The file; a relative path starts at the study file.
    columns : (str, str)
        Names of y, then x: in the header of a text file, the fields of a structured `.npy`, or the arrays of an `.npz`.
    """

    kind: Literal["file"]
    path: PathText
    columns: tuple[ColumnName, ColumnName] = ("y_px", "x_px")


class PatternScan(Frozen):
    """A regular pattern of one step, as far as it lies in a field: a rectangle or a disc around a centre.

    Parameters
    ----------
    step_px : float
        Distance of neighbouring positions, or what comes near to it in a spiral, px.
    height_px, width_px : float, optional
        Sides of a rectangular field in which the positions lie, px.
    radius_px : float, optional
        Radius of a round field, px; instead of both sides.
    centre_px : (float, float)
        Centre (y, x) of the field, px.
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

    Parameters
    ----------
    kind : "raster"
        Lay positions out in rows and columns.
    jitter_px : float
        Largest random displacement of a position, in y and in x, px.
    """

    kind: Literal["raster"]
    jitter_px: Annotated[float, Field(ge=0, le=MAX_LENGTH_PX, allow_inf_nan=False)] = 0.0


class FermatSpiralScan(PatternScan):
    """Positions on a Fermat spiral, from its centre outwards: as many per area as a raster of the same step has.

    Parameters
    ----------
    kind : "fermat_spiral"
        Lay positions out on a spiral.
    """

    kind: Literal["fermat_spiral"]


class ConcentricScan(PatternScan):
    """A position in the centre, then rings a step apart; ring k has 5 k positions.

    Parameters
    ----------
    kind : "concentric"
        Lay positions out on rings.
    """

    kind: Literal["concentric"]


Scan = Annotated[
    UniformScan | ListedScan | FileScan | RasterScan | FermatSpiralScan | ConcentricScan,
    Field(discriminator="kind"),
]
