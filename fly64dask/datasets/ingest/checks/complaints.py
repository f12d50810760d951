"""Problems of a scan, which many checks find, and which are reported together with a remedy for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHOWN_EXPOSURES, SHOWN_CHARACTERS = 12, 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """A problem of a scan: what was found and needed, and what a person can do about it."""

    found: str
    remedy: str


def raise_complaints(origin: str, complaints: Sequence[Complaint]) -> None:
    """Raise one InputError that lists all complaints, if there are any.

    Parameters
    ----------
    origin : str
        What was being done, with the file's name.
    complaints : sequence of Complaint
        In the order in which they are listed.
    """
    if not complaints:
        return
    if len(complaints) == 1:
        complaint = complaints[0].found.removeprefix(f"{origin}: ")  # a reader's messages begin in the same way
        raise InputError(f"{origin}: {complaint}", remedy=complaints[0].remedy)
    lines = [
        f"  {number}. {complaint.found}; {complaint.remedy}" for number, complaint in enumerate(complaints, start=1)
    ]
    raise InputError(
        "\n".join([f"{origin}: {len(complaints)} problems were found, and nothing was written", *lines]), remedy=""
    )


def listed_exposures(exposures: NDArray[np.int64] | Iterable[int]) -> str:
    """Write numbers of exposures for a message or for --drop; if there are many, only the first ones."""
    numbers = [str(int(exposure)) for exposure in exposures]
    more = f" and {len(numbers) - SHOWN_EXPOSURES} more" if len(numbers) > SHOWN_EXPOSURES else ""
    return ",".join(numbers[:SHOWN_EXPOSURES]) + more


def drop_words(exposures: NDArray[np.int64] | Iterable[int]) -> str:
    """Write the option that leaves out exposures, in ascending order and with ranges, unless it would be too long."""
    ranges: list[list[int]] = []
    for exposure in map(int, exposures):
        if ranges and exposure == ranges[-1][1]:
            ranges[-1][1] = exposure + 1
        else:
            ranges.append([exposure, exposure + 1])
    words = ",".join(str(first) if after == first + 1 else f"{first}:{after}" for first, after in ranges)
    return f"--drop {words}" if len(words) <= SHOWN_CHARACTERS else "--drop with their numbers"
