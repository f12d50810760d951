"""Makes a pass over the patterns of a file: reads them in blocks, cuts, counts and surveys them for the writer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fly64dask.datasets.formats.patterns import Patterns
from fly64dask.datasets.ingest.checks import Extremes, find_marks, without_marks
from fly64dask.datasets.ingest.detector import Frame, bin_mask, cut, sum_squares
from fly64dask.datasets.ingest.photon_counts import MAX_COUNT, Conversion, Rounding, to_counts
from fly64dask.datasets.ingest.survey import Survey

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A block is long enough to keep two cores busy, and short enough that a few of them stay far below 1 GB.
BLOCK_BYTES = 2**25
Item = TypeVar("Item")
OnProgress = Callable[[int, int, int], None]


class StartAgainError(Exception):
    """A pass has to be made again, with more masked pixels or with wider counts."""

    def __init__(self, plan: PassPlan) -> None:
        super().__init__("made again")
        self.plan = plan


@dataclass(frozen=True, slots=True, kw_only=True)
class PassPlan:
    """What one pass over the patterns of a file does.

    `rows` (k,) int64 are the exposures that are kept, ascending. `valid` (H, W) bool holds the pixels of the cut frame
    that no mask leaves out, `marked` (H, W) bool those that are left out for their marks, if `takes_marks`; None if
    they are still to be found in the first block, and compared at the end. `dtype` is that of the counts.
    """

    patterns: Patterns
    frame: Frame
    rows: NDArray[np.int64]
    conversion: Conversion
    valid: NDArray[np.bool_] | None
    takes_marks: bool = False
    marked: NDArray[np.bool_] | None = None
    dtype: np.dtype[Any] = np.dtype(np.uint16)  # noqa: RUF009

    def changed(self, **changes: Any) -> PassPlan:
        """Return the same plan with some fields changed."""
        return replace(self, **changes)


class Pass:
    """A pass under way, and what it has found so far.

    Parameters
    ----------
    plan : PassPlan
        The plan.
    on_progress : callable
        Called with exposures done, exposures in all, and bytes read of the file's values.
    """

    def __init__(self, plan: PassPlan, on_progress: OnProgress) -> None:
        self.plan = plan
        self.extremes = Extremes.of(plan.frame.cut_px, plan.patterns.dtype)
        self.survey = Survey.of(plan.frame.shape_px)
        self.rounding = Rounding()
        self.marked = plan.marked
        self._on_progress = on_progress

    @property
    def valid(self) -> NDArray[np.bool_] | None:
        """Pixels (H, W) of the cut frame that count, as far as is known; None if all do."""
        if self.marked is None or not self.marked.any():
            return self.plan.valid
        return ~self.marked if self.plan.valid is None else self.plan.valid & ~self.marked

    @property
    def valid_pixels(self) -> NDArray[np.bool_]:
        """Pixels (H, W) of the scan that count."""
        cut_px = self.plan.frame.cut_px
        return bin_mask(self.plan.frame, np.ones(cut_px, dtype=np.bool_) if self.valid is None else self.valid)

    def blocks(self) -> Iterator[NDArray[np.number]]:
        """Yield the counts (k, H, W) of all kept exposures, block by block; the next is made while one is written."""
        yield from ahead(self._made())

    def _made(self) -> Iterator[NDArray[np.number]]:
        n_done, n_bytes = 0, 0
        for raw in exposure_blocks(self.plan.patterns, self.plan.rows):
            yield self._counts(raw)
            n_done, n_bytes = n_done + len(raw), n_bytes + raw.nbytes
            self._on_progress(n_done, len(self.plan.rows), n_bytes)
        if self.plan.takes_marks:
            marked = find_marks(self.extremes, self.plan.valid).all
            if self.marked is None or not np.array_equal(marked, self.marked):
                raise StartAgainError(self.plan.changed(marked=marked))

    def _counts(self, raw: NDArray[np.number]) -> NDArray[np.number]:
        plan = self.plan
        values = cut(plan.frame, raw)
        self.extremes.add(values)
        if plan.takes_marks and self.marked is None:
            self.marked = find_marks(self.extremes, plan.valid).all
        values = without_marks(values, self.extremes.ceiling)
        if self.valid is not None:
            values = np.array(values)
            values[:, ~self.valid] = 0
        counts = sum_squares(plan.frame, to_counts(values, plan.conversion, self.rounding))
        if self.valid is not None and plan.frame.bin > 1:
            counts[:, ~self.valid_pixels] = 0  # of a square with only some valid pixels
        brightest = int(counts.max(initial=0))
        if brightest > np.iinfo(plan.dtype).max and plan.dtype.itemsize < 4:
            raise StartAgainError(plan.changed(dtype=np.dtype(np.uint32)))
        if brightest > MAX_COUNT:  # of a sum of pixels
            self.rounding.n_beyond += int((counts > MAX_COUNT).sum())
            self.rounding.highest_value = max(self.rounding.highest_value, float(brightest))
            counts = np.minimum(counts, MAX_COUNT)
        counts = counts.astype(plan.dtype, copy=False)
        self.survey.add(counts)
        return np.asarray(counts)


def exposure_blocks(patterns: Patterns, rows: NDArray[np.int64]) -> Iterator[NDArray[np.number]]:
    """Read exposures, in ascending order, in blocks of bounded size, as they are stored."""
    n, height, width = patterns.shape
    length = max(1, BLOCK_BYTES // max(1, height * width * patterns.dtype.itemsize))
    for start in range(0, n, length):
        rows_of_block = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + length)]
        if not len(rows_of_block):
            continue
        first, last = int(rows_of_block[0]), int(rows_of_block[-1]) + 1
        block = patterns.read(first, last)
        yield block if len(rows_of_block) == last - first else block[rows_of_block - first]


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield items one by one, while a thread makes the next one."""
    end = object()
    with ThreadPoolExecutor(1) as beside:
        coming = beside.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = beside.submit(next, items, end)
            yield item  # type: ignore[misc]
