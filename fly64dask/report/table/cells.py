"""Chooses the columns of a table of cells and their order, which do not depend on how the cells have ended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fly64dask.records import row_columns
from fly64dask.report.columns import in_order, is_mapped
from fly64dask.report.table.gathering import TableColumns

if TYPE_CHECKING:
    from fly64dask.report.columns import FlatRow

DIMENSIONS = ("dose", "view", "split", "repeat")
# These as well if a study names recipes, or lists objects or values of its setup.
FURTHER_DIMENSIONS = ("recipe_name", "object_seed", "setup_name")
RUN = "run"  # of a table of several
INDEX = (RUN, *DIMENSIONS, *FURTHER_DIMENSIONS)
# Columns that a reader of the table looks for first.
LEADING_COLUMNS = ("state", "failure_kind", "error", "n_kept")


def cell_columns(flat_cells: Iterable[FlatRow]) -> TableColumns:
    """Gather the columns of a table: coordinates, state, failure, numbers, other fields.

    Parameters
    ----------
    flat_cells : iterable of mapping
        Cells as `flat_row` makes them, with a column `run` if there are several runs. They are read one after the
        other, and none is kept.

    Returns
    -------
    TableColumns
        All of `row_columns`, empty where no cell has a value, and the coordinates that the cells have.
    """
    columns = TableColumns(row_columns())
    for flat in flat_cells:
        columns.add(flat)
    numbers = in_order(name for name in columns.names if is_mapped(name) and columns.has_numbers(name))
    first = (name for name in (*INDEX, *LEADING_COLUMNS) if name in columns.names)
    columns.reorder(dict.fromkeys((*first, *numbers, *columns.names)))
    return columns
