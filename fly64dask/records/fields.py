"""Groups of fields that several records of a cell share, so that each fact is declared once.

A record lists its groups from right to left: pydantic puts the fields of the last base first.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from fly64dask.base import FailureKind, Frozen, Quantities, Quantity
from fly64dask.metrics import HalfSetMetrics, TruthMetrics
from fly64dask.reconstruction import StoppingFacts
from fly64dask.scan import FluenceFields
from fly64dask.simulation import SetupFields
from fly64dask.study import ForwardModel, Remedy

# Of an attempt that was committed; a record that cannot be read is `damaged`.
AttemptState = Literal["completed", "failed", "interrupted", "skipped"]
State = AttemptState | Literal["damaged"]


def state_of(kind: FailureKind | None) -> AttemptState:
    """Name the state of a cell by the kind of the failure that its attempt ended with; None if it is completed.

    Who stops a run fails no cell: it is interrupted, and the next run goes on with it.
    """
    if kind is None:
        return "completed"
    if kind is FailureKind.INTERRUPTED:
        return "interrupted"
    return "skipped" if kind is FailureKind.NOT_SELECTABLE else "failed"


class EndingFields(Frozen):
    """The end of an attempt at a cell, and the remedy with which it was made."""

    state: State
    attempt: int | None = Field(default=None, ge=1)
    failure_kind: FailureKind | None = None
    error: str | None = None
    remedy: Remedy | None = None


class ExposureFields(SetupFields, FluenceFields):
    """The exposures that a cell keeps, how much they overlap and what light they have. A value not known is absent.

    `forward_model` is that of a simulation: `grid`, or `fine_2` and `fine_4` on a finer grid than the detector's.

    `image_overlap` and `group_overlap` are of discs around the positions, of the study's or the probe's diameter: the
    mean share of a disc's area that another covers, over its nearest neighbours, or over all closer than the diameter.
    """

    forward_model: ForwardModel | None = None
    n_exposures: Annotated[int | None, Quantity("exposures of the split")] = None
    n_kept: Annotated[int | None, Quantity("kept exposures")] = None
    image_overlap: Annotated[
        float | None, Field(ge=0, le=1), Quantity("disc overlap with the nearest neighbours", "", "higher")
    ] = None
    group_overlap: Annotated[
        float | None, Field(ge=0, le=1), Quantity("disc overlap with all neighbours", "", "higher")
    ] = None


class ReconstructionFields(Frozen):
    """The engine's work, and the numbers measured of its reconstruction. A value that was not computed is absent."""

    n_epochs: Annotated[int | None, Quantity("epochs")] = None
    final_loss: Annotated[
        float | None,
        Field(allow_inf_nan=False),
        Quantity("last loss (the engine's own; does not measure quality)", "engine"),
    ] = None
    late_loss_fall: Annotated[
        float | None,
        Field(le=1, allow_inf_nan=False),
        Quantity("fall of the loss from the third to the last quarter of the epochs"),
    ] = None
    device: str | None = None
    underdetermined: bool | None = None
    stopping: Annotated[StoppingFacts | None, Quantities("")] = None
    metrics: Annotated[TruthMetrics | None, Quantities("")] = None
    metrics_seconds: Annotated[
        float | None, Field(ge=0, allow_inf_nan=False), Quantity("time taken by the metrics", "s")
    ] = None
    position_drift_px: Annotated[
        float | None,
        Field(ge=0, allow_inf_nan=False),
        Quantity("how far refined positions moved, root mean square", "px"),
    ] = None
    half_sets: Annotated[HalfSetMetrics | None, Quantities("half sets:")] = None
