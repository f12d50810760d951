"""What an acceptance study found, as records in one JSON file: claims, tables, and the curves of its figure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from fly64dask.base import Frozen

Verdict = Literal["as published", "not as published", "no bar"]


class Spread(Frozen):
    """Mean and sample standard deviation of repeats, with their `values`; one repeat has no standard deviation."""

    mean: float = Field(allow_inf_nan=False)
    standard_deviation: float | None = None
    values: tuple[float, ...] = ()

    @classmethod
    def of(cls, numbers: Iterable[float]) -> Spread | None:
        """Summarise those of some numbers that are known; None if none is.

        Parameters
        ----------
        numbers : iterable of float
            One for each repeat; NaN where it has none.
        """
        known = [float(value) for value in numbers if math.isfinite(value)]
        if not known:
            return None
        mean = sum(known) / len(known)
        if len(known) == 1:
            return cls(mean=mean, values=tuple(known))
        variance = sum((value - mean) ** 2 for value in known) / (len(known) - 1)
        return cls(mean=mean, standard_deviation=math.sqrt(variance), values=tuple(known))

    def __str__(self) -> str:
        """Write mean and spread with as many digits as the spread allows."""
        if not self.standard_deviation:
            return shown_number(self.mean)
        digits = min(6, max(0, 1 - math.floor(math.log10(self.standard_deviation))))
        return f"{self.mean:.{digits}f} ± {self.standard_deviation:.{digits}f}"


def shown_number(value: float) -> str:
    """Write a number with three digits, above a thousand with four, and from ten thousand on as 3.16e4."""
    if abs(value) < 1e4:
        return f"{value:.4g}" if abs(value) >= 1e3 else f"{value:.3g}"
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"


CellValue = Spread | float | int | str | None


class Claim(Frozen):
    """One published result with its source, our number beside it, and whether they agree.

    `rule` says when they do, as it was computed; "no bar" is for a number that is printed beside another alone.
    """

    published: str
    source: str
    ours: str
    rule: str
    verdict: Verdict


class Table(Frozen):
    """A table of results; a row has a value for each column, None where nothing was measured."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[CellValue, ...], ...]


class Curve(Frozen):
    """A line of a panel; a guide is drawn thin and without points."""

    label: str
    x: tuple[float, ...]
    y: tuple[Spread, ...]
    is_guide: bool = False


class Panel(Frozen):
    """One diagram of a study's figure; `band` shades a range of x that was published."""

    title: str
    x_label: str
    y_label: str
    curves: tuple[Curve, ...]
    x_log: bool = False
    y_log: bool = False
    band: tuple[float, float] | None = None
    band_label: str = ""


class Finding(Frozen):
    """What the runs of a study were reduced to."""

    claims: tuple[Claim, ...]
    tables: tuple[Table, ...]
    panels: tuple[Panel, ...] = ()


class Result(Frozen):
    """A finding, with how it was made: sizes, cells, the sum of their wall times, and the machine."""

    study: str
    title: str
    sizes: Literal["quick", "usual", "full"]
    cell_seconds: float
    n_cells: int
    n_failed: int
    made_on: str
    finding: Finding


def write_result(result: Result, folder: Path) -> Path:
    """Write a result as `folder/<study>.json`; gives the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.study}.json"
    path.write_text(result.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return path


def read_result(path: Path) -> Result:
    """Read a result that `write_result` wrote."""
    return Result.model_validate_json(path.read_text(encoding="utf-8"))
