"""Writes limits as sentences and numbers for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fly64dask.base import counted
from fly64dask.study import AGAINST_WORDS, CRITERION_WORDS, DOSE_UNITS, DoseBy, Target

if TYPE_CHECKING:
    from fly64dask.records.limits.crossing import Outcome
    from fly64dask.records.limits.limit import DoseLimit
    from fly64dask.records.limits.overlap import OverlapLimit
    from fly64dask.records.limits.points import Light

# What an outcome is called, and a sign that says it without colour.
OUTCOME_WORDS: dict[Outcome, str] = {
    "reached": "reached",
    "reached_already": "at the lowest dose already",
    "not_reached": "not reached",
    "not_monotonic": "not monotonic",
    "unknown": "nothing measured",
}
OUTCOME_SIGNS: dict[Outcome, str] = {
    "reached": "✔",
    "reached_already": "≤",
    "not_reached": "✘",
    "not_monotonic": "≈",
    "unknown": "–",
}
# An interval whose ends are closer than this factor needs a third digit.
NARROW = 1.2


def target_words(target: Target) -> str:
    """Say what a target asks for, in full."""
    against = AGAINST_WORDS[target.against] if target.against else ""
    of_share = "" if target.share == 0.5 else f", in {percent(target.share)} of the repeats"
    if target.is_resolution:
        return f"resolution of {target.label} ({CRITERION_WORDS[target.criterion]}, {against}{of_share})"
    return f"phase error of {target.label} ({against}{of_share})"


def light_words(light: Light, dose_by: DoseBy) -> str:
    """Write the number of the study's own unit first, the others behind it."""
    return f"{number_words(light.dose)} {DOSE_UNITS[dose_by]}{_further_words(light, dose_by)}"


def dose_sentence(limit: DoseLimit, target: Target, dose_by: DoseBy) -> str:
    """Say in a sentence how low the dose of a view can go, and which of its cells do not count."""
    who = f"{_place_words(limit)}, {target.label}"
    if limit.outcome == "unknown":
        return f"{who}: nothing is known of its cells, {limit.why}."
    pending = "" if limit.why is None else f" (cells that do not count: {limit.why})"
    idle = ""
    if limit.empty is not None and limit.empty <= target.value:
        idle = f"; an empty object has {value_words(limit.empty, target)} already"
    return f"{who} {_dose_words(limit, target, dose_by)}{idle}{pending}."


def _dose_words(limit: DoseLimit, target: Target, dose_by: DoseBy) -> str:
    unit = DOSE_UNITS[dose_by]
    assert limit.lowest_dose is not None and limit.highest_dose is not None, "something was measured"
    if limit.outcome == "reached_already":
        return f"is reached already at the lowest dose, {light_words(limit.lowest_dose, dose_by)}"
    if limit.outcome == "not_reached":
        best = "" if limit.best is None else f"; the highest dose gives {value_words(limit.best, target)}"
        return f"is not reached up to {number_words(limit.highest_dose.dose)} {unit}{best}{_floor_words(limit, target)}"
    if limit.outcome == "not_monotonic":
        assert limit.first_reach is not None and limit.last_miss is not None, "it is reached, and missed again"
        first, last = number_words(limit.first_reach), number_words(limit.last_miss)
        return f"is not monotonic in dose: first reached at {first} {unit}, and missed again at {last}"
    assert limit.lowest is not None, "a reached target has its lowest light"
    # Of a number, and of an interval of its repeats, nobody would guess that the doses may be a decade apart.
    assert limit.first_reach is not None and limit.last_miss is not None, "a reached target has two doses beside it"
    beside = f"{number_words(limit.last_miss, 3)} misses, {number_words(limit.first_reach, 3)} reaches"
    lowest, interval = limit.lowest.dose, limit.interval
    number, of_interval = number_words(lowest), "no interval"
    if interval is not None:
        number, ends = interval_parts(lowest, interval.doses)
        of_interval = f"{percent(interval.level)} interval of {counted(limit.n_beside or 0, 'cell')} each: {ends}"
    return f"needs {number} {unit} ({beside}; {of_interval}){_further_words(limit.lowest, dose_by)}"


