"""Plans a run: what each cell would reconstruct and how much memory it needs, before any photons are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from fly64dask.base import NotSelectableError
from fly64dask.datasets import KeptExposures, describe_view, dose_in_photons, known_mask, read_inputs
from fly64dask.records import ExposureFields
from fly64dask.scan import (
    MIN_SPAN_PX,
    Coverage,
    Identifiability,
    SelectionFields,
    describe_light,
    measure_coverage,
    object_frame,
    predict_identifiability,
    refuses_degenerate,
    select,
    span_px,
    split_indices,
)
from fly64dask.scheduling.costs import predicted_memory_bytes
from fly64dask.simulation import transmitted_share
from fly64dask.study import Cell, CellCoordinates, Recipe, Split, Study

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fly64dask.datasets import ScanInputs


class PlannedCell(ExposureFields, SelectionFields, CellCoordinates):
    """A cell before it runs; fields about the kept exposures are None if the view cannot be selected."""

    bounding_box_area_px2: float | None = None
    span_y_px: float | None = None
    span_x_px: float | None = None
    identifiability: Identifiability | None = None
    predicted_memory_bytes: int | None = None
    warning: str | None = None

    @property
    def will_fail(self) -> bool:
        """Whether it is known beforehand that the cell gets no reconstruction."""
        return self.warning is not None and (self.n_kept is None or self.warning.endswith("will fail"))


def plan_cells(study: Study, inputs: ScanInputs, requested: Sequence[Cell]) -> tuple[PlannedCell, ...]:
    """Select the exposures of every requested cell and predict its memory.

    Parameters
    ----------
    study : Study
        The study.
    inputs : ScanInputs
        Positions and shapes.
    requested : sequence of Cell
        Cells to plan.

    Returns
    -------
    tuple of PlannedCell
        In the given order. Selection and coverage are computed once for each view and split.
    """
    planned: dict[tuple[str, Split], _PlannedView] = {}
    for cell in requested:
        if (cell.view, cell.split) not in planned:
            planned[cell.view, cell.split] = _plan_view(study, inputs, cell.view, cell.split)
    shares = {
        seed: _transmitted_share(study, inputs, seed) for seed in dict.fromkeys(cell.object_seed for cell in requested)
    }
    return tuple(
        _plan_cell(study, inputs, shares[cell.object_seed], cell, planned[cell.view, cell.split]) for cell in requested
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _PlannedView:
    """What a view keeps of a split, at any dose; without positions if it cannot be selected."""

    facts: dict[str, object]
    positions_px: NDArray[np.float64] | None = None
    coverage: Coverage | None = None
    kept: KeptExposures | None = None
    object_shape_px: tuple[int, int] = (0, 0)


def _transmitted_share(study: Study, inputs: ScanInputs, object_seed: int | None) -> float | None:
    """Compute the mean share of the incident light that an object transmits; None for a measured scan."""
    if object_seed != study.object_seeds[0]:
        inputs = read_inputs(study.of_object(object_seed))
    return transmitted_share(inputs.pair, inputs.positions_px) if inputs.pair else None


def _plan_cell(study: Study, inputs: ScanInputs, share: float | None, cell: Cell, view: _PlannedView) -> PlannedCell:
    if view.kept is None or view.positions_px is None:
        is_known = study.dose_by == "exposure" or isinstance(cell.dose, str)
        dose = {"dose_photons": dose_in_photons(study, cell.dose, inputs.own_dose_photons)} if is_known else {}
        return PlannedCell.model_validate(asdict(cell) | dose | view.facts)
    recipe, dose_photons = study.recipe_of(cell), dose_in_photons(study, cell.dose, inputs.own_dose_photons, view.kept)
    light = describe_light(
        view.kept.beams,
        n_kept=view.kept.n_kept,
        dose_photons=dose_photons,
        incident_photons=None if share is None or dose_photons is None else dose_photons / share,
        pixel_size_nm=inputs.pixel_size_nm,
    )
    setup = study.setup_of(cell.setup_name)
    facts: dict[str, object] = {
        "setup": None if setup.is_ideal else setup,
        "forward_model": study.source.forward_model,
        "identifiability": predict_identifiability(
            view.positions_px,
            inputs.probe_guess,
            recipe,
            dose_photons=dose_photons,
            coverage=view.coverage,
            valid_pixels=inputs.valid_pixels
            if not inputs.is_simulated
            else known_mask(study, cell.setup_name, inputs.diffraction_shape_px),
        ),
        "predicted_memory_bytes": predicted_memory_bytes(
            view.kept.n_kept,
            inputs.diffraction_shape_px,
            view.object_shape_px,
            recipe,
            inputs.probe_guess.shape[1],
            inputs.probe_guess.shape[0],
        ),
        "warning": _warning(view.positions_px, recipe),
    }
    return PlannedCell.model_validate(asdict(cell) | view.facts | dict(light) | facts)


def _plan_view(study: Study, inputs: ScanInputs, view_name: str, split: Split) -> _PlannedView:
    view = next(view for view in study.views if view.name == view_name)
    positions = inputs.positions_px[split_indices(inputs.positions_px, study.split, split)]
    try:
        selection = select(positions, view)
    except NotSelectableError as error:
        return _PlannedView(facts={"n_exposures": len(positions), "warning": f"not_selectable: {error}"})
    description = describe_view(study, view_name, split, positions, selection, inputs.probe_guess)
    kept_px = positions[selection.kept]
    shape, _ = object_frame(kept_px, inputs.diffraction_shape_px)
    planned: dict[str, object] = {
        "n_exposures": len(positions),
        "n_kept": len(selection.kept),
    }
    for part in (description, description.selection):
        if part is not None:
            planned |= {name: value for name, value in part if name in PlannedCell.model_fields and name != "split"}
    return _PlannedView(
        facts=planned,
        positions_px=kept_px,
        coverage=measure_coverage(kept_px, inputs.probe_guess),
        kept=KeptExposures(view=view_name, split=split, n_kept=len(kept_px), beams=description.beams),
        object_shape_px=shape,
    )


def _warning(positions_px: NDArray[np.float64], recipe: Recipe) -> str | None:
    span_y, span_x = span_px(positions_px)
    if min(span_y, span_x) >= MIN_SPAN_PX:
        problem = None if recipe.guarded else recipe.batching_problem(len(positions_px))
        return f"bad_input: {problem}, will fail" if problem else None
    verb = "will fail" if refuses_degenerate(recipe) else "runs guarded"
    return f"degenerate_scan: spans {span_y:.3g} x {span_x:.3g} px, {verb}"
