"""The base class of records: what checks a record is built at its first use, or for all records at once."""

from __future__ import annotations

from fly64dask.base import Frozen, build_records


def test_build_records_builds_what_checks_every_class_that_is_loaded():
    class Spot(Frozen):
        number: int

    class Scan(Spot):
        further: tuple[Spot, ...] = ()

    is_built_before = (Spot.__pydantic_complete__, Scan.__pydantic_complete__)
    build_records()
    assert (is_built_before, Spot.__pydantic_complete__, Scan.__pydantic_complete__) == ((False, False), True, True)
