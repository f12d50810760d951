"""Selects the exposures that a view keeps of a split, and publishes them as a group of the run's store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fly64dask.datasets.digests import selection_digest, view_digest
from fly64dask.datasets.published_group import group_origin, publish_group
from fly64dask.scan import (
    Selection,
    bounding_box_area_px2,
    group_overlap,
    image_overlap,
    measure_beams,
    respaced_view,
    select,
    span_px,
    split_indices,
)
from fly64dask.store import RunLayout, ScanAttributes, ViewAttributes, open_group, whole_array, write_group
from fly64dask.study import SpacingView, Split, Study

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def select_view(
    study: Study,
    view_name: str,
    split: Split,
    layout: RunLayout,
    *,
    threshold_px: float | None = None,
    object_seed: int | None = None,
) -> None:
    """Publish the exposures that one view keeps of one split; they are the same at every dose and of every object.

    Parameters
    ----------
    study : Study
        The study.
    view_name : str
        One of its views.
    split : "train", "test" or "whole"
        Part of the field of view.
    layout : RunLayout
        The run; its scan group is published.
    threshold_px : float, optional
        A spacing that replaces the study's; the selection then has a group of its own.
    object_seed : int, optional
        Seed of an object whose scan is published, if the study has several; their scans have the same positions.

    Raises
    ------
    NotSelectableError
        If no strategy keeps enough exposures.
    """
    scan = open_group(layout.scan_group(object_seed), ScanAttributes)
    view = next(view for view in study.views if view.name == view_name)
    target = layout.view_group(view_name, split, threshold_px)
    if threshold_px is not None:
        assert isinstance(view, SpacingView)
        view = respaced_view(view, threshold_px)
    selected_from = selection_digest(study, scan.array_sha256["positions_px"], view, split)
    source_digest = view_digest(study, scan.array_sha256, view, split)
    positions = scan.read("positions_px")
    positions = positions[split_indices(positions, study.split, split)]

    def build(directory: Path) -> None:
        selection = select(positions, view)
        attributes = describe_view(
            study, view_name, split, positions, selection, scan.read("probe_guess"), source_digest=source_digest
        )
        write_group(
            directory,
            attributes.model_copy(update={"selection_digest": selected_from}),
            [whole_array("kept_indices", selection.kept, dims=("kept_exposure",), long_name="index in the split")],
        )

    publish_group(target, ViewAttributes, source_digest, layout, build)


def describe_view(
    study: Study,
    view_name: str,
    split: Split,
    positions_px: NDArray[np.float64],
    selection: Selection,
    probe: NDArray[np.complex64],
    *,
    source_digest: str = "",
) -> ViewAttributes:
    """Measure a selection: how many exposures it keeps, and how densely they and their beams lie.

    Parameters
    ----------
    study : Study
        The study, which may set the measure of overlap.
    view_name : str
        The view.
    split : "train", "test" or "whole"
        Part of the field of view.
    positions_px : (n, 2) float64
        Positions of the whole split, order (y, x), px.
    selection : Selection
        What the view keeps of them.
    probe : (n_opr, n_modes, H, W) complex64
        Starting probe. Its diameter is that of the discs whose overlap is reported, unless the study sets another.
    source_digest : str
        Digest of what determines the selection; empty for a plan.

    Returns
    -------
    ViewAttributes
    """
    kept_px = positions_px[selection.kept]
    span_y, span_x = span_px(kept_px)
    beams = measure_beams(kept_px, probe)
    n_neighbours, diameter_px = study.overlap.n_neighbours, study.overlap.diameter_px or beams.probe_d90_px
    assert diameter_px is not None, "every probe has a diameter"
    return ViewAttributes(
        **group_origin(source_digest),
        overlap_view=view_name,
        split=split,
        n_exposures=len(positions_px),
        n_kept=len(kept_px),
        selection=selection.metadata,
        image_overlap=image_overlap(kept_px, n_neighbours=n_neighbours, diameter_px=diameter_px),
        group_overlap=group_overlap(kept_px, diameter_px=diameter_px),
        overlap_diameter_px=diameter_px,
        overlap_n_neighbours=n_neighbours,
        bounding_box_area_px2=bounding_box_area_px2(kept_px),
        span_y_px=span_y,
        span_x_px=span_x,
        **dict(beams),
    )
