"""Summarises cells that differ in their photons alone: mean and spread of what was measured, and what failed."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from pydantic import BaseModel

from fly64dask.base import Frozen
from fly64dask.study import Cell, Dose, Repeats, Split, Study, cells

if TYPE_CHECKING:
    from fly64dask.records.manifest import ManifestRow


class Spread(Frozen):
    """Mean of n repeats; with two or more also their sample standard deviation and the mean's standard error."""

    n: int
    mean: float
    standard_deviation: float | None = None
    standard_error: float | None = None


class RepeatSummary(Frozen):
    """The outcome of a cell's repeats: all are counted, the completed ones measured."""

    dose: Dose
    view: str
    split: Split
    recipe_name: str | None = None
    object_seed: int | None = None
    setup_name: str | None = None
    n_repeats: int
    n_completed: int
    n_failed: int
    n_pending: int
    failure_kinds: dict[str, int]
    final_loss: Spread | None = None
    metrics: dict[str, Spread]
    half_sets: dict[str, Spread] | None = None


def spread_of(values: Sequence[float]) -> Spread:
    """Compute mean, sample standard deviation (n - 1 in the denominator) and standard error of the mean.

    Parameters
    ----------
    values : sequence of float
        One for each repeat, at least one.

    Returns
    -------
    Spread
        In the unit of the values. One value says nothing of a spread, so it has none.
    """
    n, mean = len(values), statistics.fmean(values)
    if n < 2:
        return Spread(n=n, mean=mean)
    # As `statistics.stdev`, which computes with fractions and takes a hundred times as long.
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return Spread(n=n, mean=mean, standard_deviation=deviation, standard_error=deviation / math.sqrt(n))


def spreads_of(records: Iterable[BaseModel]) -> dict[str, Spread]:
    """Compute mean and spread of every number that some records hold, one record of one kind for each repeat.

    They come by field; of a record within a record by `field.inner`. A number that only some hold has their count as
    its n.
    """
    values: dict[str, list[float]] = {}
    for record in records:
        for name, value in _numbers(record):
            values.setdefault(name, []).append(value)
    return {name: spread_of(numbers) for name, numbers in values.items()}


def _numbers(record: BaseModel) -> Iterator[tuple[str, float]]:
    for name, value in record:
        if isinstance(value, BaseModel):
            yield from ((f"{name}.{inner}", number) for inner, number in _numbers(value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)


def summarise_repeats(repeats: Sequence[Cell], rows: Sequence[ManifestRow]) -> RepeatSummary:
    """Summarise the repeats of one dose, view, split, recipe, object and setup.

    Parameters
    ----------
    repeats : sequence of Cell
        All that the study asks for.
    rows : sequence of ManifestRow
        Those of them that are committed.

    Returns
    -------
    RepeatSummary
        Numbers are of the completed ones; whoever is not among them is counted beside them.
    """
    first, n_repeats = repeats[0], len(repeats)
    ended = [row for row in rows if row.state != "interrupted"]  # the next run goes on with the others
    completed = [row for row in ended if row.state == "completed"]
    losses = [row.final_loss for row in completed if row.final_loss is not None]
    return RepeatSummary.model_validate(
        {
            "dose": first.dose,
            "view": first.view,
            "split": first.split,
            "recipe_name": first.recipe_name,
            "object_seed": first.object_seed,
            "setup_name": first.setup_name,
            "n_repeats": n_repeats,
            "n_completed": len(completed),
            "n_failed": len(ended) - len(completed),
            "n_pending": n_repeats - len(ended),
            "failure_kinds": Counter(str(row.failure_kind) for row in ended if row.state != "completed"),
            "final_loss": spread_of(losses) if losses else None,
            "metrics": spreads_of(row.metrics for row in completed if row.metrics is not None),
            "half_sets": spreads_of(row.half_sets for row in completed if row.half_sets is not None) or None,
        }
    )


def has_repeats(study: Study) -> bool:
    """Tell whether a study has a cell with repeats, so that its manifest has their summary."""
    return Repeats(study).most() > 1


def summarise(study: Study, rows: Iterable[ManifestRow]) -> Iterator[RepeatSummary]:
    """Summarise all repeats of a study: one for each dose, view, split, recipe, object and setup, in its order.

    Committed cells come in the study's order, which keeps repeats together. They are read one after the other, and no
    summary is kept: one takes 35 kB. Raises ValueError if a cell is none of the study's, or comes out of its order.
    """
    waiting = groupby(rows, key=lambda row: row.cell.first_repeat)
    after, members = next(waiting, (None, iter(())))
    for first, repeats in repeat_groups(study).items():
        if after != first:
            yield summarise_repeats(repeats, [])
            continue
        yield summarise_repeats(repeats, [row for row in members if row.cell in repeats])
        after, members = next(waiting, (None, iter(())))
    if after is not None:
        raise ValueError(f"summarise: the row of {after.name} is not in the order of the study's cells")


def repeat_groups(study: Study) -> Mapping[Cell, tuple[Cell, ...]]:
    """Group the cells of a study by all but their repeat: those of one group are repeats of its first cell."""
    return {first: tuple(repeats) for first, repeats in groupby(cells(study), key=lambda cell: cell.first_repeat)}
