"""Forecasts a run: which of its cells are left to do, which that are done run again, and how long they take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fly64dask.records import LASTING_KINDS, RowContext, each_row
from fly64dask.study import cells, remedied_recipe

if TYPE_CHECKING:
    from fly64dask.records import ManifestRow
    from fly64dask.scheduling.plan import PlannedCell
    from fly64dask.store import RunLayout
    from fly64dask.study import Cell, Study

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The cells of a run that are left to do.

    `again` counts those that are committed and run again, by why; `work` is exposures times epochs times
    reconstructions of all that are left. `rate_s` are seconds for one of these, measured on `n_measured` cells that
    this run has completed: None if it has none.
    """

    left: tuple[Cell, ...]
    n_done: int
    again: Mapping[str, int]
    work: int = 0
    rate_s: float | None = None
    n_measured: int = 0
    device: str = ""

    @property
    def seconds(self) -> float | None:
        """Seconds that one worker would take for all that is left, at most, as a stopping rule may end cells sooner."""
        return None if self.rate_s is None else self.rate_s * self.work

    @property
    def lines(self) -> tuple[str, ...]:
        """The forecast in words."""
        again = ", ".join(f"{n} {why}" for why, n in self.again.items())
        done = f", {self.n_done} are done" if self.n_done else ""
        counts = f"{len(self.left)} cells to run{f' ({again})' if again else ''}{done}"
        if not self.left:
            return (f"nothing is left to do: all {self.n_done} cells are done",)
        if self.seconds is None or self.rate_s is None:
            return counts, "time: not known, as no cell of this run has been measured yet"
        hours = f"{self.seconds / HOUR_S:.2g} {'GPU hours' if self.device.startswith('cuda') else 'hours of one CPU'}"
        measured = f"{self.rate_s * 1e3:.2g} ms for an exposure and epoch in {self.n_measured} cells of this run"
        return counts, f"time: at most {hours}, by {measured}"


def forecast_run(study: Study, layout: RunLayout, requested: Sequence[Cell]) -> Forecast:
    """Say what a run of some cells of a study would do, from what its directory holds.

    Parameters
    ----------
    study : Study
        The study as it is now.
    layout : RunLayout
        The run; it may not exist yet.
    requested : sequence of Cell
        Cells that are asked for.

    Returns
    -------
    Forecast
        Without the work of the cells that are left (`with_work`).
    """
    everything = {row.cell: row for row in each_row(layout, cells(study))} if layout.root.exists() else {}
    rows = {row.cell: row for row in RowContext(study, layout, everything.get).complete_all(everything.values())}
    reasons = {cell: _why_again(rows[cell]) if cell in rows else "new" for cell in requested}
    left = tuple(cell for cell in requested if reasons[cell] is not None)
    again = Counter(why for why in reasons.values() if why not in (None, "new"))
    forecast = Forecast(left=left, n_done=len(requested) - len(left), again={str(why): n for why, n in again.items()})
    return _measured(forecast, study, rows.values())


def with_work(forecast: Forecast, study: Study, plan: Iterable[PlannedCell]) -> Forecast:
    """Return a forecast with the work of its cells, from a plan of them."""
    left = frozenset(forecast.left)
    work = 0
    for planned in plan:
        if planned.cell in left and planned.n_kept is not None:
            recipe = study.recipe_of(planned.cell)
            work += planned.n_kept * recipe.n_epochs * recipe.n_reconstructions
    return replace(forecast, work=work)


def _why_again(row: ManifestRow) -> str | None:
    """Why a run does a committed cell again; None if it leaves it alone."""
    if row.outdated is not None:
        return row.outdated
    if row.state == "damaged":
        return "damaged"
    if row.failure_kind is None or row.failure_kind in LASTING_KINDS:
        return None
    return row.state if row.state == "interrupted" else f"failed as {row.failure_kind}"


def _measured(forecast: Forecast, study: Study, rows: Iterable[ManifestRow]) -> Forecast:
    """Return a forecast with how long an exposure and epoch took, on the device that most cells ran on."""
    spent: dict[str, list[tuple[float, int]]] = {}
    for row in rows:
        if row.state == "completed" and row.seconds and row.n_kept and row.n_epochs and row.outdated is None:
            recipe = remedied_recipe(study.recipe_of(row.cell), row.remedy)
            work = row.n_kept * row.n_epochs * recipe.n_reconstructions
            spent.setdefault(row.device or "", []).append((row.seconds, work))
    if not spent:
        return forecast
    device, cells_of_it = max(spent.items(), key=lambda item: len(item[1]))
    seconds, work = (sum(column) for column in zip(*cells_of_it, strict=True))
    return replace(forecast, rate_s=seconds / work, n_measured=len(cells_of_it), device=device)