def overlap_sentence(limit: OverlapLimit, target: Target) -> str:
    """Say in a sentence how low the overlap can go with one fluence."""
    who = f"With {number_words(limit.fluence_photons_per_px2)} photons/px² ({_series_words(limit)}), {target.label}"
    if limit.outcome == "reached_already":
        return f"{who} is reached already by the sparsest view that has numbers, {limit.views[0]}."
    if limit.outcome == "not_reached":
        return f"{who} is reached by no view, up to {limit.views[-1]}, the densest."
    if limit.outcome == "not_monotonic":
        return f"{who} is not monotonic in overlap: a denser view misses again."
    assert limit.lowest is not None, "a reached target has its lowest overlap"
    ends, low, high = limit.interval, limit.last_miss, limit.first_reach
    assert low is not None and high is not None, "a reached target has two views beside it"
    between = f"between the views of {overlap_words(low)}, which misses, and {overlap_words(high)}"
    if ends is not None:
        low_words = "below the sparsest view" if ends.low is None else overlap_words(ends.low)
        high_words = "above the densest view" if ends.high is None else overlap_words(ends.high)
        between += f"; {percent(ends.level)} interval: {low_words} to {high_words}"
    return f"{who} needs a linear overlap of {overlap_words(limit.lowest)} ({between})."


def interval_words(number: float, ends: tuple[float | None, float | None] | None) -> str:
    """Write a dose with its interval, with as many digits as the interval means: `1.9e4 (1.6e4 to 2.3e4)`."""
    if ends is None:
        return number_words(number)
    return "{} ({})".format(*interval_parts(number, ends))


def interval_parts(number: float, ends: tuple[float | None, float | None]) -> tuple[str, str]:
    """Write a dose and its interval apart: `1.9e4`, `1.6e4 to 2.3e4`."""
    low, high = ends
    is_narrow = low is not None and high is not None and high < NARROW * low
    digits = 3 if is_narrow else 2
    low_words = "below the lowest dose" if low is None else number_words(low, digits)
    high_words = "above the highest dose" if high is None else number_words(high, digits)
    return number_words(number, digits), f"{low_words} to {high_words}"


def number_words(number: float, digits: int = 2) -> str:
    """Write a positive number with so many digits, as papers do: `0.34`, `12`, `940`, `1.9e4`."""
    mantissa, _, exponent = f"{number:.{digits - 1}e}".partition("e")
    power = int(exponent)
    if -2 <= power < 3:
        return f"{float(f'{mantissa}e{power}'):.{max(0, digits - 1 - power)}f}"
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{power}"


def percent(share: float) -> str:
    """Write a share in per cent."""
    return f"{100 * share:.0f} %".replace("-", "−")


def overlap_words(overlap: float) -> str:
    """Write a linear overlap, 1 - step / diameter; below 0 it is a gap between beams."""
    return percent(overlap) + (" (beams apart)" if overlap < 0 else "")


def value_words(number: float, target: Target) -> str:
    """Write a number in the unit of a target."""
    unit = target.label.partition(" ")[2]
    return f"{number:.3g} {unit}"


def _further_words(light: Light, dose_by: DoseBy) -> str:
    """The same light in the other units, each after a comma."""
    further = {
        "exposure": (light.photons_per_exposure, "photons per exposure"),
        "fluence": (light.fluence_photons_per_px2, "photons/px²"),
        "nm": (light.fluence_photons_per_nm2, "photons/nm²"),
        "total": (light.total_photons, "photons in total"),
    }
    further.pop(dose_by)
    return "".join(f", {number_words(number)} {unit}" for number, unit in further.values() if number is not None)


def _place_words(limit: DoseLimit) -> str:
    overlap = limit.linear_overlap
    names = ", ".join(filter(None, (limit.run_name, limit.view, limit.split, limit.recipe_name, limit.setup_name)))
    if overlap is None:
        return f"In {names}"
    if overlap < 0:
        return f"With beams that do not touch ({names})"
    return f"At {percent(overlap)} linear overlap ({names})"


def _series_words(limit: OverlapLimit) -> str:
    return ", ".join(filter(None, (limit.run_name, limit.split, limit.recipe_name, limit.setup_name)))


def _floor_words(limit: DoseLimit, target: Target) -> str:
    """Whether photons can help at all: what the same view gives without noise."""
    if limit.noise_free is None or target.kind == "error_over_floor":
        return ""
    hopeless = ": more photons do not help" if limit.noise_free > target.value else ""
    return f", data without noise {value_words(limit.noise_free, target)}{hopeless}"
