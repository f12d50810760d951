"""Shot noise: the phase error falls with the root of the dose, where photons limit it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from acceptance.results import Claim, Finding, Panel, Spread, Table, shown_number
from acceptance.tables import ERROR, FLUENCE, curve, fitted_power, gathered, guide
from fly64dask import Run

THEORY, BAR = -0.5, 0.08
MIN_DOSES = 3
OBJECTS = {"slope_speckle": "speckle", "slope_star": "Siemens star"}
RANGES = ((1e4, 1e6), (1e5, 1e7))
# Where theory applies: this model takes photons for as noisy as they are, in the dark too.
OF_THEORY = "poisson"
Point = tuple[float, float | None, Spread]  # dose, fluence, error


def reduce(runs: Mapping[str, Run]) -> Finding:
    """Fit the power of the dose with which each object's and noise model's error falls, over two ranges."""
    series = {
        (OBJECTS[name], recipe): points
        for name, run in runs.items()
        for recipe, points in errors_by_recipe(run).items()
    }
    rows, claims = [], []
    for (shown, model), points in series.items():
        for low, high in RANGES:
            within = [(dose, error.mean) for dose, _, error in points if low <= dose <= high]
            if len(within) < MIN_DOSES:
                continue
            power, error = fitted_power([dose for dose, _ in within], [mean for _, mean in within])
            rows.append(
                (shown, model, f"{shown_number(low)} to {shown_number(high)}", round(power, 3), round(error, 3))
            )
            claims.append(claim(rows[-1], is_of_theory=model == OF_THEORY))
    table = Table(
        name="slope",
        columns=("object", "noise model", "photons per exposure", "slope", "standard error"),
        rows=tuple(rows),
    )
    return Finding(claims=tuple(claims), tables=(table,), panels=panels(series))


def errors_by_recipe(run: Run) -> dict[str, list[Point]]:
    """Gather dose, fluence and error of each recipe, in order of dose, without the noise-free cell."""
    found: dict[str, list[Point]] = {}
    for (dose, recipe), numbers in gathered(run.table(), ("dose", "recipe_name"), (FLUENCE, ERROR)):
        if not isinstance(dose, str) and numbers[ERROR]:
            found.setdefault(recipe, []).append((dose, numbers[FLUENCE].mean, numbers[ERROR]))
    return found


def claim(row: tuple[str, str, str, float, float], *, is_of_theory: bool) -> Claim:
    """Hold a slope against that of shot noise; where theory does not apply it is printed beside it alone."""
    shown, model, doses, power, error = row
    fits = abs(power - THEORY) <= BAR
    return Claim(
        published=f"error ~ dose^{THEORY}",
        source="shot noise",
        ours=f"{power:.2f} ± {error:.2f}: {shown}, {model}, {doses}",
        rule=f"{THEORY} ± {BAR}" if is_of_theory else "none: not the noise of photons",
        verdict=("as published" if fits else "not as published") if is_of_theory else "no bar",
    )


def panels(series: Mapping[tuple[str, str], Sequence[Point]]) -> tuple[Panel, ...]:
    """Draw the errors of each object against fluence, with the slope of shot noise."""
    found = []
    for shown in dict.fromkeys(shown for shown, _ in series):
        lines = {model: points for (of, model), points in series.items() if of == shown}
        curves = [curve(model, [(fluence, error) for _, fluence, error in points]) for model, points in lines.items()]
        ends = curves[-1]
        start = ends.y[-1].mean * (ends.x[-1] / ends.x[0]) ** -THEORY
        found.append(
            Panel(
                title=shown[0].upper() + shown[1:],
                x_label="fluence (photons/px²)",
                y_label="phase error (rad)",
                x_log=True,
                y_log=True,
                curves=(*curves, guide("fluence^-0.5", ends.x, start, THEORY)),
            )
        )
    return tuple(found)
