"""Draw the photon counts of one dose, split and repeat, or compute the expected ones, and publish them as a group."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import IntegrityError
from fly64dask.datasets.digests import NOISE_FREE_SCALE_PHOTONS, exposures_digest
from fly64dask.datasets.doses import KeptExposures, dose_in_photons
from fly64dask.datasets.published_group import group_origin, publish_group
from fly64dask.datasets.scan_groups import read_truth
from fly64dask.scan import split_boundary_px, split_indices
from fly64dask.simulation import Pair, expose, intensity_batches, photon_stream, thin
from fly64dask.store import (
    CHUNK_EXPOSURES,
    ArraySource,
    ExposureAttributes,
    Group,
    RunLayout,
    ScanAttributes,
    ViewAttributes,
    count_dtype,
    counts_array,
    expected_counts_array,
    mask_array,
    mean_pattern_array,
    open_group,
    opr_weights_array,
    photons_array,
    positions_array,
    probe_array,
    whole_array,
    write_arrays,
    write_attributes,
)
from fly64dask.study import Dose, MeasuredSource, Realisation, Split, Study

if TYPE_CHECKING:
    from numpy.typing import NDArray


def expose_split(
    study: Study,
    dose: Dose,
    split: Split,
    layout: RunLayout,
    *,
    repeat: int = 0,
    object_seed: int | None = None,
    view: str | None = None,
) -> None:
    """Publish the counts of one noise realisation: simulated, expected or thinned, in bounded memory.

    Parameters
    ----------
    study : Study
        The study.
    dose : float, "measured" or "noise_free"
        One of the study's, which says by `dose_by` what it counts.
    split : "train", "test" or "whole"
        Part of the field of view.
    layout : RunLayout
        The run; its scan group is published.
    repeat : int
        Which noise realisation, from 0; all else is the same.
    object_seed : int, optional
        Seed of the object, where the study has several; each has photons of its own.
    view : str, optional
        The view that the exposures are for, if the dose is other photons per exposure in each; it is published.
    """
    scan = open_group(layout.scan_group(object_seed), ScanAttributes)
    positions = scan.read("positions_px")
    rows = split_indices(positions, study.split, split)
    dose_photons = dose_in_photons(study, dose, scan.attributes.own_dose_photons, _read_kept(layout, view, split))
    truth = functools.partial(read_truth, layout, object_seed)
    if dose_photons is None:
        patterns = _expected_patterns(truth, scan, rows)
    else:
        seed = study.seeds.subsampling if study.source.kind == "measured" else study.seeds.simulation
        rng = photon_stream(seed, dose_photons, split, repeat, object_seed)
        patterns = _drawn_patterns(study, truth, scan, dose_photons, rows, rng)
    share = scan.attributes.detected_share
    realisation = Realisation(dose, split, repeat, object_seed, view)
    source_digest = exposures_digest(study, scan.attributes.source_digest, realisation, dose_photons)

    def build(directory: Path) -> None:
        array_sha256 = write_arrays(
            directory,
            [
                patterns.array((len(rows), *scan.attributes.diffraction_shape_px)),
                positions_array(positions[rows]),
                _lit_probe(scan, patterns.photons_per_intensity),
                whole_array("scan_index", rows, dims=("exposure",), long_name="index in the whole scan"),
                patterns.photons_array(len(rows)),
                patterns.mean_array(scan.attributes.diffraction_shape_px, len(rows)),
                *_of_measured(scan, rows),
            ],
        )
        attributes = ExposureAttributes(
            **group_origin(source_digest),
            source=scan.attributes.source,
            dose_photons=dose_photons,
            noise_free=dose_photons is None,
            forward_model=study.source.forward_model,
            mean_counts_photons=patterns.total_photons / len(rows),
            brightest_count_photons=patterns.brightest_photons,
            n_exposures=len(rows),
            split=split,
            repeat=repeat,
            split_boundary_px=None if study.split == "none" else split_boundary_px(positions, study.split),
            photons_per_intensity=patterns.photons_per_intensity,
            thinning_probability=patterns.thinning_probability,
            incident_photons=None if share is None or dose_photons is None else dose_photons / share,
            pixel_size_nm=scan.attributes.pixel_size_nm,
            geometry=scan.attributes.geometry,
            seeds=study.seeds,
        )
        write_attributes(directory, attributes, array_sha256)

    target = layout.exposure_group(dose, split, repeat, object_seed, view)
    publish_group(target, ExposureAttributes, source_digest, layout, build)


def _of_measured(scan: Group[ScanAttributes], rows: NDArray[np.int64]) -> Iterator[ArraySource]:
    """Describe what a measured scan may have besides: the mask, and the OPR weights of some exposures."""
    if "valid_pixels" in scan.names:
        yield mask_array(scan.read("valid_pixels"))
    if "opr_weights" in scan.names:
        yield opr_weights_array(scan.read("opr_weights", rows))


def _read_kept(layout: RunLayout, view: str | None, split: Split) -> KeptExposures | None:
    """Read what a view keeps of a split, as far as a dose depends on it."""
    if view is None:
        return None
    attributes = open_group(layout.view_group(view, split), ViewAttributes).attributes
    return KeptExposures(view=view, split=split, n_kept=attributes.n_kept, beams=attributes.beams)


def _lit_probe(scan: Group[ScanAttributes], photons_per_intensity: float | None) -> ArraySource:
    """Describe the starting probe: in sqrt(photons) of an exposure if it is simulated, else as it was measured."""
    probe = scan.read("probe_guess")
    if photons_per_intensity is None:
        return probe_array(probe)
    in_photons = np.asarray(probe * np.sqrt(photons_per_intensity), dtype=np.complex64)
    return probe_array(in_photons, units="sqrt(photons)")


@dataclass(slots=True, kw_only=True)
class _Patterns:
    """Patterns that are made batch by batch, and what is known of those that have passed by.

    `blocks` give (k, H, W) photons, once: integers that are drawn, of which `dtype` holds the brightest that is
    expected, or float32 expectations.
    """

    blocks: Iterator[NDArray[np.number]]
    dtype: np.dtype[Any]
    photons_per_intensity: float | None = None
    thinning_probability: float | None = None
    brightest_photons: int | float = 0
    _exposure_photons: list[NDArray[np.number]] = field(default_factory=list)
    _sum: NDArray[np.number] | None = None

    def array(self, shape: tuple[int, int, int]) -> ArraySource:
        """Describe the patterns, (n, H, W), as an array to write."""
        if self.dtype.kind == "f":
            return expected_counts_array(shape, self._pass_by())
        return counts_array(shape, self.dtype, self._pass_by())

    def _pass_by(self) -> Iterator[NDArray[Any]]:
        """Hand on the blocks, and count their photons."""
        for block in self.blocks:
            wide = np.float64 if self.dtype.kind == "f" else np.int64
            self._exposure_photons.append(block.sum(axis=(1, 2), dtype=wide))
            pattern = block.sum(axis=0, dtype=wide)
            self._sum = pattern if self._sum is None else self._sum + pattern
            self.brightest_photons = max(self.brightest_photons, block.max().item())
            yield block

    def photons_array(self, n_exposures: int) -> ArraySource:
        """Describe the photons of each exposure, (n,) as `dtype` has them, for when all blocks have passed by."""
        dtype = np.dtype(np.float64 if self.dtype.kind == "f" else np.int64)
        return photons_array(n_exposures, (np.concatenate(self._exposure_photons) for _ in range(1)), dtype=dtype)

    def mean_array(self, shape: tuple[int, int], n_exposures: int) -> ArraySource:
        """Describe the mean pattern, (H, W) float64, for when all blocks have passed by."""
        return mean_pattern_array(shape, (np.asarray(self._sum) / n_exposures for _ in range(1)))

    @property
    def total_photons(self) -> int | float:
        """Photons of all exposures that have passed by."""
        total: int | float = sum(photons.sum().item() for photons in self._exposure_photons)
        return total


def _expected_patterns(truth: Callable[[], Pair], scan: Group[ScanAttributes], rows: NDArray[np.int64]) -> _Patterns:
    """Compute the expected patterns of some exposures, which have no noise."""
    scale = NOISE_FREE_SCALE_PHOTONS / scan.attributes.mean_total_intensity
    positions_px = scan.read("positions_px", rows)
    return _Patterns(
        blocks=(np.asarray(each * scale, dtype=np.float32) for each in intensity_batches(truth(), positions_px)),
        dtype=np.dtype(np.float32),
        photons_per_intensity=scale,
    )


def _drawn_patterns(
    study: Study,
    truth: Callable[[], Pair],
    scan: Group[ScanAttributes],
    dose_photons: float,
    rows: NDArray[np.int64],
    rng: np.random.Generator,
) -> _Patterns:
    """Thin the measured counts of some exposures, or simulate them; nothing is drawn before it is asked for."""
    ratio = dose_photons / scan.attributes.mean_total_intensity
    brightest = scan.attributes.brightest_pixel_intensity
    if isinstance(study.source, MeasuredSource):
        return _Patterns(
            blocks=_thinned(Path(study.source.path), rows, ratio, rng),
            dtype=count_dtype(brightest),
            thinning_probability=ratio,
        )
    return _Patterns(
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
    """Thin measured counts; a pixel that measures nothing holds 0 counts, of which thinning makes no others."""
    measured = open_group(store, ExposureAttributes)
    gaps = ~measured.read("valid_pixels") if "valid_pixels" in measured.names else None
    for start in range(0, len(rows), CHUNK_EXPOSURES):
        counts = measured.read("counts", rows[start : start + CHUNK_EXPOSURES])
        if gaps is not None and counts[:, gaps].any():
            raise IntegrityError(
                f"read {store / 'counts'}: found {int(counts[:, gaps].sum())} photons in pixels that valid_pixels "
                "says measure nothing, needed 0",
                remedy="ingest the scan again",
            )
        yield thin(counts, probability, rng=rng)
