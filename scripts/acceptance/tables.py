"""What reductions share: the columns of `run.table()` they look at, repeats gathered, and fits of powers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from acceptance.results import Curve, Spread
from fly64dask.metrics import compare_repeats, holm

if TYPE_CHECKING:
    import pandas

ERROR = "metrics.phase_rmse_rad"
RESOLUTION = "metrics.frc.half_bit.resolution_px"
FLUENCE = "fluence_photons_per_px2"
LEVEL = 0.05  # of a test


def gathered(table: pandas.DataFrame, by: Sequence[str], columns: Sequence[str]) -> list[tuple[tuple[Any, ...], Any]]:
    """Gather the repeats of a run's cells.

    Parameters
    ----------
    table : pandas.DataFrame
        Of `run.table()`.
    by : sequence of str
        Levels of its index that stay apart, in the order of the rows; the others are repeats.
    columns : sequence of str
        Numbers to gather.

    Returns
    -------
    list of (key, group)
        In the study's order: values of `by`, and by name of a column the `Spread` over repeats or None. A resolution
        of a pixel or finer is 1 px.
    """
    flat = table.reset_index()
    if RESOLUTION in flat:
        # Without a crossing the correlation stays above the criterion up to Nyquist: pixels show nothing finer.
        flat[RESOLUTION] = flat[RESOLUTION].where(flat[RESOLUTION].notna() | flat[ERROR].isna(), 1.0)
    found = []
    for key, group in flat.groupby(list(by), sort=False):
        numbers = {name: Spread.of(group[name]) if name in group else None for name in columns}
        found.append((key if isinstance(key, tuple) else (key,), numbers))
    return found


def fitted_power(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Fit the power of x with which y goes, by least squares of the logarithms; gives it and its standard error."""
    from scipy.stats import linregress

    fit = linregress([math.log(each) for each in x], [math.log(each) for each in y])
    return float(fit.slope), float(fit.stderr)


def adjusted_p_values(one: Spread, others: Sequence[Spread]) -> list[float | None]:
    """Test whether each of some groups of repeats differs from one beyond the spread, corrected for their number.

    Parameters
    ----------
    one : Spread
        What all are compared with.
    others : sequence of Spread
        The others.

    Returns
    -------
    list of float or None
        Corrected p values in the order of `others`; None where one of both has no spread.
    """
    found = [compare_repeats(one.values, other.values, paired=False).p for other in others]
    corrected = iter(holm([p for p in found if p is not None]))
    return [None if p is None else next(corrected) for p in found]


def guide(label: str, x: Sequence[float], start: float, power: float) -> Curve:
    """Draw a power of x through `start` at the first x."""
    ends = (min(x), max(x))
    return Curve(
        label=label, x=ends, y=tuple(Spread(mean=start * (each / ends[0]) ** power) for each in ends), is_guide=True
    )


def curve(label: str, points: Sequence[tuple[float | None, Spread | None]]) -> Curve:
    """Draw what is known of some points, in their order."""
    known = [(x, y) for x, y in points if x is not None and y is not None]
    return Curve(label=label, x=tuple(x for x, _ in known), y=tuple(y for _, y in known))
