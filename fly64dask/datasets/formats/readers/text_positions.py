"""Read positions from a text whose first line names its columns."""

from __future__ import annotations

from pathlib import Path

from fly64dask.base import InputError
from fly64dask.datasets.formats.joining import Parts
from fly64dask.datasets.formats.options import LengthUnit, ReadOptions
from fly64dask.datasets.formats.position_file import EXAMPLE, column_names, read_text
from fly64dask.datasets.formats.units import METRES

# Names of columns that say their unit.
UNITS: tuple[LengthUnit, ...] = ("px", "m", "mm", "um", "nm")


def read_text_positions(path: Path, options: ReadOptions) -> Parts:
    """Read positions from the two columns that a person names with a unit, else y_m and x_m, y_px and x_px, or such.

    Raises InputError if there are no such columns: a table without names may be (x, y) or (y, x).
    """
    names = column_names(path)
    columns, unit = _columns(path, names, options)
    positions = read_text(path, columns)
    return Parts(
        file_format="text",
        path=path,
        positions=positions if unit in ("px", "m") else positions * METRES[unit],
        positions_unit="px" if unit == "px" else "m",
        remedy="a text holds positions only: give the file of the patterns too",
    )


def _columns(path: Path, names: list[str], options: ReadOptions) -> tuple[tuple[str, str], LengthUnit]:
    y, x, unit = options.positions_y, options.positions_x, options.positions_unit
    if isinstance(y, str) and isinstance(x, str) and unit is not None:
        return (y, x), unit
    for each in UNITS:
        if f"y_{each}" in names and f"x_{each}" in names:
            return (f"y_{each}", f"x_{each}"), each
    raise InputError(
        f"read positions {path}: a text whose first line is {names[:6]}, needed names of its columns that "
        "say their unit",
        remedy=f"give {EXAMPLE} or y_m,x_m; or --positions-y NAME --positions-x NAME --positions-unit UNIT",
    )
