"""Labels, units and better directions of the columns of a run's table, as the records' own fields describe them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from fly64dask.base import Quantity, quantities_of
from fly64dask.records.manifest import ManifestRow

# What the project's names end in, longest first.
SUFFIX_UNITS = {
    "_cycles_per_px": "cycles/px",
    "_per_px": "1/px",
    "_photons": "photons",
    "_bytes": "bytes",
    "_px2": "px²",
    "_rad": "rad",
    "_nm": "nm",
    "_px": "px",
    "_db": "dB",
    "_m": "m",
    "_s": "s",
}


@functools.cache
def described_columns() -> Mapping[str, Quantity]:
    """Return the quantities of a manifest row by column: `n_kept`, or `metrics.phase.rmse` of a record within it."""
    return quantities_of(ManifestRow)


def quantity_of(column: str) -> Quantity:
    """Return the label, the unit and the better direction of a column.

    Parameters
    ----------
    column : str
        Name of a field of a manifest row, dotted for a field of a record within it: `metrics.phase_rmse_rad`.

    Returns
    -------
    Quantity
        As the field describes it. A column that no field describes is called by its own name, with the unit that
        the name ends in.
    """
    described = described_columns().get(column)
    if described is not None:
        return described
    record, _, name = column.rpartition(".")
    suffix = next((suffix for suffix in SUFFIX_UNITS if name.endswith(suffix)), "")
    label = name.removesuffix(suffix).replace("_", " ")
    holder = record.removeprefix("metrics").lstrip(".").replace("_", " ").replace(".", " ")
    return Quantity(f"{holder}: {label}" if holder else label, SUFFIX_UNITS.get(suffix, ""))


def number_at(row: ManifestRow, column: str) -> float | None:
    """Give the number that a row has in a column, such as `metrics.phase_rmse_rad`; None where it has none."""
    value: Any = row
    for name in column.split("."):
        value = getattr(value, name, None)
    return value if isinstance(value, int | float) else None
