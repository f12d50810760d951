"""What a person wants done with a scan while it is ingested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fly64dask.base import printable

GoodValue = Literal["0", "1", "positive"]
Region = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions:
    """The options by which a scan becomes a store; what is None is as the file says, or is found from the data.

    `roi` is ((first row, row after the last), the same of columns) of a pattern, `crop` the (rows, columns) that are
    kept about the zero frequency, `bin` the side of the squares of pixels whose counts are summed. `transpose` swaps
    the axes of the patterns; `swap_xy`, `flip_y` and `flip_x` change the positions, in this order. `drop` are numbers
    of exposures in the file, from 0. `masks` are "marks" or files, of which `mask_good` is the value of good pixels.
    `round` takes the nearest whole photons of real numbers, and 0 of negative ones; `keep_outliers` takes exposures
    that are dark, far too bright or given twice, `no_overlap` positions that are further apart than a frame. `probe`
    says how a starting probe is made, in the words of `starting_probe`.
    """

    round: bool = False
    roi: Region | None = None
    crop: tuple[int, int] | None = None
    bin: int = 1
    transpose: bool = False
    swap_xy: bool = False
    flip_y: bool = False
    flip_x: bool = False
    drop: tuple[int, ...] = ()
    drop_dark: bool = False
    keep_outliers: bool = False
    no_overlap: bool = False
    masks: tuple[str, ...] = ()
    mask_good: GoodValue | None = None
    probe: str | None = None

    @property
    def changes(self) -> tuple[str, ...]:
        """The options, in the words of the command line, that change patterns, positions or the probe."""
        words = [f"--{name.replace('_', '-')}" for name in _FLAGS if getattr(self, name)]
        if self.roi is not None:
            (top, bottom), (left, right) = self.roi
            words.append(f"--roi {top}:{bottom},{left}:{right}")
        if self.crop is not None:
            words.append(f"--crop {self.crop[0]},{self.crop[1]}")
        if self.bin > 1:
            words.append(f"--bin {self.bin}")
        words += [f"--mask {mask}" for mask in self.masks]
        if self.mask_good is not None:
            words.append(f"--mask-good {self.mask_good}")
        if self.probe is not None:
            words.append(f"--probe {self.probe}")
        return tuple(printable(word) for word in words)  # names of files may be no text


_FLAGS = ("transpose", "swap_xy", "flip_y", "flip_x", "round")
