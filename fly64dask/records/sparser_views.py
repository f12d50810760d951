"""Says which views of a study keep fewer exposures than one with a larger spacing."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Protocol

from fly64dask.base import counted


class Selected(Protocol):
    """A cell with what its view keeps: a manifest row, or a planned cell."""

    @property
    def view(self) -> str: ...  # noqa: D102

    @property
    def split(self) -> str: ...  # noqa: D102

    @property
    def n_kept(self) -> int | None: ...  # noqa: D102

    @property
    def spacing_threshold(self) -> float | None: ...  # noqa: D102

    @property
    def selection_strategy(self) -> str | None: ...  # noqa: D102


def sparser_notes(selected: Iterable[Selected]) -> list[str]:
    """Name the views that direct selection makes sparser than a view with a larger spacing.

    Parameters
    ----------
    selected : iterable of Selected
        Cells; the first of each view and split stands for the others.

    Returns
    -------
    list of str
        A note for each such view of a split, beside the view of the next larger spacing that keeps more.

    Notes
    -----
    Direct selection keeps exposures without a near neighbour. Where it keeps just enough of them, these are few, and
    greedy selection at a larger spacing keeps more: its beams overlap more, whatever the views are called.
    """
    first: dict[tuple[str, str], Selected] = {}
    for cell in selected:
        if cell.n_kept is not None and cell.spacing_threshold is not None:
            first.setdefault((cell.view, cell.split), cell)
    by_spacing = sorted(first.values(), key=lambda cell: (cell.split, cell.spacing_threshold or 0.0))
    notes = []
    for _, of_split in itertools.groupby(by_spacing, key=lambda cell: cell.split):
        views = list(of_split)
        for place, cell in enumerate(views):
            denser = next((other for other in views[place + 1 :] if _keeps_fewer(cell, other)), None)
            if denser is not None:
                notes.append(_words(cell, denser))
    return notes


def _keeps_fewer(cell: Selected, other: Selected) -> bool:
    return (cell.n_kept or 0) < (other.n_kept or 0) and (cell.spacing_threshold or 0) < (other.spacing_threshold or 0)


def _words(cell: Selected, denser: Selected) -> str:
    return (
        f"view {cell.view} keeps {counted(cell.n_kept or 0, 'exposure')} of {cell.split} ({cell.selection_strategy}, "
        f"at >= {cell.spacing_threshold:g} px), fewer than view {denser.view} with {denser.n_kept} "
        f"({denser.selection_strategy}, at >= {denser.spacing_threshold:g} px): it is the sparser of the two"
    )
