"""Draw the photon counts of one dose, split and repeat, and publish them as a group of the run's store."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import digest
from fly64dask.datasets.published_group import provenance, publish_group
from fly64dask.datasets.scan_groups import read_truth
from fly64dask.datasets.sources import dose_in_photons
from fly64dask.scan import split_boundary_px, split_indices
from fly64dask.simulation import Pair, expose, intensity_batches, photon_stream, thin
from fly64dask.store import (
    CHUNK_EXPOSURES,
    ExposureAttributes,
    Group,
    RunLayout,
    ScanAttributes,
    count_dtype,
    counts_array,
    open_group,
    photons_array,
    positions_array,
    probe_array,
    whole_array,
    write_arrays,
    write_attributes,
)
from fly64dask.study import Dose, MeasuredSource, Split, Study

if TYPE_CHECKING:
    from numpy.typing import NDArray


def expose_split(
    study: Study, dose: Dose, split: Split, layout: RunLayout, *, repeat: int = 0, object_seed: int | None = None
) -> None:
    """Publish the counts of one dose, split, repeat and object, simulated or thinned, in bounded memory.

    Parameters
    ----------
    study : Study
        The study.
    dose : float or "measured"
        Photons per exposure.
    split : "train" or "test"
        Half of the field of view.
    layout : RunLayout
        The run; its scan group is published.
    repeat : int
        Which noise realisation, from 0; all else is the same.
    object_seed : int, optional
        Seed of the object, where the study has several; each has photons of its own.
    """
    scan = open_group(layout.scan_group(object_seed), ScanAttributes)
    positions = scan.read("positions_px")
    rows = split_indices(positions, study.split, split)
    seed = study.seeds.subsampling if study.source.kind == "measured" else study.seeds.simulation
    dose_photons = dose_in_photons(dose, scan.attributes.own_dose_photons)
    rng = photon_stream(seed, dose_photons, split, repeat, object_seed)
    drawn = _draw_counts(study, functools.partial(read_truth, layout, object_seed), scan, dose_photons, rows, rng)
    share = scan.attributes.detected_share
    seed_path = [seed, *([repeat] if repeat else []), *([] if object_seed is None else ["object", object_seed])]
    source_digest = digest([scan.attributes.source_digest, dose, split, study.split.model_dump(), *seed_path])

    def build(directory: Path) -> None:
        array_sha256 = write_arrays(
            directory,
            [
                counts_array((len(rows), *scan.attributes.diffraction_shape_px), drawn.dtype, drawn.pass_by()),
                positions_array(positions[rows]),
                probe_array(scan.read("probe_guess")),
                whole_array("scan_index", rows, dims=("exposure",), long_name="index in the whole scan"),
                photons_array(len(rows), drawn.photons_that_passed()),
            ],
        )
        attributes = ExposureAttributes(
            **provenance(source_digest),
            source=scan.attributes.source,
            dose_photons=dose_photons,
            mean_counts_photons=drawn.total_photons / len(rows),
            brightest_count_photons=drawn.brightest_photons,
            n_exposures=len(rows),
            split=split,
            repeat=repeat,
            split_boundary_px=split_boundary_px(positions, study.split),
            photons_per_intensity=drawn.photons_per_intensity,
            thinning_probability=drawn.thinning_probability,
            incident_photons=share and dose_photons / share,
            pixel_size_nm=scan.attributes.pixel_size_nm,
            seeds=study.seeds,
        )
        write_attributes(directory, attributes, array_sha256)

    publish_group(
        layout.exposure_group(dose, split, repeat, object_seed), ExposureAttributes, source_digest, layout, build
    )


@dataclass(slots=True, kw_only=True)
class _DrawnCounts:
    """Photon counts that are drawn batch by batch, and what is known of those that have passed by.

    `blocks` give (k, H, W) integer photons, once; `dtype` holds the brightest that is expected.
    """

    blocks: Iterator[NDArray[np.int64]]
    dtype: np.dtype[Any]
    photons_per_intensity: float | None = None
    thinning_probability: float | None = None
    brightest_photons: int = 0
    _exposure_photons: list[NDArray[np.int64]] = field(default_factory=list)

    def pass_by(self) -> Iterator[NDArray[np.int64]]:
        """Hand on the blocks, and count their photons."""
        for block in self.blocks:
            self._exposure_photons.append(block.sum(axis=(1, 2), dtype=np.int64))
            self.brightest_photons = max(self.brightest_photons, int(block.max()))
            yield block

    def photons_that_passed(self) -> Iterator[NDArray[np.int64]]:
        """Give the photons of each exposure, (n,) int64, once all blocks have passed by."""
        yield np.concatenate(self._exposure_photons)

    @property
    def total_photons(self) -> int:
        """Photons of all exposures that have passed by."""
        return sum(int(photons.sum()) for photons in self._exposure_photons)


def _draw_counts(
    study: Study,
    truth: Callable[[], Pair],
    scan: Group[ScanAttributes],
    dose_photons: float,
    rows: NDArray[np.int64],
    rng: np.random.Generator,
) -> _DrawnCounts:
    """Thin the measured counts of some exposures, or simulate them; nothing is drawn before it is asked for."""
    ratio = dose_photons / scan.attributes.mean_total_intensity
    brightest = scan.attributes.brightest_pixel_intensity
    if isinstance(study.source, MeasuredSource):
        return _DrawnCounts(
            blocks=_thinned(Path(study.source.path), rows, ratio, rng),
            dtype=count_dtype(brightest),
            thinning_probability=ratio,
        )
    return _DrawnCounts(
        blocks=_simulated(truth, scan.read("positions_px", rows), ratio, rng),
        dtype=count_dtype(ratio * brightest),
        photons_per_intensity=ratio,
    )


def _simulated(
    truth: Callable[[], Pair], positions_px: NDArray[np.float64], scale: float, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    for intensity in intensity_batches(truth(), positions_px):
        yield expose(intensity, scale, rng=rng)


def _thinned(
    store: Path, rows: NDArray[np.int64], probability: float, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    measured = open_group(store, ExposureAttributes)
    for start in range(0, len(rows), CHUNK_EXPOSURES):
        yield thin(measured.read("counts", rows[start : start + CHUNK_EXPOSURES]), probability, rng=rng)
