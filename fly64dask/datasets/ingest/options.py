"""The options by which a scan is ingested."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fly64dask.base import printable

GoodValue = Literal["0", "1", "positive"]
Region = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions:
    """The options by which a scan becomes a store; None means as the file says, or as found from the data.

    `roi` is ((first row, row after the last), the same for columns) of a pattern, `crop` the (rows, columns) to keep
    around the zero frequency, `bin` the side of the squares of pixels whose counts are summed. `transpose` swaps the
    axes of the patterns; `swap_xy`, `flip_y` and `flip_x` change the positions, in this order. `drop` holds numbers of
    exposures in the file, from 0. `masks` are "marks" or files, and `mask_good` is the value of good pixels in files.
    `round` rounds real numbers to whole photons, and negative ones to 0; `keep_outliers` accepts exposures that are
    dark, far too bright or repeated, `no_overlap` positions that are further apart than a frame. `probe` says how a
    starting probe is made, in the words of `starting_probe`.
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
        """The options that change patterns, positions or the probe, in the words of the command line."""
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
        return tuple(printable(word) for word in words)  # names of files need not be valid text


_FLAGS = ("transpose", "swap_xy", "flip_y", "flip_x", "round")
