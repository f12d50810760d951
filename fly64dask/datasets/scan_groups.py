"""Publishes what all doses of an object share: the scan and, if it is simulated, the truth."""

from __future__ import annotations

from pathlib import Path

from fly64dask.datasets.published_group import group_origin, publish_group
from fly64dask.datasets.sources import ScanInputs, read_inputs
from fly64dask.simulation import Pair, detected_share, survey_brightness
from fly64dask.store import (
    RunLayout,
    ScanAttributes,
    TruthAttributes,
    mask_array,
    object_arrays,
    open_group,
    opr_weights_array,
    positions_array,
    probe_array,
    whole_array,
    write_group,
)
from fly64dask.study import Study


def prepare_scan(study: Study, layout: RunLayout, *, object_seed: int | None = None) -> None:
    """Publish positions, starting probe and brightness of an object's scan and, if it is simulated, the truth.

    Parameters
    ----------
    study : Study
        The study.
    layout : RunLayout
        The run.
    object_seed : int, optional
        Seed of the object, where the study has several.
    """
    study = study.of_object(object_seed)
    inputs = read_inputs(study)
    source_digest = inputs.source_digest
    scan_group, truth_group = layout.scan_group(object_seed), layout.truth_group(object_seed)
    if inputs.is_simulated:
        publish_group(truth_group, TruthAttributes, source_digest, layout, lambda to: _write_truth(to, inputs))
    publish_group(scan_group, ScanAttributes, source_digest, layout, lambda to: _write_scan(to, study, inputs))


def read_truth(layout: RunLayout, object_seed: int | None = None) -> Pair:
    """Read the true object and probe of a simulation; this is never done before an engine has returned.

    Parameters
    ----------
    layout : RunLayout
        A run of a simulated study.
    object_seed : int, optional
        Seed of the object, where the study has several.

    Returns
    -------
    Pair

    Raises
    ------
    IntegrityError
        If the truth is missing or damaged.
    """
    truth = open_group(layout.truth_group(object_seed), TruthAttributes)
    return Pair(
        object_truth=truth.read("object_truth"),
        probe=truth.read("probe_truth"),
        object_fine=truth.read("object_fine") if "object_fine" in truth.names else None,
    )


def _write_truth(directory: Path, inputs: ScanInputs) -> None:
    pair = inputs.pair
    assert pair is not None, "it is simulated"
    arrays = [
        *object_arrays("object_truth", pair.object_truth, origin_px=(0, 0)),
        probe_array(pair.probe, "probe_truth"),
    ]
    if pair.object_fine is not None:
        long_name = "complex transmission that is illuminated, on a finer grid"
        arrays.append(whole_array("object_fine", pair.object_fine, dims=("y_fine", "x_fine"), long_name=long_name))
    attributes = TruthAttributes(
        **group_origin(inputs.source_digest),
        oversampling=pair.oversampling,
        probe_light=inputs.probe_light,
        object_band=inputs.object_band,
        pixel_size_nm=inputs.pixel_size_nm,
    )
    write_group(directory, attributes, arrays)


def _write_scan(directory: Path, study: Study, inputs: ScanInputs) -> None:
    share = None
    if inputs.pair is not None:
        brightness = survey_brightness(inputs.pair, inputs.positions_px)
        mean_total, brightest = brightness.mean_total, brightness.brightest_pixel
        share = detected_share(mean_total, inputs.pair.probe)
    else:
        assert inputs.own_dose_photons is not None and inputs.brightest_count_photons is not None
        mean_total, brightest = inputs.own_dose_photons, float(inputs.brightest_count_photons)
    write_group(
        directory,
        ScanAttributes(
            **group_origin(inputs.source_digest),
            source=study.source.model_dump(mode="json"),
            n_exposures=len(inputs.positions_px),
            diffraction_shape_px=inputs.diffraction_shape_px,
            mean_total_intensity=mean_total,
            brightest_pixel_intensity=brightest,
            own_dose_photons=inputs.own_dose_photons,
            detected_share=share,
            pixel_size_nm=inputs.pixel_size_nm,
            geometry=inputs.geometry,
        ),
        [
            positions_array(inputs.positions_px),
            probe_array(inputs.probe_guess),
            *([] if inputs.valid_pixels is None else [mask_array(inputs.valid_pixels)]),
            *([] if inputs.opr_weights is None else [opr_weights_array(inputs.opr_weights)]),
        ],
    )
