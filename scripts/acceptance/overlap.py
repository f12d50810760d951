"""The knee of the error against overlap, at equal fluence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from acceptance.results import Claim, Finding, Panel, Spread, Table
from acceptance.tables import ERROR, curve, gathered
from fly64dask import Run, Target

OVERLAP, KEPT, STEP = "linear_overlap", "n_kept", "step_px"
PUBLISHED = (0.5, 0.7)
SOURCE = "Bunk et al., Ultramicroscopy 108, 481 (2008)"
KNEE = 1.5  # times the error of the densest view
RECIPES = {"probe_known": "probe known", "probe_optimised": "probe optimised as well"}


class Place(NamedTuple):
    """One view with one recipe and dose."""

    recipe: str
    view: str
    is_noise_free: bool
    overlap: float
    step_px: float
    n_kept: float
    error: Spread


def reduce(runs: Mapping[str, Run]) -> Finding:
    """Gather the errors of each overlap and recipe, and find the overlap below which they grow."""
    run = runs["overlap"]
    groups = gathered(run.table(), ("recipe_name", "view", "dose"), (OVERLAP, STEP, KEPT, ERROR))
    places = [
        Place(
            recipe=recipe,
            view=view,
            is_noise_free=dose == "noise_free",
            overlap=numbers[OVERLAP].mean,
            step_px=numbers[STEP].mean,
            n_kept=numbers[KEPT].mean,
            error=numbers[ERROR],
        )
        for (recipe, view, dose), numbers in groups
        if numbers[ERROR]
    ]
    fluence = next(dose for dose in run.study.doses_photons if dose != "noise_free")
    series = {
        f"{words}, {light}": [each for each in places if (each.recipe, each.is_noise_free) == (recipe, is_noise_free)]
        for is_noise_free, light in ((False, f"{fluence:g} photons/px²"), (True, "no noise"))
        for recipe, words in RECIPES.items()
    }
    return Finding(
        claims=tuple(
            claim(run, recipe, [each for each in places if each.recipe == recipe and not each.is_noise_free])
            for recipe in RECIPES
        ),
        tables=(table(series),),
        panels=(panel(series),),
    )


def table(series: Mapping[str, Sequence[Place]]) -> Table:
    """Give a row for each view: its overlap, step and exposures, and the error of each series."""
    views = {each.view: each for places in series.values() for each in reversed(places)}
    errors = {(name, each.view): each.error for name, places in series.items() for each in places}
    rows = tuple(
        (
            round(100 * each.overlap),
            round(each.step_px, 1),
            round(each.n_kept),
            *(errors.get((name, view)) for name in series),
        )
        for view, each in sorted(views.items(), key=lambda item: -item[1].overlap)
    )
    columns = ("linear overlap (%)", "step (px)", "exposures", *(f"error (rad): {name}" for name in series))
    return Table(name="overlap", columns=columns, rows=tuple(rows))


def claim(run: Run, recipe: str, places: Sequence[Place]) -> Claim:
    """Find the lowest overlap at which a recipe's error is not above `KNEE` times that of its densest view."""
    densest = max(places, key=lambda each: each.overlap)
    limits = run.limits(Target(phase_error_rad=KNEE * densest.error.mean)).targets[0].overlaps
    limit = next(each for each in limits if each.recipe_name == recipe)
    where = {"reached_already": "below all overlaps looked at"}.get(limit.outcome, limit.outcome.replace("_", " "))
    if limit.lowest is not None:
        interval = limit.interval
        ends = f" ({ends_of(interval.low)} to {ends_of(interval.high)} %)" if interval else ""
        where = f"{100 * limit.lowest:.0f} %{ends}"
    is_inside = limit.lowest is not None and PUBLISHED[0] <= limit.lowest <= PUBLISHED[1]
    return Claim(
        published="best overlap about 60 %: a knee between 50 and 70 %",
        source=SOURCE,
        ours=f"{where}, {RECIPES[recipe]}",
        rule=f"error {KNEE:g} times that of {100 * densest.overlap:.0f} % overlap at 50 to 70 %",
        verdict="as published" if is_inside else "not as published",
    )


def ends_of(end: float | None) -> str:
    """Write an end of an interval; one beyond the views is open."""
    return "-" if end is None else f"{100 * end:.0f}"


def panel(series: Mapping[str, Sequence[Place]]) -> Panel:
    """Draw the error of each series against overlap."""
    return Panel(
        title="Error at equal fluence",
        x_label="linear overlap (%)",
        y_label="phase error (rad)",
        y_log=True,
        curves=tuple(
            curve(name, [(100 * each.overlap, each.error) for each in places]) for name, places in series.items()
        ),
        band=(100 * PUBLISHED[0], 100 * PUBLISHED[1]),
        band_label="published knee",
    )
