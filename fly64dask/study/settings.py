"""Small parts of a study: how its field of view is cut, its random streams, and how overlap is measured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from fly64dask.base import Frozen
from fly64dask.study.quantities import LengthPx


class SplitRule(Frozen):
    """The rule that cuts the field of view: train below min + fraction (max - min), test at or above."""

    axis: Literal["y", "x"] = "y"
    fraction: float = Field(default=0.5, gt=0, lt=1)


# How the field of view is parted, or "none": it stays whole. Told apart by type, as doses are.
Splitting = Annotated[
    Annotated[SplitRule, Tag("cut")] | Annotated[Literal["none"], Tag("word")],
    Discriminator(lambda split: "word" if isinstance(split, str) else "cut"),
]


class Seeds(Frozen):
    """Every random stream of a study.

    `simulation` draws positions and photons, `subsampling` thins measured counts, `grouping` orders
    exposures into minibatches and, on streams of its own, parts counts into halves. A `fraction` view
    has a seed of its own. Defaults: the fly64 study design.
    """

    simulation: int = Field(default=42, ge=0, le=2**32 - 1)
    grouping: int = Field(default=123, ge=0, le=2**32 - 1)
    subsampling: int = Field(default=456, ge=0, le=2**32 - 1)


class OverlapMeasure(Frozen):
    """The measure of the overlap of discs around positions: K nearest neighbours, discs of one diameter.

    Without a diameter it is the probe's: that of the disc which holds 90 % of its power.
    """

    n_neighbours: int = Field(default=6, ge=1, le=64)
    diameter_px: LengthPx | None = None
