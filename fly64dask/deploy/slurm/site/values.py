"""The values that a cluster file may give: words and lines of a job script, wall times and sizes."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, ByteSize, Field, TypeAdapter, ValidationError

# What becomes one word of an `#SBATCH` line, or one line of the job script.
Word = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\s\x00-\x1f]+$")]
Line = Annotated[str, Field(min_length=1, max_length=4095, pattern=r"^[^\x00-\x1f]+$")]
Directive = Annotated[str, Field(min_length=2, max_length=1023, pattern=r"^-[^\x00-\x1f]+$")]
AbsolutePath = Annotated[str, Field(min_length=1, max_length=4095, pattern=r"^/[^\x00-\x1f]*$")]


def _walltime(text: str) -> str:
    if not re.fullmatch(r"(\d+-)?\d{1,2}:[0-5]\d:[0-5]\d", text):
        raise ValueError('needed is "HH:MM:SS" or "DAYS-HH:MM:SS", in quotes')
    return text


def _size(text: str) -> str:
    try:
        n_bytes = in_bytes(text)
    except ValidationError:
        n_bytes = 0
    if n_bytes < 10**8 or text.isdigit():
        raise ValueError('needed is a size of at least "100MB", with its unit')
    return text


Walltime = Annotated[str, AfterValidator(_walltime)]
Size = Annotated[str, AfterValidator(_size)]


def in_bytes(size: str) -> int:
    """Read a size such as "16GB"."""
    return int(TypeAdapter(ByteSize).validate_python(size))


def in_seconds(walltime: str) -> int:
    """Read a wall time such as "1-12:00:00"."""
    days, _, clock = walltime.rpartition("-")
    hours, minutes, seconds = map(int, clock.split(":"))
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + seconds
