"""The label and the unit of a number in a record, and whether lower or higher is better, declared at its field."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from pydantic import BaseModel

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

Better = Literal["lower", "higher"] | None
# Stands for the unit of a number whose unit is declared at the field that holds its record.
UNIT_OF_RECORD = "that of its record"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number's label, its unit (empty for a plain number) and which way is better, if either is.

    It stands in the `Annotated` type of a record's field; the published JSON schema has it as `title`, `unit` and
    `better`.
    """

    label: str
    unit: str = ""
    better: Better = None

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Add the quantity to the schema of its field."""
        described = {"title": self.label, "unit": self.unit, "better": self.better}
        return handler(schema) | {name: value for name, value in described.items() if value}


@dataclass(frozen=True, slots=True)
class Quantities:
    """A prefix for the labels of a record's numbers, and the unit of those numbers that declare none themselves.

    It stands in the `Annotated` type of a field that holds a record. `rated` is False if neither higher nor lower
    numbers are better, as for those of an empty object.
    """

    label: str
    unit: str = ""
    rated: bool = True


def quantities_of(model: type[BaseModel]) -> dict[str, Quantity]:
    """Collect the quantities that the fields of a record describe.

    Parameters
    ----------
    model : type of pydantic model
        The record.

    Returns
    -------
    dict of str to Quantity
        By field; of a record within a record by `field.inner`. A record's own numbers come before those of the
        records in it, each in the order of the fields.
    """
    return dict(_described(model, "", Quantities("")))


def _described(model: type[BaseModel], path: str, holder: Quantities) -> Iterator[tuple[str, Quantity]]:
    records = []
    for name, field in model.model_fields.items():
        for described in field.metadata:
            if isinstance(described, Quantity):
                yield f"{path}{name}", _in_record(described, holder)
            elif isinstance(described, Quantities):
                inner = Quantities(_joined(holder, described.label), described.unit, holder.rated and described.rated)
                records.append((_record_in(field.annotation), f"{path}{name}.", inner))
    for record, inner_path, inner in records:
        yield from _described(record, inner_path, inner)


def _in_record(own: Quantity, holder: Quantities) -> Quantity:
    return replace(
        own,
        label=_joined(holder, own.label),
        unit=holder.unit if own.unit == UNIT_OF_RECORD else own.unit,
        better=own.better if holder.rated else None,
    )


def _joined(holder: Quantities, label: str) -> str:
    return f"{holder.label} {label}".strip()


def _record_in(annotation: Any) -> type[BaseModel]:
    """Find the type of record that a field holds, also if the field may be None."""
    choices = (annotation, *get_args(annotation))
    return next(choice for choice in choices if isinstance(choice, type) and issubclass(choice, BaseModel))
