"""What a cell reads: the attributes, digests and arrays of its published groups, and the key that names its numbers."""

from __future__ import annotations

import functools
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fly64dask.base import IntegrityError
from fly64dask.reconstruction import Exposures
from fly64dask.records import NOT_IN_KEY, InputFacts
from fly64dask.scan import describe_light
from fly64dask.simulation import SetupFields
from fly64dask.store import ExposureAttributes, Group, ViewAttributes, open_group
from fly64dask.study import realisation_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from fly64dask.store import RunLayout
    from fly64dask.study import Cell, Remedy, Study

# Groups that are open at once where those of many cells are looked at: some kB each (our choice).
SHARED_GROUPS = 1024


@dataclass(frozen=True, kw_only=True)
class CellInputs:
    """The two open groups that a cell reads, and readers of what a cell needs of them.

    An array that is small and needed more than once is read, and checked, where it is first asked for.
    """

    exposures: Group[ExposureAttributes]
    view: Group[ViewAttributes]

    @property
    def sha256(self) -> dict[str, str]:
        """Digest of each array of both groups that determines a cell's numbers, by name."""
        digests = {**self.exposures.array_sha256, **self.view.array_sha256}
        return {name: sha256 for name, sha256 in digests.items() if name not in NOT_IN_KEY}

    @functools.cached_property
    def kept_indices(self) -> NDArray[np.int64]:
        """The indices of the kept exposures, (k,) int64, ascending."""
        return self.view.read("kept_indices")

    @functools.cached_property
    def positions_px(self) -> NDArray[np.float64]:
        """The positions of the kept exposures, (k, 2) float64, order (y, x), px."""
        return self.exposures.read("positions_px", self.kept_indices)

    @functools.cached_property
    def exposure_photons(self) -> NDArray[np.generic]:
        """The photons of each kept exposure, (k,) int64, or float64 where they are expected ones."""
        return self.exposures.read("exposure_photons", self.kept_indices)

    @functools.cached_property
    def probe_guess(self) -> NDArray[np.complex64]:
        """The starting probe, (n_opr, n_modes, H, W) complex64."""
        return self.exposures.read("probe_guess")

    def read_valid_pixels(self) -> NDArray[np.bool_] | None:
        """Read which pixels of the detector are valid, (H, W) bool; None if all are."""
        return self.exposures.read("valid_pixels") if "valid_pixels" in self.exposures.names else None

    def read(self) -> Exposures:
        """Read all that an engine may see, every byte checked."""
        return Exposures(
            counts=self.exposures.read("counts", self.kept_indices),
            positions_px=self.positions_px,
            probe_guess=self.probe_guess,
            noise_free=self.exposures.attributes.noise_free,
            valid_pixels=self.read_valid_pixels(),
            opr_weights=self._read_opr_weights(),
        )

    def _read_opr_weights(self) -> NDArray[np.float32] | None:
        """Read how strong each OPR mode of the starting probe is in each kept exposure, (k, n_opr), if it is known."""
        if "opr_weights" not in self.exposures.names:
            return None
        weights: NDArray[np.float32] = self.exposures.read("opr_weights", self.kept_indices).astype("float32")
        return weights

    def facts(self) -> InputFacts:
        """Gather what the cell's record says of its inputs."""
        view = self.view.attributes
        attributes = self.exposures.attributes
        photons = self._exposure_photons()
        mean_counts_photons = None if photons is None else float(photons.mean())
        # A detector that is not ideal counts other photons than the sample sends: these are the dose's.
        counts_others = attributes.setup is not None and attributes.setup.changes_counts
        light = describe_light(
            view.beams,
            n_kept=view.n_kept,
            dose_photons=attributes.dose_photons,
            mean_counts_photons=None if counts_others else mean_counts_photons,
            n_dark=None if photons is None else int((photons == 0).sum()),
            incident_photons=attributes.incident_photons,
            pixel_size_nm=attributes.pixel_size_nm,
        )
        if counts_others and attributes.dose_photons is not None:
            light = light.model_copy(update={"mean_counts_photons": mean_counts_photons})
        return InputFacts(
            **dict(light),
            **{name: getattr(attributes, name) for name in SetupFields.model_fields},
            forward_model=attributes.forward_model,
            n_exposures=view.n_exposures,
            n_kept=view.n_kept,
            selection=view.selection,
            image_overlap=view.image_overlap,
            group_overlap=view.group_overlap,
        )

    def _exposure_photons(self) -> NDArray[np.generic] | None:
        """Read the photons of each kept exposure, (k,); None of a damaged group, whose cell fails by name."""
        with suppress(IntegrityError):
            return self.exposure_photons
        return None


def shared_inputs(study: Study, layout: RunLayout) -> Callable[[Cell, Remedy | None], CellInputs]:
    """Make what opens the groups of many cells as `open_inputs` does, but each of the last thousand only once.

    Many cells read each of them, neighbours in the study's order the same ones.
    """
    exposures_of = functools.lru_cache(SHARED_GROUPS)(
        lambda drawn: open_group(layout.exposure_group(*drawn), ExposureAttributes)
    )
    view_of = functools.lru_cache(SHARED_GROUPS)(lambda path: open_group(path, ViewAttributes))

    def inputs_of(cell: Cell, remedy: Remedy | None) -> CellInputs:
        group = layout.kept_group(cell, remedy)
        return CellInputs(exposures=exposures_of(realisation_of(study, cell)), view=view_of(group))

    return inputs_of


def open_inputs(study: Study, layout: RunLayout, cell: Cell, remedy: Remedy | None = None) -> CellInputs:
    """Open the groups that a cell reads, and check their attributes; no pattern is read.

    Parameters
    ----------
    study : Study
        The run's study.
    layout : RunLayout
        The run.
    cell : Cell
        The cell.
    remedy : Remedy, optional
        The remedy with which it is tried again; it may name another selection of exposures.

    Raises
    ------
    IntegrityError
        If a group is missing or damaged.
    """
    return shared_inputs(study, layout)(cell, remedy)
