"""Computes the spectral SNR of the repeats of each dose and view while a report reads its cells."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError
from fly64dask.metrics import Rings, SnrSums, align
from fly64dask.report.answer.content import SnrCurve
from fly64dask.study import Cell, dose_name, section_of

if TYPE_CHECKING:
    from fly64dask.records import ManifestRow
    from fly64dask.report.cells import CellArrays
    from fly64dask.report.images import ObjectInArea

MAX_RINGS = 120  # of a curve on a page


@dataclass(slots=True)
class RepeatSnr:
    """Computes the spectral SNR of repeats, given one after the other in the study's order.

    Of one dose and view at a time the first repeat is kept, and two arrays of its size. Repeats that are not aligned to
    a truth are aligned to the first. A repeat with another area, as after a rerun with another spacing, is left out.
    """

    curves: list[SnrCurve] = field(default_factory=list)
    _first: Cell | None = None
    _model: ObjectInArea | None = None
    _sums: SnrSums | None = None

    def add(self, row: ManifestRow, arrays: CellArrays) -> None:
        """Add a cell; with the first one of another dose or view the repeats before it are complete."""
        if row.cell.first_repeat != self._first:
            self.finish()
            self._first = row.cell.first_repeat
        image = arrays.in_area
        if image is None or row.outdated is not None:
            return
        if self._model is None:
            self._begin(image)
        elif not np.array_equal(image.inside, self._model.inside):
            return
        if self._sums is None or self._model is None:
            return
        values = image.values
        if not image.is_aligned and image is not self._model:
            values = align(values, self._model.values, image.inside).image
        self._sums.add(values)

    def _begin(self, image: ObjectInArea) -> None:
        self._model = image
        try:
            self._sums = SnrSums(Rings.around(image.inside))
        except InputError:  # the area is too small for rings
            self._sums = None

    def finish(self) -> None:
        """Compute the curve of the repeats so far, if there are enough, and forget them."""
        snr = self._sums.snr() if self._sums is not None else None
        if snr is not None and self._first is not None:
            shown = np.unique(np.linspace(0, len(snr.snr) - 1, MAX_RINGS).round().astype(int))
            curve = SnrCurve(
                dose=dose_name(self._first.dose),
                view=self._first.view,
                split=self._first.split,
                section=section_of(self._first).label,
                n_repeats=snr.n_repeats,
                frequency_per_px=tuple(float(f"{value:.5g}") for value in snr.frequency_per_px[shown]),
                snr=tuple(float(f"{value:.4g}") if math.isfinite(value) else None for value in snr.snr[shown]),
            )
            self.curves.append(curve)
        self._first = self._model = self._sums = None
