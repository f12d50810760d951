"""The cells of a run as a table and as a labelled dataset, with the unit and the label of every number."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.records import quantity_of
from fly64dask.report import (
    DIMENSIONS,
    FURTHER_DIMENSIONS,
    INDEX,
    cell_columns,
    flat_row,
    in_order,
    mapped_numbers,
    table_attributes,
)
from fly64dask.study import DOSE_UNITS, Cell, Repeats, Study, cells, doses_of

if TYPE_CHECKING:
    import pandas
    import xarray

    from fly64dask.monitoring import CellWithRow
    from fly64dask.report import FlatRow, Value

LABELS = {
    "dose": {"long_name": "dose"},
    "view": {"long_name": "view"},
    "split": {"long_name": "split"},
    "repeat": {"long_name": "noise realisation"},
    "recipe_name": {"long_name": "recipe"},
    "object_seed": {"long_name": "seed of the object"},
    "setup_name": {"long_name": "setup"},
}


def flat_cell(each: CellWithRow) -> dict[str, Value]:
    """Spread a cell over columns: its coordinates, what its row holds, its state. Nested fields have dotted names."""
    return _coordinates(each.cell) | ({} if each.row is None else flat_row(each.row)) | {"state": each.state}


def _coordinates(cell: Cell) -> dict[str, Value]:
    named = {name: getattr(cell, name) for name in (*DIMENSIONS, *FURTHER_DIMENSIONS)}
    return {name: value for name, value in named.items() if value is not None}


def dimensions_of(some_cells: Collection[Cell]) -> tuple[str, ...]:
    """Name the coordinates that tell a study's cells apart: recipe, object and setup where the study has several."""
    further = (name for name in FURTHER_DIMENSIONS if any(getattr(cell, name) is not None for cell in some_cells))
    return (*DIMENSIONS, *further)


def run_table(study: Study, flat_cells: Iterable[FlatRow]) -> pandas.DataFrame:
    """Lay out cells as a table with the columns of `cell_columns`, indexed by their coordinates.

    What a cell does not have is missing. `attrs` are `table_attributes`.
    """
    import pandas

    columns = cell_columns(flat_cells)
    values = {
        name: _series(list(chain.from_iterable(columns.pieces(name))), columns.kind(name)) for name in columns.names
    }
    table = pandas.DataFrame(values, copy=False)
    table = table.set_index([name for name in INDEX if name in columns.names])
    table.attrs = dict(table_attributes(study, columns))
    return table


def _series(values: list[Value | None], kind: type | None) -> pandas.Series:
    """Make a column; one without values has the type of one that lacks some."""
    import pandas

    if kind is None or any(value is not None for value in values):
        return pandas.Series(values)
    return pandas.Series(values, dtype=pandas.Series([kind(), None]).dtype)


def metrics_dataset(study: Study, each: Iterable[CellWithRow]) -> xarray.Dataset:
    """Lay out the numbers of a run's cells over their coordinates: float64 variables, NaN where a cell has none.

    Names are those of the table without `metrics.`, joined by `_`. `units` and `long_name` are attributes, `column` is
    the name in the table. The coordinate `state` has the state of each cell.
    """
    import xarray

    matrix = cells(study)
    dimensions, axes = dimensions_of(matrix), _axes(study)
    shape = tuple(len(axes[name]) for name in dimensions)
    position = {cell: tuple(axes[name].index(getattr(cell, name)) for name in dimensions) for cell in matrix}
    arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = {}
    state_of = np.full(shape, "", dtype=object)
    for cell, state, row in each:
        state_of[position[cell]] = state
        for column, value in mapped_numbers({} if row is None else flat_row(row)).items():
            arrays.setdefault(column, np.full(shape, np.nan))[position[cell]] = value
    values = axes | {"dose": _dose_values(study)}
    labels = LABELS | {"dose": LABELS["dose"] | {"units": DOSE_UNITS[study.dose_by]}}
    return xarray.Dataset(
        {_variable(column): (dimensions, arrays[column], _attributes(column)) for column in in_order(arrays)},
        coords={name: (name, values[name], labels[name]) for name in dimensions}
        | {"state": (dimensions, state_of.astype(str), {"long_name": "state of the cell"})},
        attrs={"study": study.name},
    )


def _axes(study: Study) -> dict[str, list[Any]]:
    return {
        "dose": list(doses_of(study)),
        "view": [view.name for view in study.views],
        "split": list(study.splits),
        "repeat": list(range(Repeats(study).most())),
        "recipe_name": list(study.recipe_names),
        "object_seed": list(study.object_seeds),
        "setup_name": list(study.setup_names),
    }


def _dose_values(study: Study) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """Doses as numbers, or as Python objects where one of them is a word: `measured` or `noise_free`."""
    dtype = object if any(isinstance(dose, str) for dose in doses_of(study)) else np.float64
    return np.array(doses_of(study), dtype=dtype)


def _variable(column: str) -> str:
    """Name a variable so that it can be written as an attribute of the dataset."""
    return column.removeprefix("metrics.").replace(".", "_")


def _attributes(column: str) -> dict[str, str]:
    quantity = quantity_of(column)
    better = {"better": quantity.better} if quantity.better else {}
    return {"long_name": quantity.label, "units": quantity.unit or "1", **better, "column": column}
