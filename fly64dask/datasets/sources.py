"""Reads or makes the positions, probe and dose of a study's source, and refuses what cannot be run."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import Geometry, InputError, digest
from fly64dask.datasets.doses import refuse_doses
from fly64dask.datasets.formats import file_sha256, read_pair, read_positions
from fly64dask.datasets.setups import refuse_setups
from fly64dask.scan import checked_positions, split_boundary_px, split_indices
from fly64dask.simulation import (
    ObjectBand,
    Pair,
    ProbeLight,
    check_coverage,
    draw_positions,
    make_pair,
    measure_object_band,
    measure_probe_light,
    phase_plate_probe,
    resample,
    synthetic_pair,
)
from fly64dask.store import ExposureAttributes, open_group
from fly64dask.study import MAX_OBJECT_PIXELS, FileScan, MeasuredSource, PairSource, Study, two_sides_nm

if TYPE_CHECKING:
    from numpy.typing import NDArray


# Raised by one when the built-in objects, the probe or a forward model change their numbers. Exposures of an earlier
# simulation are then made again together with their truth, and cells that read the earlier ones are named.
SIMULATION_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class ScanInputs:
    """The scan positions, probe and dose of a study's source.

    `positions_px` (n, 2) float64, order (y, x); `probe_guess` (n_opr, n_modes, H, W) complex64;
    `make_pair` is set only if simulated, `own_dose_photons` only if measured, `valid_pixels` (H, W) bool only if the
    detector has pixels that measure nothing. `pixel_size_nm` holds the sides (y, x) of a pixel of the object, from the
    study or else from the measured store, which also has the rest of the `geometry`.
    """

    positions_px: NDArray[np.float64]
    probe_guess: NDArray[np.complex64]
    make_pair: Callable[[], Pair] | None
    own_dose_photons: float | None
    brightest_count_photons: float | None
    source_digest: str
    valid_pixels: NDArray[np.bool_] | None = None
    opr_weights: NDArray[np.floating] | None = None
    pixel_size_nm: tuple[float, float] | None = None
    geometry: Geometry | None = None

    @functools.cached_property
    def pair(self) -> Pair | None:
        """The object and the probe of a simulated scan, made when they are first needed; None if measured.

        A driver does not need them: to make those of the demo takes 0.3 s.
        """
        return self.make_pair() if self.make_pair else None

    @property
    def is_simulated(self) -> bool:
        """Whether exposures are simulated; otherwise they are measured."""
        return self.make_pair is not None

    @property
    def probe_light(self) -> ProbeLight | None:
        """The fractions of a simulated probe's light at the rim and beyond the band; None if measured."""
        return measure_probe_light(self.probe_guess[0, 0]) if self.is_simulated else None

    @property
    def object_band(self) -> ObjectBand | None:
        """How well a finely sampled object fits the detector's grid; None in the grid model and if measured."""
        return measure_object_band(self.pair, self.positions_px) if self.pair else None

    @property
    def diffraction_shape_px(self) -> tuple[int, int]:
        """(H, W) of a diffraction pattern, px."""
        return self.probe_guess.shape[-2], self.probe_guess.shape[-1]


def read_inputs(study: Study) -> ScanInputs:
    """Read or make what all cells share, and refuse what cannot be run; of several objects the first is made.

    Parameters
    ----------
    study : Study
        The study, with paths that this process can open.

    Returns
    -------
    ScanInputs

    Raises
    ------
    InputError
        If an input file is missing or damaged, positions leave the object, a dose is not possible (`refuse_doses`), or
        a split is empty.
    """
    inputs = _read_measured(study.source) if study.source.kind == "measured" else _make_simulated(study)
    for split in study.splits:
        if study.split != "none" and len(split_indices(inputs.positions_px, study.split, split)) == 0:
            raise InputError(
                f"split {split} of study {study.name!r} at {study.split.axis} = "
                f"{split_boundary_px(inputs.positions_px, study.split):g} px holds no exposure",
                remedy="change split.axis or split.fraction",
            )
    refuse_doses(study, inputs.positions_px, inputs.probe_guess, inputs.own_dose_photons)
    return inputs


