"""The views of a study: rules by which exposures of a split are kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from fly64dask.base import Frozen
from fly64dask.study.quantities import MAX_EXPOSURES, MIN_LENGTH_PX, LengthPx, SafeName


class BaselineView(Frozen):
    """A view that keeps every exposure.

    Parameters
    ----------
    name : str
        Name of the view in tables and directories.
    rule : "baseline"
        Keep all exposures of the split.
    """

    name: SafeName
    rule: Literal["baseline"]


class SpacingView(Frozen):
    """A view that keeps exposures which lie at least a threshold apart.

    Give `threshold_px`, or `array_overlap` f and `patch_size_px` N: the threshold is then (1 - f) N, the definition of
    the fly64 study. The probe is narrower than its array, so the beams of two neighbours overlap by less than f.

    Parameters
    ----------
    name : str
        Name of the view in tables and directories.
    rule : "min_spacing"
        Keep exposures that lie at least a threshold apart.
    threshold_px : float, optional
        Smallest distance of two kept positions, px.
    array_overlap : float, optional
        Fraction of the array's side that two arrays at the threshold have in common, 0 to 1.
    patch_size_px : int, optional
        Side of the array, px.
    """

    name: SafeName
    rule: Literal["min_spacing"]
    threshold_px: LengthPx | None = None
    array_overlap: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] | None = None
    patch_size_px: Annotated[int, Field(ge=1, le=65536)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> SpacingView:
        by_overlap = self.array_overlap is not None and self.patch_size_px is not None
        partial = (self.array_overlap is None) != (self.patch_size_px is None)
        if partial or by_overlap == (self.threshold_px is not None):
            raise ValueError("give either threshold_px, or both array_overlap and patch_size_px")
        if self.spacing_threshold_px < MIN_LENGTH_PX:
            raise ValueError(
                f"array_overlap {self.array_overlap!r} leaves a spacing of {self.spacing_threshold_px:g} px, "
                f"needed at least {MIN_LENGTH_PX:g} px; lower it"
            )
        return self

    @property
    def spacing_threshold_px(self) -> float:
        """Minimum spacing in px."""
        if self.threshold_px is not None:
            return self.threshold_px
        assert self.array_overlap is not None and self.patch_size_px is not None
        # (1 - 0.7) 128 is 38.400000000000006 in binary; 1e-9 px is far below any stage.
        return round((1.0 - self.array_overlap) * self.patch_size_px, 9)


class StrideView(Frozen):
    """A view that keeps every n-th exposure of the split, in the order in which they were taken.

    Parameters
    ----------
    name : str
        Name of the view in tables and directories.
    rule : "stride"
        Keep every n-th exposure.
    every : int
        The n, at least 2.
    offset : int
        Number of the first kept exposure, from 0; below `every`.
    """

    name: SafeName
    rule: Literal["stride"]
    every: int = Field(ge=2, le=MAX_EXPOSURES)
    offset: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _offset_within_a_stride(self) -> StrideView:
        if self.offset >= self.every:
            raise ValueError(f"offset {self.offset} is not below every = {self.every}; give 0 to {self.every - 1}")
        return self


class FractionView(Frozen):
    """A view that keeps a random fraction of the split's exposures.

    Of two views with one seed the smaller is a part of the larger.

    Parameters
    ----------
    name : str
        Name of the view in tables and directories.
    rule : "fraction"
        Keep a random fraction of the exposures.
    fraction : float
        Fraction of the exposures to keep, between 0 and 1.
    seed : int
        Seed of this view alone, so that two views may be two draws of one fraction.
    """

    name: SafeName
    rule: Literal["fraction"]
    fraction: float = Field(gt=0, lt=1)
    seed: int = Field(default=0, ge=0, le=2**32 - 1)


class FirstView(Frozen):
    """A view that keeps the exposures of the split that were taken first.

    Parameters
    ----------
    name : str
        Name of the view in tables and directories.
    rule : "first"
        Keep the first exposures.
    n_exposures : int
        Number of exposures to keep.
    """

    name: SafeName
    rule: Literal["first"]
    n_exposures: int = Field(ge=1, le=MAX_EXPOSURES)


View = Annotated[
    BaselineView | SpacingView | StrideView | FractionView | FirstView,
    Field(discriminator="rule"),
]
