"""The base class of records: what checks a record is built at its first use, or for all records at once."""

from __future__ import annotations

from fly64dask.base import Frozen, build_records, meanings_of


def test_build_records_builds_what_checks_every_class_that_is_loaded():
    class Spot(Frozen):
        number: int

    class Scan(Spot):
        further: tuple[Spot, ...] = ()

    is_built_before = (Spot.__pydantic_complete__, Scan.__pydantic_complete__)
    build_records()
    assert (is_built_before, Spot.__pydantic_complete__, Scan.__pydantic_complete__) == ((False, False), True, True)


class Point(Frozen):
    """A point.

    It lies in a plane.

    Parameters
    ----------
    y, x : float
        Coordinates,
        px.
    """

    y: float
    x: float


class Named(Point):
    """A point with a name.

    Parameters
    ----------
    name : str, optional
        What it is called.

    Examples
    --------
    >>> Named(y=0, x=0)
    """

    name: str = ""


class Pair(Frozen):
    """Two points."""

    first: Named


def test_meanings_are_those_of_the_docstrings_of_a_record_and_its_bases():
    assert meanings_of(Named) == {"y": "Coordinates, px.", "x": "Coordinates, px.", "name": "What it is called."}


def test_json_schema_has_the_meanings_and_a_description_without_them():
    schema = Pair.model_json_schema()["$defs"]["Named"]
    assert {key: field["description"] for key, field in schema["properties"].items()} == meanings_of(Named)
    assert schema["description"] == "A point with a name."
