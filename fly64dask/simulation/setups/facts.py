"""What a record says of the setup that its exposures were simulated in."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from fly64dask.base import Frozen, Quantities, Quantity
from fly64dask.study import Setup


class SetupFields(Frozen):
    """The setup of simulated exposures, absent where it is ideal, and what its detector did to them.

    The dose of exposures is the mean that an ideal detector would count. `mean_background_photons` is what a detector
    is expected to count beside it, and `saturated_share` the share of valid pixels that hold as much as they can.
    `unmasked_share` is that of pixels which measure nothing and which the engine takes for dark ones.
    """

    setup: Annotated[Setup | None, Quantities("setup:")] = None
    mean_background_photons: Annotated[
        float | None, Field(ge=0, allow_inf_nan=False), Quantity("expected background of an exposure", "photons")
    ] = None
    saturated_share: Annotated[float | None, Field(ge=0, le=1), Quantity("share of saturated pixels", "", "lower")] = (
        None
    )
    unmasked_share: Annotated[
        float | None, Field(gt=0, lt=1), Quantity("share of pixels without a measurement taken for dark", "", "lower")
    ] = None
