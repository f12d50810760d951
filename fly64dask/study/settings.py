"""Small parts of a study: how its field of view is cut, its random streams, and how overlap is measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from fly64dask.base import Frozen
from fly64dask.study.quantities import LengthPx


class SplitRule(Frozen):
    """The rule that cuts the field of view in two: train lies below min + fraction (max - min), test at or above.

    Parameters
    ----------
    axis : "y" or "x"
        Axis along which positions are compared with the cut.
    fraction : float
        Place of the cut between the lowest (0) and the highest (1) position.
    """

    axis: Literal["y", "x"] = "y"
    fraction: float = Field(default=0.5, gt=0, lt=1)


# How the field of view is parted, or "none": it stays whole. Told apart by type, as doses are.
Splitting = Annotated[
    Annotated[SplitRule, Tag("cut")] | Annotated[Literal["none"], Tag("word")],
    Discriminator(lambda split: "word" if isinstance(split, str) else "cut"),
]


class Seeds(Frozen):
    """The seeds of a study's random streams; a `fraction` view has one of its own. Defaults: the fly64 study design.

    Parameters
    ----------
    simulation : int
        Seed of positions, photons and what a setup draws.
    grouping : int
        Seed of the order of exposures in minibatches and, on streams of its own, of the division of counts into halves.
    subsampling : int
        Seed of the thinning of measured counts to lower doses.
    """

    simulation: int = Field(default=42, ge=0, le=2**32 - 1)
    grouping: int = Field(default=123, ge=0, le=2**32 - 1)
    subsampling: int = Field(default=456, ge=0, le=2**32 - 1)


class OverlapMeasure(Frozen):
    """The measure of the overlap of discs around positions.

    Parameters
    ----------
    n_neighbours : int
        Nearest neighbours over which the overlap of a position is averaged.
    diameter_px : float, optional
        Diameter of the discs, px; if omitted that of the disc which holds 90 % of the probe's power.
    """

    n_neighbours: int = Field(default=6, ge=1, le=64)
    diameter_px: LengthPx | None = None
