"""What the values in a study file may be: lengths in px, names and paths, each with its bounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from pydantic import Discriminator, Field, Tag

# Our choice: far beyond any stage and far below its step, and no square of either leaves a float.
MAX_LENGTH_PX, MIN_LENGTH_PX = 1e9, 1e-6
Pixels = Annotated[float, Field(ge=-MAX_LENGTH_PX, le=MAX_LENGTH_PX, allow_inf_nan=False)]
LengthPx = Annotated[float, Field(ge=MIN_LENGTH_PX, le=MAX_LENGTH_PX, allow_inf_nan=False)]
# Side of a pixel of the object: from far below an atom to a millimetre (our choice).
SideNm = Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]
# One side of a square pixel, or two along (y, x); told apart by type, so that a wrong one is one fault.
PixelSizeNm = Annotated[
    Annotated[SideNm, Tag("square")] | Annotated[tuple[SideNm, SideNm], Tag("two")],
    Discriminator(lambda size: "two" if isinstance(size, list | tuple) else "square"),
]


def two_sides_nm(pixel_size_nm: float | tuple[float, float] | None) -> tuple[float, float] | None:
    """Give the sides (y, x) of a pixel, of which a study may give one."""
    return (pixel_size_nm, pixel_size_nm) if isinstance(pixel_size_nm, float | int) else pixel_size_nm


# What the kernel takes for one path; a NUL would end it.
PathText = Annotated[str, Field(min_length=1, max_length=4095, pattern=r"^[^\x00]*$")]
SafeName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
MAX_EXPOSURES = 10_000_000


def refuse_repeats(what: str, names: Sequence[str]) -> None:
    """Refuse a list in which a name stands twice; `what` is named so, for the message."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise ValueError(f"{what} {repeated[0]!r} is given {names.count(repeated[0])} times; keep it once")
