"""Reads the images and curves of one committed cell from its groups, and names all damage."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fly64dask.base import IntegrityError
from fly64dask.records import ReferenceNow, read_cleaned, read_row
from fly64dask.report.cells.curves import curves_of
from fly64dask.report.images import Curve, Image, ObjectInArea, object_images, phase_limit, probe_images
from fly64dask.store import (
    ExposureAttributes,
    GroupAttributes,
    ReconstructionAttributes,
    TruthAttributes,
    ViewAttributes,
    open_group,
)
from fly64dask.study import realisation_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.records import ManifestRow
    from fly64dask.store import RunLayout
    from fly64dask.study import Study

Attributes = TypeVar("Attributes", bound=GroupAttributes)


@dataclass(frozen=True, slots=True, kw_only=True)
class CellArrays:
    """The arrays of a cell that can be drawn. An array that was not computed is absent; a damaged one is a problem."""

    images: tuple[Image, ...] = ()
    in_area: ObjectInArea | None = None
    curves: tuple[Curve, ...] = ()
    positions_px: NDArray[np.float64] | None = None
    refined_px: NDArray[np.float64] | None = None
    problems: tuple[str, ...] = ()


@dataclass(slots=True)
class CellReader:
    """Reads the cells of a run one after the other, and keeps the truths and the scale of phases that they share.

    Parameters
    ----------
    study : Study
        The run's study.
    layout : RunLayout
        The run.
    rows : sequence of ManifestRow
        Cells that are shown. Without a truth the cell with the most photons sets the scale of phases.
    """

    study: Study
    layout: RunLayout
    rows: Sequence[ManifestRow]
    problems: list[str] = field(default_factory=list)
    _object_truths: dict[int | None, NDArray[np.complex64]] = field(default_factory=dict)
    _phase_limit_rad: float = math.pi
    _references: ReferenceNow = field(init=False)
    _cleaned: frozenset[Path] = field(init=False)

    def __post_init__(self) -> None:
        """Read the truth of each object, if there is one, and choose the scale of phases."""
        self._references = ReferenceNow(self.study, self.layout, functools.partial(read_row, self.layout))
        cleaned = read_cleaned(self.layout)
        self._cleaned = frozenset(self.layout.root / name for name in (cleaned.exposures if cleaned else ()))
        for object_seed in self.study.object_seeds:
            group = self.layout.truth_group(object_seed)
            if self.study.source.kind != "measured" and group.exists():
                _, arrays = read_group(group, TruthAttributes, self.problems)
                if "object_truth" in arrays:
                    self._object_truths[object_seed] = arrays["object_truth"]
        if self._object_truths:
            self._phase_limit_rad = max(map(_phase_limit_of, self._object_truths.values()))
            return
        for row in sorted(self.rows, key=lambda row: (row.dose_photons or 0, row.n_kept or 0), reverse=True):
            phases = [image.values for image in self.read(row).images if image.key == "phase"]
            if phases:
                self._phase_limit_rad = phase_limit(phases[0])
                return

    def read(self, row: ManifestRow) -> CellArrays:
        """Read one cell.

        Parameters
        ----------
        row : ManifestRow
            The cell's row.

        Returns
        -------
        CellArrays
            Empty if the cell is not completed.
        """
        if row.state != "completed":
            return CellArrays()
        problems: list[str] = []
        reconstruction = self.layout.reconstruction_group(row.cell)
        attributes, arrays = read_group(reconstruction, ReconstructionAttributes, problems, digests=row.digests)
        positions_px, probe_guess = self._read_exposures(row, problems)
        images: list[Image] = []
        in_area: ObjectInArea | None = None
        if attributes and positions_px is not None and probe_guess is not None and "object_recon" in arrays:
            try:
                images, in_area = object_images(
                    arrays,
                    attributes.object_origin_px,
                    positions_px,
                    probe_guess,
                    object_truth=self._object_truths.get(row.object_seed),
                    phase_limit_rad=self._phase_limit_rad,
                )
            except (ValueError, IndexError, np.linalg.LinAlgError) as error:
                problems.append(f"{row.cell.name}: its object cannot be drawn ({error})")
        record = self._references.record(row)
        if record is not None and record.correlation:
            arrays["frc_reference"] = np.asarray(record.correlation)
            arrays["frc_reference_frequency"] = np.asarray(record.frequency_per_px)
            arrays["frc_reference_n_pixels"] = np.asarray(record.n_pixels)
        if "probe_recon" in arrays:
            images += probe_images(arrays["probe_recon"])
        return CellArrays(
            images=tuple(images),
            in_area=in_area,
            curves=curves_of(arrays),
            positions_px=positions_px,
            refined_px=arrays.get("positions_recon_px"),
            problems=tuple(problems),
        )

    def _read_exposures(
        self, row: ManifestRow, problems: list[str]
    ) -> tuple[NDArray[np.float64] | None, NDArray[np.complex64] | None]:
        """Read the kept positions and the starting probe, never the counts; None for what `clean` has removed."""
        exposures = self.layout.exposure_group(*realisation_of(self.study, row.cell))
        if exposures in self._cleaned:
            return None, None
        view = self.layout.kept_group(row.cell, row.remedy)
        _, view_arrays = read_group(view, ViewAttributes, problems, digests=row.digests)
        names = ("positions_px", "probe_guess")
        _, arrays = read_group(exposures, ExposureAttributes, problems, digests=row.digests, only=names)
        kept_indices, positions_px = view_arrays.get("kept_indices"), arrays.get("positions_px")
        if (
            kept_indices is None
            or positions_px is None
            or (len(kept_indices) and kept_indices.max() >= len(positions_px))
        ):
            return None, arrays.get("probe_guess")
        return positions_px[kept_indices], arrays.get("probe_guess")


def _phase_limit_of(object_truth: NDArray[np.complex64]) -> float:
    phase_rad = np.angle(object_truth)
    return phase_limit(phase_rad - np.angle(np.exp(1j * phase_rad).mean()))


def read_group(
    group: Path,
    model: type[Attributes],
    problems: list[str],
    *,
    digests: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
) -> tuple[Attributes | None, dict[str, NDArray[Any]]]:
    """Read a group array by array; each damaged array is left out and added to the problems."""
    try:
        opened = open_group(group, model)
    except IntegrityError as error:
        problems.append(str(error))
        return None, {}
    arrays = {}
    for name, digest in opened.array_sha256.items():
        if only is not None and name not in only:
            continue
        if digests is not None and digests.get(name, digest) != digest:
            problems.append(f"{group / name} is not the array that the cell's record names")
            continue
        try:
            arrays[name] = opened.read(name)
        except IntegrityError as error:
            problems.append(str(error))
    return opened.attributes, arrays
