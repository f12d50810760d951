"""What a cell reads: the attributes, digests and arrays of its published groups, and the key that names its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fly64dask.base import IntegrityError, digest
from fly64dask.reconstruction import Exposures
from fly64dask.records import InputFacts
from fly64dask.scan import describe_light
from fly64dask.store import ExposureAttributes, Group, ViewAttributes, open_group
from fly64dask.study import realisation_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fly64dask.base import FailureKind
    from fly64dask.store import RunLayout
    from fly64dask.study import Cell, Recipe, Remedy, Study

ENGINE_PACKAGES = ("ptychi", "torch")
# Keys that recipes have had from the start: another one counts only where it is not at its default, so that it changes
# no cell of a study that does not name it.
FIRST_KEYS = frozenset(
    {"algorithm", "n_epochs", "batch_size", "noise_model", "optimise_probe", "on_degenerate", "guarded", "accelerated"}
    | {"stop", "patience", "halves", "threads"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellInputs:
    """The two open groups that a cell reads, and readers of what a cell needs of them."""

    exposures: Group[ExposureAttributes]
    view: Group[ViewAttributes]

    @property
    def sha256(self) -> dict[str, str]:
        """Digest of each array of both groups that determines a cell's numbers, by name."""
        digests = {**self.exposures.array_sha256, **self.view.array_sha256}
        for name in ("scan_index", "exposure_photons"):
            digests.pop(name, None)  # changes none of a cell's numbers, or says again what the counts say
        return digests

    def read_kept(self) -> NDArray[np.int64]:
        """Read the indices of the kept exposures, (k,) int64, ascending."""
        return self.view.read("kept_indices")

    def read_positions(self) -> NDArray[np.float64]:
        """Read the positions of the kept exposures, (k, 2) float64, order (y, x), px."""
        return self.exposures.read("positions_px", self.read_kept())

    def read_probe(self) -> NDArray[np.complex64]:
        """Read the starting probe, (n_opr, n_modes, H, W) complex64."""
        return self.exposures.read("probe_guess")

    def read(self) -> Exposures:
        """Read all that an engine may see, every byte checked."""
        kept_indices = self.read_kept()
        return Exposures(
            counts=self.exposures.read("counts", kept_indices),
            positions_px=self.exposures.read("positions_px", kept_indices),
            probe_guess=self.read_probe(),
            noise_free=self.exposures.attributes.noise_free,
        )

    def facts(self) -> InputFacts:
        """Gather what the cell's record says of its inputs."""
        view = self.view.attributes
        attributes = self.exposures.attributes
        light = describe_light(
            view.beams,
            n_kept=view.n_kept,
            dose_photons=attributes.dose_photons,
            mean_counts_photons=self._mean_counts_photons(),
            incident_photons=attributes.incident_photons,
            pixel_size_nm=attributes.pixel_size_nm,
        )
        return InputFacts(
            **dict(light),
            forward_model=attributes.forward_model,
            n_exposures=view.n_exposures,
            n_kept=view.n_kept,
            selection=view.selection,
            image_overlap=view.image_overlap,
            group_overlap=view.group_overlap,
        )

    def _mean_counts_photons(self) -> float | None:
        """Compute the mean photons of the kept exposures; None for a group of an older version, or a damaged one."""
        if "exposure_photons" not in self.exposures.names:
            return None
        with suppress(IntegrityError):
            return float(self.exposures.read("exposure_photons", self.read_kept()).mean())
        return None


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
    return CellInputs(
        exposures=open_group(layout.exposure_group(*realisation_of(study, cell)), ExposureAttributes),
        view=open_group(layout.kept_group(cell, remedy), ViewAttributes),
    )


def cell_key(
    input_sha256: Mapping[str, str], recipe: Recipe, *, seed: int, engine: str, versions: Mapping[str, str]
) -> str:
    """Compute the digest of what determines a cell's numbers, 64 hexadecimal digits; the device is recorded, not part
    of it.

    Parameters
    ----------
    input_sha256 : mapping of str to str
        Digest of each array the cell reads.
    recipe : Recipe
        How the cell is reconstructed.
    seed : int
        Seed of the order of exposures in minibatches.
    engine : str
        `module:function`.
    versions : mapping of str to str
        Versions of packages, those of the engine at least.
    """
    settings = {
        key: value
        for key, value in recipe.model_dump(mode="json", exclude={"device"}).items()
        if key in FIRST_KEYS or value != type(recipe).model_fields[key].default
    }
    packages = {package: versions[package] for package in ENGINE_PACKAGES}
    return digest([dict(input_sha256), settings, seed, engine, packages])


def failure_key(study: Study, cell: Cell, recipe: Recipe, kind: FailureKind) -> str:
    """Compute the digest of what determines that a cell's inputs cannot be used: any setting of the study but those of
    other cells alone.
    """
    alone = study.of_object(cell.object_seed).model_copy(update={"recipe": recipe})
    others = {"name", "doses_photons", "repeats", "recipes"}
    return digest([cell.name, kind, alone.model_dump(mode="json", exclude=others)])
