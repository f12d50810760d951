"""Selects the exposures of a split that a view keeps, and records how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from fly64dask.base import Frozen, NotSelectableError, Quantity, counted
from fly64dask.scan.positions import bounding_box_area_px2
from fly64dask.scan.spacing import acceptance_needed, disc_area_px2, keep_isolated, keep_spaced
from fly64dask.study import BaselineView, FirstView, FractionView, SpacingView, StrideView

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fly64dask.study import View

    Keep = Callable[[NDArray[np.float64], float], NDArray[np.int64]]

Strategy = Literal["direct", "greedy", "stride", "fraction", "first"]


class SelectionFields(Frozen):
    """The selection of a view's exposures, by the names of the original study. A baseline has none of these fields.

    Rates are fractions of the split. Only a view with a spacing has a threshold, a bound and a minimum.
    """

    selection_strategy: Strategy | None = None
    acceptance_rate: Annotated[float | None, Quantity("fraction of the split that the view keeps")] = None
    spacing_threshold: Annotated[float | None, Quantity("spacing threshold", "px")] = None
    n_accepted: int | None = None
    n_rejected: int | None = None
    geometry_acceptance_bound: float | None = None
    effective_min_acceptance: float | None = None


class SelectionMetadata(SelectionFields):
    """The selection of a view other than a baseline."""

    overlap_view: str
    selection_strategy: Strategy
    acceptance_rate: float
    n_accepted: int
    n_rejected: int
    source: Literal["scan_positions"] = "scan_positions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The exposures that one view keeps of one split.

    `kept` holds (k,) int64 indices into the split, ascending; a baseline has no metadata.
    """

    kept: NDArray[np.int64]
    metadata: SelectionMetadata | None


def select(positions_px: NDArray[np.float64], view: View) -> Selection:
    """Keep a view's exposures.

    Parameters
    ----------
    positions_px : (n, 2) float64
        Positions of one split, order (y, x), px, in the order they were taken.
    view : View
        The rule. A view with a spacing keeps exposures by the direct strategy if that keeps enough (see
        `acceptance_needed`), else by the greedy one.

    Raises
    ------
    NotSelectableError
        If the rule keeps nothing, or fewer than it asks for. For a view with a spacing: if neither strategy keeps the
        effective minimum; the message has both rates.
    """
    n_exposures = len(positions_px)
    match view:
        case BaselineView():
            return Selection(kept=np.arange(n_exposures, dtype=np.int64), metadata=None)
        case SpacingView():
            return _select_spaced(positions_px, view)
        case StrideView():
            return _selected(view, np.arange(view.offset, n_exposures, view.every), n_exposures)
        case FractionView():
            return _selected(view, _draw_share(n_exposures, view), n_exposures)
        case FirstView():
            if view.n_exposures > n_exposures:
                raise NotSelectableError(
                    f"select view {view.name!r}: needed the first {counted(view.n_exposures, 'exposure')}, the split "
                    f"has {n_exposures}",
                    remedy="lower the view's n_exposures, or scan more",
                )
            return _selected(view, np.arange(view.n_exposures), n_exposures)


def rule_and_advice(selection: SelectionMetadata | None) -> tuple[str, str]:
    """Describe for messages the rule by which a view keeps exposures, and what would keep more of them."""
    if selection is None:
        return "of the baseline", "scan more"
    if selection.spacing_threshold is None:
        return f"by rule {selection.selection_strategy}", "change the view so that it keeps more"
    return f"at >= {selection.spacing_threshold:g} px", "lower the spacing threshold"


def expected_exposures(view: View, n_exposures: int, area_px2: float) -> int:
    """Estimate how many exposures a view will keep, before anything is selected.

    Parameters
    ----------
    view : View
        The rule.
    n_exposures : int
        Exposures of the split.
    area_px2 : float
        Area of the bounding box of their positions, px^2.

    Returns
    -------
    int
        For a view with a spacing, the number of discs of that width which have that area together; greedy selection
        keeps fewer.
    """
    match view:
        case BaselineView():
            return n_exposures
        case SpacingView():
            return int(min(n_exposures, area_px2 / disc_area_px2(view.spacing_threshold_px)))
        case StrideView():
            return len(range(view.offset, n_exposures, view.every))
        case FractionView():
            return _size_of_share(n_exposures, view)
        case FirstView():
            return min(n_exposures, view.n_exposures)


def _select_spaced(positions_px: NDArray[np.float64], view: SpacingView) -> Selection:
    n_exposures, threshold = len(positions_px), view.spacing_threshold_px
    bound, needed = acceptance_needed(n_exposures, bounding_box_area_px2(positions_px), threshold)
    rates = {}
    strategies: tuple[tuple[Strategy, Keep], ...] = (("direct", keep_isolated), ("greedy", keep_spaced))
    for strategy, keep in strategies:
        kept_rows = keep(positions_px, threshold)
        rates[strategy] = len(kept_rows) / n_exposures
        if rates[strategy] >= needed:
            metadata = SelectionMetadata(
                overlap_view=view.name,
                spacing_threshold=threshold,
                n_accepted=len(kept_rows),
                n_rejected=n_exposures - len(kept_rows),
                acceptance_rate=rates[strategy],
                selection_strategy=strategy,
                geometry_acceptance_bound=bound,
                effective_min_acceptance=needed,
            )
            return Selection(kept=kept_rows, metadata=metadata)
    raise NotSelectableError(
        f"select view {view.name!r} at >= {threshold:g} px: of {counted(n_exposures, 'exposure')} direct keeps "
        f"{rates['direct']:.6f} and greedy {rates['greedy']:.6f}, needed {needed:.6f} "
        f"(geometry bound {bound:.6f})",
        remedy="lower the view's spacing threshold or use `fly64dask rerun --remedy respace`",
    )


def _size_of_share(n_exposures: int, view: FractionView) -> int:
    """Round the share to a number of exposures; halves are rounded to even, as Python does."""
    return round(view.fraction * n_exposures)


def _draw_share(n_exposures: int, view: FractionView) -> NDArray[np.int64]:
    """Take the first ones of a random order, so that a larger share contains any smaller one of the same seed."""
    order = np.random.default_rng(view.seed).permutation(n_exposures)
    return np.sort(order[: _size_of_share(n_exposures, view)])


def _selected(view: StrideView | FractionView | FirstView, kept: NDArray[np.int64], n_exposures: int) -> Selection:
    if not len(kept):
        raise NotSelectableError(
            f"select view {view.name!r}: rule {view.rule} keeps none of {counted(n_exposures, 'exposure')}",
            remedy="change the view in the study file so that it keeps some",
        )
    metadata = SelectionMetadata(
        overlap_view=view.name,
        selection_strategy=view.rule,
        n_accepted=len(kept),
        n_rejected=n_exposures - len(kept),
        acceptance_rate=len(kept) / n_exposures,
    )
    return Selection(kept=kept.astype(np.int64), metadata=metadata)
