"""The curve behind a limit: what each dose of a view gave for a target, and how steeply that falls with fluence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from fly64dask.base import Frozen
from fly64dask.records.derived import PHOTON_LIMITED_RATIO
from fly64dask.records.limits.limit import SeriesCoordinates, lights_at
from fly64dask.records.limits.points import DosePoint, Light, Series
from fly64dask.records.limits.resamples import reached_level

if TYPE_CHECKING:
    from fly64dask.study import Target

N_LINE_STEPS = 8  # between two doses of a line: straight ones, which look like the cubic
MAX_LINE_STEPS = 400  # of a line, unless it has more doses: no screen shows more (our choice)
MIN_SLOPE_DOSES = 3  # two points lie on every power law


class Slope(Frozen):
    """The power of the fluence with which a phase error falls, with the standard error of the fit.

    Shot noise alone gives -0.5 for a phase error. `n_doses` are those of the fit, with `n_values` numbers; the 95 %
    interval is `power` ± `half_width_95`.
    """

    power: float = Field(allow_inf_nan=False)
    standard_error: float = Field(ge=0, allow_inf_nan=False)
    half_width_95: float = Field(ge=0, allow_inf_nan=False)
    n_doses: int
    n_values: int


class CurvePoint(Frozen):
    """The values that the repeats of one dose gave, in the target's unit.

    `values` are those of the completed repeats, of the cells that are named in `cells`; `level` is the number that the
    wanted share of all repeats reaches, absent where too many of them failed.
    """

    light: Light
    cells: tuple[str, ...]
    values: tuple[float, ...]
    n_failed: int = 0
    level: float | None = None


class LinePoint(Frozen):
    """A place on the line through the levels: dose in the study's unit, fluence where it is known, level."""

    dose: float
    fluence_photons_per_px2: float | None = None
    level: float


class LimitCurve(SeriesCoordinates):
    """The points of one view, split, recipe and setup in order of dose, and the number without noise.

    `line` goes through the levels as the limit was looked for, on a monotone cubic in logarithms.
    A phase error has a slope; a resolution, which ends at a pixel and at the size of the area, has none.
    """

    points: tuple[CurvePoint, ...]
    line: tuple[LinePoint, ...] = ()
    noise_free: float | None = None
    slope: Slope | None = None


def limit_curve(series: Series, target: Target) -> LimitCurve:
    """Gather the curve of a series for a target; without points where nothing was measured."""
    points = tuple(_point(point, target) for point in series.points)
    return LimitCurve(
        run_name=series.run_name,
        view=series.cell.view,
        split=series.cell.split,
        recipe_name=series.cell.recipe_name,
        setup_name=series.cell.setup_name,
        points=points,
        line=_line(points),
        noise_free=series.noise_free if series.noise_free is not None and math.isfinite(series.noise_free) else None,
        slope=None if target.is_resolution else fitted_slope(series),
    )


def _point(point: DosePoint, target: Target) -> CurvePoint:
    named = [(cell.name, value) for cell, value in zip(point.cells, point.pooled, strict=True) if math.isfinite(value)]
    level = reached_level(point.pooled, target.share)
    return CurvePoint(
        light=point.light,
        cells=tuple(name for name, _ in named),
        values=tuple(value for _, value in named),
        n_failed=len(point.pooled) - len(named),
        level=level if math.isfinite(level) else None,
    )


def _line(points: Sequence[CurvePoint]) -> tuple[LinePoint, ...]:
    """Draw the levels that are known as a monotone cubic through their logarithms, over those of the dose."""
    known = [(point.light, point.level) for point in points if point.level is not None]
    if len(known) < 2:
        return ()
    from scipy.interpolate import PchipInterpolator

    axis = np.log([light.dose for light, _ in known])
    cubic = PchipInterpolator(axis, np.log([level for _, level in known]))
    n_gaps = len(known) - 1
    n_steps = max(1, min(N_LINE_STEPS, MAX_LINE_STEPS // n_gaps))
    fine = np.interp(np.arange(n_gaps * n_steps + 1) / n_steps, np.arange(len(known)), axis)
    lights = lights_at([light for light, _ in known], fine.tolist())
    return tuple(
        LinePoint(
            dose=float(f"{light.dose:.6g}"),
            fluence_photons_per_px2=light.fluence_photons_per_px2,
            level=float(f"{math.exp(level):.6g}"),
        )
        for light, level in zip(lights, cubic(fine).tolist(), strict=True)
    )


def fitted_slope(series: Series) -> Slope | None:
    """Fit the power of the fluence with which the phase errors of a series fall.

    Parameters
    ----------
    series : Series
        Its doses count where their mean error is at least 1.5 times that of the noise-free cells, if there are some:
        below that it is not photons that limit them.

    Returns
    -------
    Slope or None
        None with fewer than three such doses of different fluence.

    Notes
    -----
    Least squares of the logarithm of each repeat's error on that of the fluence (SciPy's `linregress`): as all repeats
    weigh the same, a dose weighs as many times as it has repeats. The standard error is that of the residuals, which
    hold the repeats' spread and the curve's departure from a power law. Its degrees of freedom are two less than the
    numbers, and the half width is as many standard errors as Student's t has for them: 12.7 for three numbers. Where no
    fluence is known the dose takes its place: the two are proportional within a view.
    """
    floor = series.noise_free or 0.0
    log_fluences: list[float] = []
    log_errors: list[float] = []
    for point in series.points:
        numbers = [value for value in point.pooled if math.isfinite(value) and value > 0]
        if not numbers or math.exp(sum(map(math.log, numbers)) / len(numbers)) < PHOTON_LIMITED_RATIO * floor:
            continue
        fluence = point.light.fluence_photons_per_px2 or point.light.dose
        log_fluences += [math.log(fluence)] * len(numbers)
        log_errors += [math.log(number) for number in numbers]
    n_doses = len(set(log_fluences))
    if n_doses < MIN_SLOPE_DOSES:
        return None
    if min(log_errors) == max(log_errors):  # of which SciPy has no standard error
        return Slope(power=0.0, standard_error=0.0, half_width_95=0.0, n_doses=n_doses, n_values=len(log_errors))
    from scipy.stats import linregress, t

    fit = linregress(log_fluences, log_errors)
    return Slope(
        power=float(fit.slope),
        standard_error=float(fit.stderr),
        half_width_95=float(t.ppf(0.975, len(log_errors) - 2) * fit.stderr),
        n_doses=n_doses,
        n_values=len(log_errors),
    )
