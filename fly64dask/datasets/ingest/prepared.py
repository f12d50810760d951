"""The record of what is known of a scan before its patterns are read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.datasets.formats.options import ReadOptions
from fly64dask.datasets.formats.scan_file import ScanFile
from fly64dask.datasets.ingest.checks import Complaint
from fly64dask.datasets.ingest.geometry import wavelength_nm
from fly64dask.datasets.ingest.options import IngestOptions
from fly64dask.datasets.ingest.passes import Pass, PassPlan
from fly64dask.datasets.ingest.starting_probe import Surroundings, make_probe
from fly64dask.scan import in_held_unit, is_far_off, median_step_px, probe_power

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedScan:
    """A scan whose patterns can be read.

    `positions_px` (n, 2) float64 are those of the kept exposures, `pixel_nm` (y, x) is the pixel of the object, if
    known. `probe` (n_opr, n_modes, H, W) complex64 fits the scan's frame; if it is None, `probe_words` say how to make
    it from the mean pattern and the geometry. `notes` say what was assumed or left out.
    """

    scan: ScanFile
    read: ReadOptions
    options: IngestOptions
    plan: PassPlan
    positions_px: NDArray[np.float64]
    pixel_nm: tuple[float, float] | None
    probe: NDArray[np.complex64] | None
    probe_words: str
    opr_weights: NDArray[np.float64] | None
    object_guess: NDArray[np.complex64] | None
    notes: tuple[str, ...]
    complaints: tuple[Complaint, ...]

    @property
    def probe_modes(self) -> tuple[int, int]:
        """Number of OPR modes and of modes of the starting probe."""
        return (1, 1) if self.probe is None else (self.probe.shape[0], self.probe.shape[1])

    def without(self, exposures: NDArray[np.int64]) -> PreparedScan:
        """Return the same scan without some further exposures, given by their numbers in the file."""
        stays = ~np.isin(self.plan.rows, exposures)
        return replace(
            self,
            plan=self.plan.changed(rows=self.plan.rows[stays]),
            positions_px=self.positions_px[stays],
            opr_weights=None if self.opr_weights is None else self.opr_weights[stays],
        )

    def make_probe(self, under_way: Pass) -> NDArray[np.complex64]:
        """Return the starting probe, made from the mean pattern if needed; one in a far-off unit is scaled to the
        photons.
        """
        mean = under_way.survey.pattern_sum / max(1, len(self.plan.rows))
        if self.probe is not None:
            return in_held_unit(self.probe, float(mean.sum()))
        around = Surroundings(
            mean_pattern=mean,
            valid=under_way.valid_pixels,
            step_px=median_step_px(self.positions_px),
            pixel_nm=self.pixel_nm,
            wavelength_nm=wavelength_nm(self.scan.geometry),
        )
        return make_probe(self.probe_words, around)

    def power_far_off(self, mean_photons: float) -> float | None:
        """Return the power of a file's probe if it is far off from the photons of an exposure, else None."""
        power = 0.0 if self.probe is None else probe_power(self.probe)
        return power if power > 0 and is_far_off(power, mean_photons) else None
