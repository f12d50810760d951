"""The columns of a run's table: the fields of a manifest row, whatever the row of a cell holds."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from fly64dask.records.manifest import ManifestRow
from fly64dask.study import CellCoordinates


@functools.cache
def row_columns() -> Mapping[str, type]:
    """Return the type of each column of a manifest row, in the order of its fields: bool, int, float or str.

    A record within the row has a column for each of its fields, such as `metrics.phase.rmse`. A list or a mapping is
    one column, of JSON. The coordinates of the cell are left out: which of them there are depends on the study.
    """
    return {name: kind for name, kind in _columns(ManifestRow, "") if name not in CellCoordinates.model_fields}


def _columns(record: type[BaseModel], path: str) -> Iterator[tuple[str, type]]:
    for name, field in record.model_fields.items():
        annotation = _without_none(field.annotation)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _columns(annotation, f"{path}{name}.")
        else:
            yield f"{path}{name}", _kind(annotation)


def _without_none(annotation: Any) -> Any:
    """Give the type of a field that may be absent; of several the first, as these are of one kind."""
    choices = [choice for choice in get_args(annotation) if choice is not NoneType]
    return choices[0] if NoneType in get_args(annotation) else annotation


def _kind(annotation: Any) -> type:
    while get_origin(annotation) is not None and get_origin(annotation) not in (tuple, dict, Literal):
        annotation = get_args(annotation)[0]  # of a union, the first
    value_type = type(get_args(annotation)[0]) if get_origin(annotation) is Literal else annotation
    return value_type if value_type in (bool, int, float) else str
