"""Draws the photon counts of one dose, split and repeat, or computes the expected ones, and publishes their group."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.datasets.digests import exposures_digest
from fly64dask.datasets.doses import KeptExposures, dose_in_photons
from fly64dask.datasets.pattern_batches import PatternBatches
from fly64dask.datasets.published_group import group_origin, publish_group
from fly64dask.datasets.scan_groups import read_truth
from fly64dask.datasets.setups import SimulatedExposures, known_mask, setup_probe_guess, simulate_exposures
from fly64dask.datasets.thinning import thinned_patterns
from fly64dask.scan import split_boundary_px, split_indices
from fly64dask.simulation import photon_stream
from fly64dask.store import (
    ArraySource,
    ExposureAttributes,
    Group,
    RunLayout,
    ScanAttributes,
    ViewAttributes,
    mask_array,
    open_group,
    opr_weights_array,
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
    setup_name: str | None = None,
) -> None:
    """Publish the counts of one noise realisation (simulated, expected or thinned) in bounded memory.

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
        Seed of the object, if the study has several; the photons of each are drawn independently.
    view : str, optional
        The view of the exposures, if the photons per exposure differ from view to view; its group is published.
    setup_name : str, optional
        Name of the setup, if the study has several. The photons of all setups are drawn from the same stream, so that
        setups which differ only in what the engine starts from have the same counts.
    """
    drawn = Realisation(dose, split, repeat, object_seed, view, setup_name)
    scan = open_group(layout.scan_group(object_seed), ScanAttributes)
    positions = scan.read("positions_px")
    rows = split_indices(positions, study.split, split)
    dose_photons = dose_in_photons(study, dose, scan.attributes.own_dose_photons, _read_kept(layout, view, split))
    source_digest = exposures_digest(study, scan.attributes.source_digest, drawn, dose_photons)
    patterns, simulated = _make_patterns(study, drawn, layout, scan, rows, dose_photons)
    share, mask = scan.attributes.detected_share, known_mask(study, setup_name, scan.attributes.diffraction_shape_px)

    def build(directory: Path) -> None:
        probe = setup_probe_guess(study, setup_name, scan.read("probe_guess"))
        written = write_arrays(directory, _arrays(scan, positions, rows, patterns, probe, mask))
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
            **({} if simulated is None else dict(simulated.facts())),
        )
        write_attributes(directory, attributes, written)

    publish_group(layout.exposure_group(*drawn), ExposureAttributes, source_digest, layout, build)


def _make_patterns(
    study: Study,
    drawn: Realisation,
    layout: RunLayout,
    scan: Group[ScanAttributes],
    rows: NDArray[np.int64],
    dose_photons: float | None,
) -> tuple[PatternBatches, SimulatedExposures | None]:
    """Make the patterns, thinned or simulated when they are read; with their simulation, or None."""

    def rng() -> np.random.Generator:
        assert dose_photons is not None, "what has no noise draws nothing"
        seed = study.seeds.subsampling if study.source.kind == "measured" else study.seeds.simulation
        return photon_stream(seed, dose_photons, drawn.split, drawn.repeat, drawn.object_seed)

    if isinstance(study.source, MeasuredSource):
        assert dose_photons is not None, "the study model refuses it"
        return thinned_patterns(Path(study.source.path), scan, dose_photons, rows, rng()), None
    truth = functools.partial(read_truth, layout, drawn.object_seed)
    simulated = simulate_exposures(study, drawn, scan, rows, truth, dose_photons)
    return simulated.patterns(rng), simulated


def _arrays(
    scan: Group[ScanAttributes],
    positions: NDArray[np.float64],
    rows: NDArray[np.int64],
    patterns: PatternBatches,
    probe: NDArray[np.complex64],
    mask: NDArray[np.bool_] | None,
) -> list[ArraySource]:
    """Describe the arrays of the group; the patterns come first, because their sums are known after them."""
    shape_px = scan.attributes.diffraction_shape_px
    return [
        patterns.array((len(rows), *shape_px)),
        positions_array(positions[rows]),
        _lit_probe(probe, patterns.photons_per_intensity),
        whole_array("scan_index", rows, dims=("exposure",), long_name="index in the whole scan"),
        patterns.photons_array(len(rows)),
        patterns.mean_array(shape_px, len(rows)),
        *([] if mask is None else [mask_array(mask)]),
        *_of_measured(scan, rows),
    ]


def _of_measured(scan: Group[ScanAttributes], rows: NDArray[np.int64]) -> Iterator[ArraySource]:
    """Describe further arrays that a measured scan may have: the mask, and the OPR weights of some exposures."""
    if "valid_pixels" in scan.names:
        yield mask_array(scan.read("valid_pixels"))
    if "opr_weights" in scan.names:
        yield opr_weights_array(scan.read("opr_weights", rows))


def _read_kept(layout: RunLayout, view: str | None, split: Split) -> KeptExposures | None:
    """Read the exposures that a view keeps of a split, as far as a dose depends on them."""
    if view is None:
        return None
    attributes = open_group(layout.view_group(view, split), ViewAttributes).attributes
    return KeptExposures(view=view, split=split, n_kept=attributes.n_kept, beams=attributes.beams)


def _lit_probe(probe: NDArray[np.complex64], photons_per_intensity: float | None) -> ArraySource:
    """Describe the starting probe: in sqrt(photons) of an exposure if it is simulated, else as it is stored."""
    if photons_per_intensity is None:
        return probe_array(probe)
    in_photons = np.asarray(probe * np.sqrt(photons_per_intensity), dtype=np.complex64)
    return probe_array(in_photons, units="sqrt(photons)")
