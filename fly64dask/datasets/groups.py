"""A study and its input files -> the scan, exposure and view groups of a run's Zarr store."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import digest, software_versions, utc_now
from fly64dask.datasets.sources import ScanInputs, dose_in_photons, read_inputs
from fly64dask.scan import (
    Selection,
    bounding_box_area_px2,
    group_overlap,
    image_overlap,
    respaced_view,
    select,
    span_px,
    split_boundary_px,
    split_indices,
)
from fly64dask.simulation import Pair, expose, intensity_batches, photon_stream, survey_brightness, thin
from fly64dask.store import (
    CHUNK_EXPOSURES,
    ExposureAttributes,
    GroupAttributes,
    RunLayout,
    ScanAttributes,
    TruthAttributes,
    ViewAttributes,
    count_dtype,
    counts_array,
    object_arrays,
    open_group,
    positions_array,
    probe_array,
    published_directory,
    retire_directory,
    whole_array,
    write_arrays,
    write_attributes,
    write_group,
    write_parent_groups,
)
from fly64dask.study import Dose, SpacingView, Split, Study

if TYPE_CHECKING:
    from numpy.typing import NDArray


def prepare_scan(study: Study, layout: RunLayout) -> None:
    """Publish what all doses share: positions, probe, brightness and, if simulated, the truth.

    Parameters
    ----------
    study : Study
        The study.
    layout : RunLayout
        The run.
    """
    inputs = read_inputs(study)
    if inputs.pair is not None:
        pair = inputs.pair
        _ensure_group(
            layout.truth_group,
            TruthAttributes,
            inputs.source_digest,
            layout,
            lambda work: _write_truth(work, pair, inputs),
        )
    _ensure_group(
        layout.scan_group, ScanAttributes, inputs.source_digest, layout, lambda work: _write_scan(work, study, inputs)
    )


def expose_split(study: Study, dose: Dose, split: Split, layout: RunLayout, *, repeat: int = 0) -> None:
    """Publish the counts of one dose, split and repeat, simulated or thinned, in bounded memory.

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
        Which draw of the photons, from 0; all else is the same.
    """
    scan_group = open_group(layout.scan_group, ScanAttributes)
    scan = scan_group.attributes
    seed = study.seeds.subsampling if study.source.kind == "measured" else study.seeds.simulation
    drawn = [seed, repeat] if repeat else [seed]
    wanted = digest([scan.source_digest, dose, split, study.split.model_dump(), *drawn])
    positions = scan_group.read("positions_px")
    probe = scan_group.read("probe_guess")
    rows = split_indices(positions, study.split, split)
    dose_photons = dose_in_photons(dose, scan.own_dose_photons)
    rng = photon_stream(seed, dose_photons, split, repeat)

    def build(work: Path) -> None:
        tally = _Tally()
        if study.source.kind == "measured":
            probability = dose_photons / scan.mean_total_intensity
            scale = None
            blocks = _thinned(Path(study.source.path), rows, probability, rng)
            dtype = count_dtype(scan.brightest_pixel_intensity)
        else:
            probability = None
            scale = dose_photons / scan.mean_total_intensity
            batches = intensity_batches(_read_truth(layout), positions[rows])
            blocks = (expose(intensity, scale, rng=rng) for intensity in batches)
            dtype = count_dtype(scale * scan.brightest_pixel_intensity)
        array_sha256 = write_arrays(
            work,
            [
                counts_array((len(rows), *scan.diffraction_shape_px), dtype, tally.watch(blocks)),
                positions_array(positions[rows]),
                probe_array(probe),
                whole_array("scan_index", rows, dims=("exposure",), long_name="index in the whole scan"),
            ],
        )
        attributes = ExposureAttributes(
            **_provenance(wanted),
            source=scan.source,
            dose_photons=dose_photons,
            mean_counts_photons=tally.total / len(rows),
            brightest_count_photons=tally.brightest,
            n_exposures=len(rows),
            split=split,
            repeat=repeat,
            split_boundary_px=split_boundary_px(positions, study.split),
            photons_per_intensity=scale,
            thinning_probability=probability,
            seeds=study.seeds,
        )
        write_attributes(work, attributes, array_sha256)

    _ensure_group(layout.exposure_group(dose, split, repeat), ExposureAttributes, wanted, layout, build)


def select_view(
    study: Study, view_name: str, split: Split, layout: RunLayout, *, threshold_px: float | None = None
) -> None:
    """Publish the exposures that one view keeps of one split; they are the same at every dose.

    Parameters
    ----------
    study : Study
        The study.
    view_name : str
        One of its views.
    split : "train" or "test"
        Half of the field of view.
    layout : RunLayout
        The run; its scan group is published.
    threshold_px : float, optional
        Another spacing than the study's; the group is then one of its own.

    Raises
    ------
    NotSelectableError
        If no strategy keeps enough.
    """
    scan_group = open_group(layout.scan_group, ScanAttributes)
    scan = scan_group.attributes
    view = next(view for view in study.views if view.name == view_name)
    target = layout.view_group(view_name, split)
    if threshold_px is not None:
        assert isinstance(view, SpacingView)
        view = respaced_view(view, threshold_px)
        target = layout.respaced_group(view_name, split, threshold_px)
    parameters = [study.split.model_dump(), view.model_dump(), study.overlap.model_dump()]
    wanted = digest([scan.source_digest, split, *parameters])
    positions = scan_group.read("positions_px")
    positions = positions[split_indices(positions, study.split, split)]

    def build(work: Path) -> None:
        selection = select(positions, view)
        write_group(
            work,
            describe_view(study, view_name, split, positions, selection, source_digest=wanted),
            [whole_array("kept_indices", selection.kept, dims=("kept_exposure",), long_name="index in the split")],
        )

    _ensure_group(target, ViewAttributes, wanted, layout, build)


def describe_view(
    study: Study,
    view_name: str,
    split: Split,
    positions_px: NDArray[np.float64],
    selection: Selection,
    *,
    source_digest: str = "",
) -> ViewAttributes:
    """Measure a selection: how many it keeps and how densely they lie.

    Parameters
    ----------
    study : Study
        For the overlap measure.
    view_name : str
        The view.
    split : "train" or "test"
        Half of the field of view.
    positions_px : (n, 2) float64
        Positions of the whole split, order (y, x), px.
    selection : Selection
        What the view keeps of them.
    source_digest : str
        Digest of what determines it; empty for a plan.

    Returns
    -------
    ViewAttributes
    """
    kept = positions_px[selection.kept]
    span_y, span_x = span_px(kept)
    return ViewAttributes(
        **_provenance(source_digest),
        overlap_view=view_name,
        split=split,
        n_exposures=len(positions_px),
        n_kept=len(kept),
        selection=selection.metadata,
        image_overlap=image_overlap(kept, study.overlap),
        group_overlap=group_overlap(kept, study.overlap),
        overlap_diameter_px=study.overlap.diameter_px,
        overlap_n_neighbours=study.overlap.n_neighbours,
        bounding_box_area_px2=bounding_box_area_px2(kept),
        span_y_px=span_y,
        span_x_px=span_x,
    )


class _Tally:
    """Counts photons as blocks pass by on their way to the store."""

    def __init__(self) -> None:
        self.total = 0
        self.brightest = 0

    def watch(self, blocks: Iterator[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        for block in blocks:
            self.total += int(block.sum(dtype=np.int64))
            self.brightest = max(self.brightest, int(block.max()))
            yield block


def _ensure_group(
    target: Path,
    model: type[GroupAttributes],
    source_digest: str,
    layout: RunLayout,
    build: Callable[[Path], None],
) -> None:
    """Build a group unless the same one is there; one made from other settings makes way."""
    if target.exists():
        if open_group(target, model).attributes.source_digest == source_digest:
            write_parent_groups(target, store=layout.store, scratch=layout.scratch)
            return
        stale = layout.scratch / f"stale-{uuid.uuid4().hex}"
        retire_directory(target, to=stale)
        shutil.rmtree(stale)
    with published_directory(target, scratch=layout.scratch) as work:
        build(work)
        write_parent_groups(target, store=layout.store, scratch=layout.scratch)


def _provenance(source_digest: str) -> dict[str, Any]:
    return {"created_at": utc_now(), "software": software_versions(), "source_digest": source_digest}


def _write_truth(work: Path, pair: Pair, inputs: ScanInputs) -> None:
    write_group(
        work,
        TruthAttributes(**_provenance(inputs.source_digest)),
        [
            *object_arrays("object_truth", pair.object_truth, origin_px=(0, 0)),
            probe_array(pair.probe, "probe_truth"),
        ],
    )


def _read_truth(layout: RunLayout) -> Pair:
    truth = open_group(layout.truth_group, TruthAttributes)
    return Pair(object_truth=truth.read("object_truth"), probe=truth.read("probe_truth"))


def _write_scan(work: Path, study: Study, inputs: ScanInputs) -> None:
    if inputs.pair is not None:
        brightness = survey_brightness(inputs.pair, inputs.positions_px)
        mean_total, brightest = brightness.mean_total, brightness.brightest_pixel
    else:
        assert inputs.own_dose_photons is not None and inputs.brightest_count_photons is not None
        mean_total, brightest = inputs.own_dose_photons, float(inputs.brightest_count_photons)
    write_group(
        work,
        ScanAttributes(
            **_provenance(inputs.source_digest),
            source=study.source.model_dump(mode="json"),
            n_exposures=len(inputs.positions_px),
            diffraction_shape_px=inputs.diffraction_shape_px,
            mean_total_intensity=mean_total,
            brightest_pixel_intensity=brightest,
            own_dose_photons=inputs.own_dose_photons,
        ),
        [positions_array(inputs.positions_px), probe_array(inputs.probe_guess)],
    )


def _thinned(
    store: Path, rows: NDArray[np.int64], probability: float, rng: np.random.Generator
) -> Iterator[NDArray[Any]]:
    measured = open_group(store, ExposureAttributes)
    for start in range(0, len(rows), CHUNK_EXPOSURES):
        yield thin(measured.read("counts", rows[start : start + CHUNK_EXPOSURES]), probability, rng=rng)
