"""The limits of a run, drawn as sentences and as one table for each target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from fly64dask.records import OUTCOME_WORDS, answer_of, interval_words, number_words, percent
from fly64dask.study import DOSE_UNITS

if TYPE_CHECKING:
    from fly64dask.records import DoseLimit, ManifestRow, TargetAnswer
    from fly64dask.study import DoseBy, Study

PER_EXPOSURE = {"photons per exposure": "photons_per_exposure"}
FLUENCE = {"photons/px²": "fluence_photons_per_px2"}
TOTAL = {"photons in total": "total_photons"}
# Headings of the light in other units than the study's, and the fields that hold it.
OTHER_UNITS = {"exposure": FLUENCE | TOTAL, "fluence": PER_EXPOSURE | TOTAL, "total": PER_EXPOSURE | FLUENCE}
OUTCOME_STYLES = {"reached": "green", "reached_already": "green", "not_reached": "yellow"}


def sentence_lines(answer: TargetAnswer) -> Iterator[Text]:
    """Write one line for each sentence."""
    return map(Text, answer.sentences)


def closing_lines(study: Study, rows: Sequence[ManifestRow], run: str) -> Iterator[Text]:
    """Say at the end of a run how low the dose of each view can go, and which command says more of it.

    Parameters
    ----------
    study : Study
        The study; without targets nothing is said.
    rows : sequence of ManifestRow
        Its committed cells, completed by their context.
    run : str
        The run directory, as a command takes it.

    Yields
    ------
    Text
        At most a sentence for each view, split and target: with several recipes the command alone.
    """
    if not study.targets:
        return
    answer = answer_of(study, rows)
    sentences = [line for target in answer.targets for line in target.sentences[: len(target.doses)]]
    if len(sentences) <= len(study.views) * len(study.splits) * len(study.targets):
        yield from map(Text, sentences)
    yield Text(f"limits: fly64dask limits {run}")


def limits_table(answer: TargetAnswer, dose_by: DoseBy) -> Table:
    """Draw the lowest light of each view, with its interval."""
    axes = [name for name in ("recipe", "setup") if any(getattr(limit, f"{name}_name") for limit in answer.doses)]
    table = Table(title=answer.words, title_justify="left")
    for heading in ("view", "split", *axes):
        table.add_column(heading, overflow="fold")  # names are told apart by their ends
    table.add_column("overlap", justify="right")
    table.add_column("target")
    for heading in (f"lowest, in {DOSE_UNITS[dose_by]}", *OTHER_UNITS[dose_by]):
        table.add_column(heading, justify="right")
    for limit in answer.doses:
        made_by = (getattr(limit, f"{name}_name") or "" for name in axes)
        table.add_row(limit.view, limit.split, *made_by, *_cells(limit, dose_by))
    return table


def _cells(limit: DoseLimit, dose_by: DoseBy) -> Iterator[Text | str]:
    yield "-" if limit.linear_overlap is None else percent(limit.linear_overlap)
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
