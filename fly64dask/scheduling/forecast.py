"""Forecasts a run: which of its cells are left to do, which committed ones run again, and how long this takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fly64dask.base import IntegrityError, counted
from fly64dask.datasets import read_inputs
from fly64dask.records import LASTING_KINDS, OTHER_DATA, each_completed_row
from fly64dask.scheduling.rates import MeasuredRate, measured_rates
from fly64dask.store import read_attributes

if TYPE_CHECKING:
    from fly64dask.datasets import ScanInputs
    from fly64dask.records import ManifestRow
    from fly64dask.scheduling.plan import PlannedCell
    from fly64dask.store import RunLayout
    from fly64dask.study import Cell, Study

DEVICES = {"auto": ("cpu", "cuda"), "cpu": ("cpu",), "cuda": ("cuda",)}  # that a recipe allows
UNITS = ((3600.0, "hours"), (60.0, "min"), (1.0, "s"))
NEW = "new"
NOTHING_MEASURED = "no completed cell of this run or of one beside it has such patterns and such a recipe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The cells of a run that are left to do.

    `again` counts, for each reason, the committed cells that run again; `work` is the sum of exposures times epochs
    times reconstructions over all cells that are left. `rates` tell how long one unit of work took, for each device on
    which that was measured.
    """

    left: tuple[Cell, ...]
    n_done: int
    again: Mapping[str, int]
    rates: tuple[MeasuredRate, ...]
    work: int = 0

    @property
    def seconds(self) -> float | None:
        """The seconds that one worker would take for all cells that are left, at most: a stopping rule may end some
        sooner.

        They follow from the first of the rates: that of the device on which most cells of this run ran, if any are
        complete.
        """
        return self.rates[0].seconds * self.work if self.rates else None

    @property
    def lines(self) -> tuple[str, ...]:
        """The forecast in words."""
        again = ", ".join(f"{n} {why}" for why, n in self.again.items())
        done = f", {self.n_done} {'is' if self.n_done == 1 else 'are'} done" if self.n_done else ""
        counts = f"{counted(len(self.left), 'cell')} to run{f' ({again})' if again else ''}{done}"
        if not self.left:
            all_done = "the cell is done" if self.n_done == 1 else f"all {self.n_done} cells are done"
            return (f"nothing is left to do: {all_done}",)
        if not self.rates:
            return counts, f"time: not known, because {NOTHING_MEASURED}"
        first, *others = (_time_words(rate, self.work) for rate in self.rates)
        return counts, f"time: {first}", *(f"or:   {words}" for words in others)


def _time_words(rate: MeasuredRate, work: int) -> str:
    """Say how long all the work takes on a device, and on which cells that was measured."""
    one = rate.device.replace(rate.kind, "GPU" if rate.kind == "cuda" else "CPU", 1)
    cells = counted(rate.n_cells, "cell")
    measured = f"{rate.seconds * 1e3:.2g} ms per exposure and epoch in {cells} of {rate.source}"
    return f"at most {_duration(rate.seconds * work)} of one {one}, from {measured}"


def _duration(seconds: float) -> str:
    """Write a time in the largest unit that goes into it twice or more."""
    size, unit = next((size, unit) for size, unit in UNITS if seconds >= 2 * size or unit == "s")
    number = seconds / size
    return f"{number:.0f} {unit}" if number >= 10 else f"{number:.1f} {unit}"


def forecast_run(
    study: Study,
    layout: RunLayout,
    inputs: ScanInputs,
    requested: Sequence[Cell],
    *,
    devices: Collection[str] | None = None,
) -> Forecast:
    """Forecast what a run of some cells of a study would do, from what its directory holds.

    Parameters
    ----------
    study : Study
        The study as it is now.
    layout : RunLayout
        The run; it may not exist yet.
    inputs : ScanInputs
        The study's scan.
    requested : sequence of Cell
        Cells that are asked for.
    devices : collection of str, optional
        The kinds of devices that the run may have, "cpu" and "cuda"; those that its recipe allows if omitted.

    Returns
    -------
    Forecast
        Without the work of the cells that are left (`with_work`).
    """
    reasons: dict[Cell, str | None] = dict.fromkeys(requested, NEW)
    objects = {cell.object_seed for cell in requested}
    other_scans = {seed for seed in objects if _has_other_scan(study.of_object(seed), layout, seed)}
    for row in each_completed_row(study, layout, requested):
        reasons[row.cell] = _why_again(row) or (OTHER_DATA if row.object_seed in other_scans else None)
    left = tuple(cell for cell, why in reasons.items() if why is not None)
    return Forecast(
        left=left,
        n_done=len(reasons) - len(left),
        again=Counter(why for why in reasons.values() if why is not None and why != NEW),
        rates=measured_rates(study, inputs, layout, devices or DEVICES[study.recipe.device]) if left else (),
    )


def with_work(forecast: Forecast, study: Study, plan: Iterable[PlannedCell]) -> Forecast:
    """Return a forecast with the work of its cells, from a plan of them."""
    left = frozenset(forecast.left)
    work = 0
    for planned in plan:
        if planned.cell in left and planned.n_kept is not None:
            recipe = study.recipe_of(planned.cell)
            work += planned.n_kept * recipe.n_epochs * recipe.n_reconstructions
    return replace(forecast, work=work)


def _has_other_scan(study: Study, layout: RunLayout, object_seed: int | None) -> bool:
    """Tell whether the stored scan of a run has another source than its study has now; False if no scan can be read."""
    try:
        stored = read_attributes(layout.scan_group(object_seed), "forecast the run")
    except IntegrityError:
        return False
    return stored.get("source_digest") != read_inputs(study).source_digest


def _why_again(row: ManifestRow) -> str | None:
    """Say why a run computes a committed cell again; None if it does not."""
    if row.outdated is not None:
        return row.outdated
    if row.state == "damaged":
        return "damaged"
    if row.failure_kind is None or row.failure_kind in LASTING_KINDS:
        return None
    return row.state if row.state == "interrupted" else f"failed as {row.failure_kind}"
