"""The knee of the error against overlap, at equal fluence."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from acceptance.results import Claim, Finding, Panel, Spread, Table
from acceptance.tables import ERROR, curve, gathered
from fly64dask import Run

OVERLAP, KEPT, STEP = "linear_overlap", "n_kept", "step_px"
PUBLISHED = (0.5, 0.7)
SOURCE = "Bunk et al., Ultramicroscopy 108, 481 (2008)"
RECIPES = {"probe_known": "probe known", "probe_optimised": "probe optimised"}


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
        claims=tuple(claim(name, each) for name, each in series.items()),
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


def claim(name: str, places: Sequence[Place]) -> Claim:
    """Find the two neighbouring overlaps between which a series' error grows by the largest factor."""
    ordered = sorted(places, key=lambda each: -each.overlap)
    growths = [(b.error.mean / a.error.mean, a.overlap, b.overlap) for a, b in itertools.pairwise(ordered)]
    growth, high, low = max(growths)
    is_inside = PUBLISHED[0] <= (high + low) / 2 <= PUBLISHED[1]
    return Claim(
        published="best overlap about 60 %: a knee between 50 and 70 %",
        source=SOURCE,
        ours=f"{name}: the error grows most between {100 * high:.0f} and {100 * low:.0f} %, {growth:.3g} times",
        rule="the middle of these two at 50 to 70 %",
        verdict="as published" if is_inside else "not as published",
    )


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
