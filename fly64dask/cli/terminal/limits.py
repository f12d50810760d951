"""Draws the limits of a run: a table for each target, and one table of all targets for the end of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from fly64dask.records import (
    OUTCOME_WORDS,
    dose_limit,
    interval_words,
    number_words,
    percent,
    series_of,
    value_words,
)
from fly64dask.study import DOSE_UNITS, resolved_target

if TYPE_CHECKING:
    from fly64dask.records import DoseLimit, ManifestRow, TargetAnswer
    from fly64dask.study import DoseBy, Study, StudyDifference, Target

PER_EXPOSURE = {"photons per exposure": "photons_per_exposure"}
FLUENCE = {"photons/px²": "fluence_photons_per_px2"}
TOTAL = {"photons in total": "total_photons"}
# Headings of the light in units other than the study's, and the fields that hold it.
OTHER_UNITS = {"exposure": FLUENCE | TOTAL, "fluence": PER_EXPOSURE | TOTAL, "total": PER_EXPOSURE | FLUENCE}
# A larger table is left to the command `limits`.
MAX_CLOSING_ROWS = 12
# Headings of the columns that name a series, and the fields that hold the names.
SERIES_AXES = {"run": "run_name", "view": "view", "split": "split", "recipe": "recipe_name", "setup": "setup_name"}
ALWAYS = ("view", "split")
OUTCOME_STYLES = {"reached": "green", "reached_already": "green", "not_reached": "yellow"}


def closing_table(study: Study, rows: Sequence[ManifestRow]) -> Table | None:
    """Draw the lowest dose at which each view reaches each target, for the end of a run.

    Parameters
    ----------
    study : Study
        The study.
    rows : sequence of ManifestRow
        Its committed cells, completed by their context.

    Returns
    -------
    Table or None
        None without targets, and if the table would have more than 12 rows.
    """
    if not study.targets:
        return None
    # The whole answer is not needed: its curves and differences would load SciPy's statistics for a quarter of a
    # second.
    targets = [resolved_target(target, study) for target in study.targets]
    limits_of_each = ([dose_limit(series, target) for series in series_of(study, rows, target)] for target in targets)
    lines = list(zip(*limits_of_each, strict=True))  # all targets have the same series
    if len(lines) > MAX_CLOSING_ROWS:
        return None
    first = [limits[0] for limits in lines]
    table = Table(title=f"lowest dose that reaches the target, in {DOSE_UNITS[study.dose_by]}", title_justify="left")
    axes = _add_series_columns(table, first)
    for target in targets:
        table.add_column(target.label)
    for limits in lines:
        words = (_closing_words(limit, target) for limit, target in zip(limits, targets, strict=True))
        table.add_row(*_series_cells(limits[0], axes), *words)
    return table


def _closing_words(limit: DoseLimit, target: Target) -> Text:
    """Write the lowest dose in a few words, with its interval, if it has one, and the doses between which it lies."""
    words = OUTCOME_WORDS[limit.outcome]
    if limit.outcome == "reached" and limit.lowest is not None:
        assert limit.last_miss is not None and limit.first_reach is not None, "it lies between two doses"
        between = f"{number_words(limit.last_miss, 3)} and {number_words(limit.first_reach, 3)}"
        ends = None if limit.interval is None else limit.interval.doses
        words = f"{interval_words(limit.lowest.dose, ends)}, between {between}"
    elif limit.outcome == "reached_already" and limit.lowest_dose is not None:
        words = f"≤ {number_words(limit.lowest_dose.dose)}"
    elif limit.outcome == "not_reached" and limit.highest_dose is not None:
        best = "" if limit.best is None else f", which gives {value_words(limit.best, target)}"
        words = f"> {number_words(limit.highest_dose.dose)}{best}"
    return Text(words, style=OUTCOME_STYLES.get(limit.outcome, "bold red"))


def differing_table(differing: Sequence[StudyDifference], runs: Sequence[str]) -> Table:
    """Draw the settings in which the studies of several runs differ: a row for each setting, a column for each run."""
    table = Table(title="settings in which the studies differ", title_justify="left")
    for heading in ("setting", *runs):
        table.add_column(heading, overflow="fold")
    for each in differing:
        table.add_row(*(Text(word) for word in (each.key, *map(each.words_of, runs))))
    return table


def limits_table(answer: TargetAnswer, dose_by: DoseBy) -> Table:
    """Draw the lowest light of each view, with its interval."""
    table = Table(title=answer.words, title_justify="left")
    axes = _add_series_columns(table, answer.doses)
    table.add_column("target")
    for heading in (f"lowest, in {DOSE_UNITS[dose_by]}", *OTHER_UNITS[dose_by]):
        table.add_column(heading, justify="right")
    for limit in answer.doses:
        table.add_row(*_series_cells(limit, axes), *_cells(limit, dose_by))
    return table


def _add_series_columns(table: Table, limits: Sequence[DoseLimit]) -> list[str]:
    """Add the columns that name a series (run, recipe and setup if there are several), and return their headings."""
    axes = [
        name for name in SERIES_AXES if name in ALWAYS or any(getattr(limit, SERIES_AXES[name]) for limit in limits)
    ]
    for heading in axes:
        table.add_column(heading, overflow="fold")  # folded, as names often differ only at their ends
    table.add_column("overlap", justify="right")
    if any(limit.linear_overlap is not None and limit.linear_overlap < 0 for limit in limits):
        table.caption, table.caption_justify = "an overlap below 0 is a gap between beams", "left"
    return axes


def _series_cells(limit: DoseLimit, axes: Sequence[str]) -> Iterator[str]:
    yield from (getattr(limit, SERIES_AXES[name]) or "" for name in axes)
    yield "-" if limit.linear_overlap is None else percent(limit.linear_overlap)


def _cells(limit: DoseLimit, dose_by: DoseBy) -> Iterator[Text | str]:
    yield Text(OUTCOME_WORDS[limit.outcome], style=OUTCOME_STYLES.get(limit.outcome, "bold red"))
    light, ends, before = limit.lowest, limit.interval, ""
    if limit.outcome == "reached_already":
        light, before = limit.lowest_dose, "≤ "
    elif limit.outcome == "not_reached":
        light, before = limit.highest_dose, "> "
    if light is None:
        yield from ["-"] * (1 + len(OTHER_UNITS[dose_by]))
        return
    yield before + interval_words(light.dose, None if ends is None else ends.doses)
    for name in OTHER_UNITS[dose_by].values():
        number = getattr(light, name)
        yield "-" if number is None else before + number_words(number)
