"""What several modes of the probe gain where the light is partially coherent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from acceptance.results import Claim, Finding, Panel, Spread, Table, shown_number
from acceptance.tables import ERROR, FLUENCE, LEVEL, RESOLUTION, adjusted_p_values, curve, gathered
from fly64dask import Run, Target

TARGET = Target(phase_error_rad=0.06)
ONE, SEVERAL = "one_mode", "four_modes"
SOURCE = "Chen et al., Nat. Commun. 11, 2994 (2020)"
COLUMNS = (
    *("source (px rms)", "photons per exposure", "error (rad): one mode", "four modes"),
    *("half-bit resolution (px): one mode", "four modes"),
)


class Place(NamedTuple):
    """One source and dose: fluence, and the errors and resolutions with one mode and with several."""

    size_px: float
    dose: float
    fluence: float
    errors: tuple[Spread, Spread]
    resolutions: tuple[Spread | None, Spread | None]


def reduce(runs: Mapping[str, Run]) -> Finding:
    """Compare one mode with several, in coherent and in partially coherent light."""
    run = runs["modes"]
    sizes = {name: run.study.setup_of(name).source_size_px for name in run.study.setup_names}
    groups = dict(gathered(run.table(), ("setup_name", "dose", "recipe_name"), (FLUENCE, ERROR, RESOLUTION)))
    places = []
    for setup, dose in dict.fromkeys((setup, dose) for setup, dose, _ in groups):
        one, several = (groups[setup, dose, recipe] for recipe in (ONE, SEVERAL))
        if one[ERROR] and several[ERROR]:
            errors, resolutions = ((one[name], several[name]) for name in (ERROR, RESOLUTION))
            places.append(Place(sizes[setup], dose, one[FLUENCE].mean, errors, resolutions))
    rows = tuple((each.size_px, each.dose, *each.errors, *each.resolutions) for each in places)
    return Finding(
        claims=(*map(claim, places), less_dose(run, sizes)),
        tables=(Table(name="modes", columns=COLUMNS, rows=rows),),
        panels=panels(places),
    )


def claim(place: Place) -> Claim:
    """Say by how much several modes lower the error at one dose."""
    one, several = place.errors
    (p_value,) = adjusted_p_values(one, [several])
    gains = p_value is not None and p_value < LEVEL and several.mean < one.mean
    light = f"source of {place.size_px:g} px" if place.size_px else "coherent"
    return Claim(
        published="in partially coherent light several modes do better" if place.size_px else "one mode is enough",
        source=SOURCE,
        ours=f"error {one.mean / several.mean:.3g} times that with four: {light}, {shown_number(place.dose)} photons",
        rule=f"four modes have the smaller error (Welch, {LEVEL:g})" if place.size_px else "printed beside it",
        verdict="no bar" if not place.size_px else "as published" if gains else "not as published",
    )


def less_dose(run: Run, sizes: Mapping[str | None, float]) -> Claim:
    """Say how many times fewer photons several modes need for a target, of the partially coherent source."""
    answer = run.limits(TARGET).targets[0]
    of_recipe = {limit.recipe_name: limit for limit in answer.doses if sizes[limit.setup_name]}
    one, several = of_recipe[ONE], of_recipe[SEVERAL]
    words = f"{answer.target.label}: one mode {one.outcome}, four modes {several.outcome}".replace("_", " ")
    if one.lowest and several.lowest:
        words = f"{answer.target.label} with {one.lowest.dose / several.lowest.dose:.2g} times less dose"
    elif several.lowest and one.highest_dose:
        most = shown_number(one.highest_dose.dose)
        words = f"{answer.target.label} with {several.lowest.dose:.2g} photons; one mode misses it up to {most}"
    return Claim(
        published="up to 50 times less dose for the same resolution, against conventional imaging",
        source=SOURCE,
        ours=words,
        rule="printed beside it: another way of imaging",
        verdict="no bar",
    )


def panels(places: Sequence[Place]) -> tuple[Panel, ...]:
    """Draw error against fluence, a panel for each source."""
    return tuple(
        Panel(
            title=f"source of {size:g} px rms" if size else "coherent light",
            x_label="fluence (photons/px²)",
            y_label="phase error (rad)",
            x_log=True,
            y_log=True,
            curves=tuple(
                curve(name, [(each.fluence, each.errors[number]) for each in places if each.size_px == size])
                for number, name in enumerate(("one mode", "four modes"))
            ),
        )
        for size in dict.fromkeys(each.size_px for each in places)
    )
