"""The records that a page of several runs is drawn from."""

from __future__ import annotations

from fly64dask.base import Frozen
from fly64dask.report.content import CellContent, CellState, PageContent, PlaceContent


class RunHead(Frozen):
    """One of the runs: its name on the page, its place, its study, and the number of its cells in each state.

    `link` leads from the page to the run's own report, if there is one.
    """

    name: str
    path: str
    study: str
    counts: dict[CellState, int]
    n_cells: int
    link: str | None = None


class RunCell(CellContent):
    """A cell of one of the runs."""

    run: str


class RunPlace(PlaceContent):
    """A place of the matrix of one of the runs."""

    run: str


class DifferingRow(Frozen):
    """A setting, a version or a device in which the runs differ, with the words of each run in their order."""

    key: str
    words: tuple[str, ...]


class RunsContent(PageContent):
    """The whole content of a page of several runs; `study` joins the names of their studies."""

    runs: tuple[RunHead, ...]
    differing: tuple[DifferingRow, ...]
    cells: tuple[RunCell, ...]
    places: tuple[RunPlace, ...]
