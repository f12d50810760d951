"""The cells of a run as a table and as a labelled dataset, with the unit and the label of every number."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.records import quantity_of
from fly64dask.report import Value, flat_row, in_order, mapped_numbers, table_attributes
from fly64dask.study import DOSE_UNITS, Cell, Repeats, Study, cells, doses_of

if TYPE_CHECKING:
    import pandas
    import xarray

    from fly64dask.monitoring import CellWithRow
    from fly64dask.records import ManifestRow

DIMENSIONS = ("dose", "view", "split", "repeat")
# These as well where a study names recipes, or lists objects or values of its setup.
FURTHER_DIMENSIONS = ("recipe_name", "object_seed", "setup_name")
LABELS = {
    "dose": {"long_name": "dose"},
    "view": {"long_name": "view"},
    "split": {"long_name": "split"},
    "repeat": {"long_name": "noise realisation"},
    "recipe_name": {"long_name": "recipe"},
    "object_seed": {"long_name": "seed of the object"},
    "setup_name": {"long_name": "setup"},
}
# What a reader of the table looks for first.
LEADING_COLUMNS = ("state", "failure_kind", "error", "n_kept")


def flat_cells(each: Iterable[CellWithRow]) -> list[dict[str, Value | None]]:
    """Spread the cells of a run over columns: coordinates, state, failure, numbers, other fields; None where a cell has
    none.

    There is one dict for each cell, all with the same columns in the same order. Fields of nested records have dotted
    names, such as `metrics.phase_rmse_rad`. Rows are taken one after the other and not kept.
    """
    flat: list[dict[str, Value]] = []
    for cell, state, row in each:
        values = _coordinates(cell) | ({} if row is None else flat_row(row)) | {"state": state}
        # Many cells share a version, a digest, a word: each is kept once.
        flat.append({name: sys.intern(value) if type(value) is str else value for name, value in values.items()})
    names = dict.fromkeys(name for values in flat for name in values)
    numbers = in_order(name for values in flat for name in mapped_numbers(values))
    dimensions = (name for name in (*DIMENSIONS, *FURTHER_DIMENSIONS) if name in names)
    columns = tuple(dict.fromkeys(name for name in (*dimensions, *LEADING_COLUMNS, *numbers, *names) if name in names))
    whole: list[dict[str, Value | None]] = []
    flat.reverse()
    while flat:  # each is given up as soon as it is copied
        values = flat.pop()
        whole.append({name: values.get(name) for name in columns})
    return whole


def _coordinates(cell: Cell) -> dict[str, Value]:
    named = {name: getattr(cell, name) for name in (*DIMENSIONS, *FURTHER_DIMENSIONS)}
    return {name: value for name, value in named.items() if value is not None}


def dimensions_of(some_cells: Collection[Cell]) -> tuple[str, ...]:
    """Name the coordinates that tell a study's cells apart: recipe, object and setup where the study has several."""
    further = (name for name in FURTHER_DIMENSIONS if any(getattr(cell, name) is not None for cell in some_cells))
    return (*DIMENSIONS, *further)


def run_table(study: Study, each: Iterable[CellWithRow]) -> pandas.DataFrame:
    """Lay out a run's cells as a table with the columns of `flat_cells`, indexed by their coordinates.

    It has one line for each cell of the study. What a cell does not have is missing. `attrs` are `table_attributes`.
    """
    import pandas

    flat_rows = flat_cells(each)
    table = pandas.DataFrame(flat_rows).set_index(list(dimensions_of(cells(study))))
    table.attrs = dict(table_attributes(study, flat_rows))
    return table


def metrics_dataset(study: Study, rows: Iterable[ManifestRow], states: Mapping[Cell, str]) -> xarray.Dataset:
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
    for row in rows:
        for column, value in mapped_numbers(flat_row(row)).items():
            arrays.setdefault(column, np.full(shape, np.nan))[position[row.cell]] = value
    state = np.full(shape, "", dtype=object)
    for cell, word in states.items():
        state[position[cell]] = word
    values = axes | {"dose": _dose_values(study)}
    labels = LABELS | {"dose": LABELS["dose"] | {"units": DOSE_UNITS[study.dose_by]}}
    return xarray.Dataset(
        {_variable(column): (dimensions, arrays[column], _attributes(column)) for column in in_order(arrays)},
        coords={name: (name, values[name], labels[name]) for name in dimensions}
        | {"state": (dimensions, state.astype(str), {"long_name": "state of the cell"})},
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
