"""A cell's published groups -> attributes, digests, arrays, and the key that names its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fly64dask.base import digest
from fly64dask.reconstruction import Exposures
from fly64dask.store import ExposureAttributes, ViewAttributes, open_group

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fly64dask.base import FailureKind
    from fly64dask.store import RunLayout
    from fly64dask.study import Cell, Recipe, Remedy, Study

ENGINE_PACKAGES = ("ptychi", "torch")
# A recipe with one of these has the key, as it has the numbers, of one that did not know of that setting.
PLAIN = {"stop": "epochs", "patience": None, "halves": "none", "threads": 1}


class CellInputs:
    """Attributes and digests of the groups a cell reads; opening them reads no pattern.

    Parameters
    ----------
    layout : RunLayout
        The run.
    cell : Cell
        The cell.
    remedy : Remedy, optional
        With which it is tried again.
    """

    def __init__(self, layout: RunLayout, cell: Cell, remedy: Remedy | None = None) -> None:
        self.exposure_group = layout.exposure_group(cell.dose, cell.split, cell.repeat)
        self.view_group = layout.kept_group(cell, remedy)
        self.view: ViewAttributes | None = None
        self.exposures: ExposureAttributes | None = None
        self.sha256: dict[str, str] = {}

    def open(self) -> None:
        """Open both groups and read their attributes, checked."""
        self._exposures = open_group(self.exposure_group, ExposureAttributes)
        self._view = open_group(self.view_group, ViewAttributes)
        self.exposures, self.view = self._exposures.attributes, self._view.attributes
        self.sha256 = {**self._exposures.array_sha256, **self._view.array_sha256}
        self.sha256.pop("scan_index", None)  # does not change a cell's numbers

    def read_kept(self) -> NDArray[np.int64]:
        """Read the indices of the kept exposures, (k,) int64, ascending."""
        return self._view.read("kept_indices")

    def read_positions(self) -> NDArray[np.float64]:
        """Read the positions of the kept exposures, (k, 2) float64, order (y, x), px."""
        return self._exposures.read("positions_px", self.read_kept())

    def read_probe(self) -> NDArray[np.complex64]:
        """Read the starting probe, (n_opr, n_modes, H, W) complex64."""
        return self._exposures.read("probe_guess")

    def read(self) -> Exposures:
        """Read all that an engine may see, every byte checked."""
        kept = self.read_kept()
        return Exposures(
            counts=self._exposures.read("counts", kept),
            positions_px=self._exposures.read("positions_px", kept),
            probe_guess=self.read_probe(),
        )

    def facts(self) -> dict[str, Any]:
        """What the record says of them; nothing if they could not be opened."""
        if self.view is None or self.exposures is None:
            return {}
        return {
            "dose_photons": self.exposures.dose_photons,
            "n_exposures": self.view.n_exposures,
            "n_kept": self.view.n_kept,
            "selection": self.view.selection,
            "image_overlap": self.view.image_overlap,
            "group_overlap": self.view.group_overlap,
            "digests": dict(self.sha256),
        }


def cell_key(
    input_sha256: Mapping[str, str], recipe: Recipe, *, seed: int, engine: str, versions: Mapping[str, str]
) -> str:
    """Digest of what determines a cell's numbers; the device is recorded, not part of it.

    Parameters
    ----------
    input_sha256 : mapping of str to str
        Digest of each array the cell reads.
    recipe : Recipe
        How it is reconstructed.
    seed : int
        Of the order of exposures in minibatches.
    engine : str
        `module:function`.
    versions : mapping of str to str
        Of the engine's packages, at least.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    settings = recipe.model_dump(mode="json", exclude={"device"})
    settings = {name: value for name, value in settings.items() if name not in PLAIN or value != PLAIN[name]}
    packages = {package: versions[package] for package in ENGINE_PACKAGES}
    return digest([dict(input_sha256), settings, seed, engine, packages])


def failure_key(study: Study, cell: Cell, kind: FailureKind) -> str:
    """Digest of what determines that a cell's inputs cannot be used: any setting of the study.

    Parameters
    ----------
    study : Study
        The study.
    cell : Cell
        The cell.
    kind : FailureKind
        Why they cannot be used.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return digest([cell.name, kind, study.model_dump(mode="json", exclude={"name", "doses_photons", "repeats"})])