def _make_simulated(study: Study) -> ScanInputs:
    source = study.of_object(None).source
    assert not isinstance(source, MeasuredSource)
    # Files count by their content, wherever they are.
    identity = source.model_dump(mode="json", exclude={"path": True, "scan": {"path"}})
    if isinstance(source, PairSource):
        read = _finer(read_pair(Path(source.path)), source.oversampling)
        probe, object_shape_px, pair_maker = read.probe, read.object_truth.shape, lambda: read
        identity["sha256"] = file_sha256(Path(source.path))
    else:
        if any(p > o for p, o in zip(source.probe_shape_px, source.object_shape_px, strict=True)):
            raise InputError(
                f"source.probe_shape_px = {source.probe_shape_px}: larger than the object, {source.object_shape_px}",
                remedy="enlarge the object or shrink the probe",
            )
        assert isinstance(source.seed_pair, int), "of one object"
        probe, object_shape_px = phase_plate_probe(source.probe_shape_px), source.object_shape_px
        pair_maker = functools.partial(
            synthetic_pair,
            object_shape_px,
            source.probe_shape_px,
            seed=source.seed_pair,
            kind=source.object,
            oversampling=source.oversampling,
        )
    if isinstance(source.scan, FileScan):
        positions_px = read_positions(Path(source.scan.path), source.scan.columns)
        identity["scan"]["sha256"] = file_sha256(Path(source.scan.path))
    else:
        positions_px = draw_positions(source.scan, seed=study.seeds.simulation)
    positions = checked_positions(positions_px, origin="source.scan")
    check_coverage(positions, probe.shape, object_shape_px)
    refuse_setups(study, positions, probe, object_shape_px)
    return ScanInputs(
        positions_px=positions,
        probe_guess=probe[None, None],
        make_pair=pair_maker,
        own_dose_photons=None,
        brightest_count_photons=None,
        source_digest=digest([identity, study.seeds.simulation, SIMULATION_VERSION]),
        pixel_size_nm=two_sides_nm(source.pixel_size_nm),
    )


def _finer(pair: Pair, oversampling: int) -> Pair:
    """Resample a file's object, which is on the detector's grid, for the fine model."""
    if oversampling == 1:
        return pair
    height, width = (oversampling * size for size in pair.object_truth.shape)
    if height * width > MAX_OBJECT_PIXELS:
        raise InputError(
            f"source.oversampling = {oversampling}: the object would have {height} x {width} px, more than "
            f"{MAX_OBJECT_PIXELS}",
            remedy="lower it, or give a smaller object",
        )
    return make_pair(resample(pair.object_truth, (height, width)), pair.probe, oversampling=oversampling)


def _read_measured(source: MeasuredSource) -> ScanInputs:
    store = Path(source.path)
    if not os.path.exists(store):  # unlike Path.exists, False also for a name that is too long
        raise InputError(
            f"source.path = {str(store)!r}: no such store", remedy="make it with `fly64dask ingest FILE --out STORE`"
        )
    measured = open_group(store, ExposureAttributes)
    pixel_size_nm = source.pixel_size_nm or measured.attributes.pixel_size_nm
    return ScanInputs(
        positions_px=measured.read("positions_px"),
        probe_guess=measured.read("probe_guess"),
        make_pair=None,
        own_dose_photons=measured.attributes.mean_counts_photons,
        brightest_count_photons=measured.attributes.brightest_count_photons,
        source_digest=digest(["measured", measured.array_sha256, *([pixel_size_nm] if pixel_size_nm else [])]),
        pixel_size_nm=two_sides_nm(pixel_size_nm),
        geometry=measured.attributes.geometry,
        valid_pixels=measured.read("valid_pixels") if "valid_pixels" in measured.names else None,
        opr_weights=measured.read("opr_weights") if "opr_weights" in measured.names else None,
    )
