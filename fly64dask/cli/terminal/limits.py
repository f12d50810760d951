"""The limits of a run, drawn as sentences and as one table for each target."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from fly64dask.records import interval_words, number_words, percent
from fly64dask.study import DOSE_UNITS

if TYPE_CHECKING:
    from fly64dask.records import DoseLimit, TargetAnswer
    from fly64dask.study import DoseBy

OUTCOME_WORDS = {
    "reached": "reached",
    "reached_already": "at the lowest dose already",
    "not_reached": "not reached",
    "not_monotonic": "not monotonic",
    "unknown": "nothing measured",
}
PER_EXPOSURE = {"photons per exposure": "photons_per_exposure"}
FLUENCE = {"photons/px²": "fluence_photons_per_px2"}
TOTAL = {"photons in total": "total_photons"}
# Headings of the light in other units than the study's, and the fields that hold it.
OTHER_UNITS = {"exposure": FLUENCE | TOTAL, "fluence": PER_EXPOSURE | TOTAL, "total": PER_EXPOSURE | FLUENCE}
OUTCOME_STYLES = {"reached": "green", "reached_already": "green", "not_reached": "yellow"}


def sentence_lines(answer: TargetAnswer) -> Iterator[Text]:
    """Write one line for each sentence."""
    return map(Text, answer.sentences)


def limits_table(answer: TargetAnswer, dose_by: DoseBy) -> Table:
    """Draw the lowest light of each view, with its interval."""
    has_recipes = any(limit.recipe_name for limit in answer.doses)
    table = Table(title=answer.words, title_justify="left")
    for heading in ("view", "split", *(["recipe"] if has_recipes else [])):
        table.add_column(heading)
    table.add_column("overlap", justify="right")
    table.add_column("target")
    for heading in (f"lowest, in {DOSE_UNITS[dose_by]}", *OTHER_UNITS[dose_by]):
        table.add_column(heading, justify="right")
    for limit in answer.doses:
        recipe = [limit.recipe_name or ""] if has_recipes else []
        table.add_row(limit.view, limit.split, *recipe, *_cells(limit, dose_by))
    return table


def _cells(limit: DoseLimit, dose_by: DoseBy) -> Iterator[Text | str]:
    yield "-" if limit.linear_overlap is None else percent(limit.linear_overlap)
    yield Text(OUTCOME_WORDS[limit.outcome], style=OUTCOME_STYLES.get(limit.outcome, "bold red"))
    light, ends = limit.lowest, limit.interval
    if light is None:
        yield from ["-"] * (1 + len(OTHER_UNITS[dose_by]))
        return
    yield interval_words(light.dose, None if ends is None else ends.doses)
    for name in OTHER_UNITS[dose_by].values():
        number = getattr(light, name)
        yield "-" if number is None else number_words(number)
