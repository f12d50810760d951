"""A cell's inputs -> its reconstruction and what was measured of it, in the engine's own process."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.base import Failure, result_or_failure, software_versions, utc_now
from fly64dask.cells.inputs import CellInputs
from fly64dask.metrics import HalfSetMetrics
from fly64dask.reconstruction import CheckpointFile, load_engine, refuse_dark
from fly64dask.reconstruction.checkpoint import _ends_at
from fly64dask.scan import is_guarded
from fly64dask.store import (
    LOG_NAME,
    RECONSTRUCTION_NAME,
    ArraySource,
    ReconstructionAttributes,
    RunLayout,
    TruthAttributes,
    object_arrays,
    open_group,
    probe_array,
    storing,
    whole_array,
    write_group,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.metrics import RingCorrelation, TruthComparison
    from fly64dask.reconstruction import Exposures, Progress, Reconstruction
    from fly64dask.study import Cell, Recipe, Remedy, Study

log = logging.getLogger(__name__)
CURVES = {
    "frc_n_pixels": "independent Fourier pixels of a ring",
    "frc_truth": "Fourier ring correlation with the truth",
    "frc_flat": "Fourier ring correlation of a flat object with the truth",
    "frc_halves": "Fourier ring correlation of the halves",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at one cell: all that the engine's process needs to know."""

    study: Study
    cell: Cell
    root: str
    directory: str
    engine: str
    cell_key: str
    remedy: Remedy | None = None

    def __call__(self, report: Progress) -> dict[str, Any] | Failure:
        """Reconstruct, store, measure.

        Parameters
        ----------
        report : callable
            Called with (epochs done, loss) after each epoch.

        Returns
        -------
        dict or Failure
            Facts for the record, or why there are none.
        """
        with _engine_log(Path(self.directory, LOG_NAME)):
            return result_or_failure(lambda: _reconstruct(self, report), what=f"cell={self.cell.name}")


def _reconstruct(attempt: Attempt, report: Progress) -> dict[str, Any]:
    """Run the engine, then open the truth and measure, and store what was made."""
    study, cell, layout = attempt.study, attempt.cell, RunLayout(Path(attempt.root))
    inputs = CellInputs(layout, cell, attempt.remedy)
    inputs.open()
    exposures = inputs.read()
    refuse_dark(exposures.counts)

    def on_epoch(epoch: int, loss: float) -> None:
        log.info("cell=%s epoch=%d loss=%.6g", cell.name, epoch, loss)
        report(epoch, loss)

    result = load_engine(attempt.engine)(
        exposures,
        study.recipe,
        seed=study.seeds.grouping,
        progress=on_epoch,
        checkpoint=CheckpointFile(
            path=layout.checkpoint_file(cell),
            cell_key=attempt.cell_key,
            settings=study.checkpoints,
            ends_at=_ends_at(),
        ),
    )
    started = time.perf_counter()
    found = None if study.source.kind == "measured" else _measure(layout, result, exposures)
    half_sets, half_arrays = _compare_halves(study.recipe, exposures, result)
    seconds = time.perf_counter() - started
    made = _write_reconstruction(
        Path(attempt.directory, RECONSTRUCTION_NAME), cell, result, [*_truth_curves(found), *half_arrays]
    )
    return {
        "n_epochs": len(result.loss),
        "final_loss": float(result.loss[-1]),
        "device": result.device,
        "acceleration": result.acceleration,
        "resumed_from_epoch": result.resumed_from_epoch or None,
        "underdetermined": is_guarded(exposures.positions_px, study.recipe),
        "digests": inputs.sha256 | made,
        "stopping": result.stopping,
        "half_sets": half_sets,
        "metrics": found.metrics if found else None,
        "metrics_seconds": seconds if found or half_sets else None,
    }


def _compare_halves(
    recipe: Recipe, exposures: Exposures, result: Reconstruction
) -> tuple[HalfSetMetrics | None, list[ArraySource]]:
    """Correlate the halves if the recipe wants any, and what of them and of the rule is to be stored."""
    arrays = []
    if result.validation is not None:
        arrays.append(
            whole_array("validation", result.validation, dims=("epoch",), long_name="score of the stopping rule")
        )
    if recipe.halves == "none":
        return None, arrays
    if result.half_objects is None:
        return HalfSetMetrics(split_by=recipe.halves, missing=result.no_halves or "the engine made none"), arrays
    from fly64dask.reconstruction import compare_halves, shared_area

    shape = (result.half_objects.shape[1], result.half_objects.shape[2])
    area = shared_area(exposures, recipe.halves, shape, result.object_origin_px)
    metrics, curve = compare_halves(result.half_objects, area, recipe.halves)
    return metrics, [
        *arrays,
        whole_array("half_objects", result.half_objects, dims=("half", "y", "x"), long_name="object of each half"),
        *_curves("frc_halves_frequency", curve, {"frc_halves": curve.correlation}),
    ]


def _write_reconstruction(
    directory: Path, cell: Cell, result: Reconstruction, more: list[ArraySource]
) -> dict[str, str]:
    with storing(directory):
        directory.mkdir()
        return write_group(
            directory,
            ReconstructionAttributes(
                created_at=utc_now(),
                software=software_versions(),
                source_digest="",
                cell=cell.name,
                object_origin_px=result.object_origin_px,
                n_epochs=len(result.loss),
                acceleration=result.acceleration,
            ),
            [
                *object_arrays(
                    "object_recon", result.object_recon, origin_px=result.object_origin_px, leading_dim="slice"
                ),
                probe_array(result.probe_recon, "probe_recon", units="sqrt(photons)"),
                whole_array("loss", result.loss, dims=("epoch",), long_name="loss of the engine"),
                whole_array("epoch", np.arange(1, len(result.loss) + 1), dims=("epoch",), long_name="epoch"),
                *more,
            ],
        )


def _truth_curves(found: TruthComparison | None) -> list[ArraySource]:
    """Describe the Fourier ring correlations with the truth, to store beside the object."""
    if found is None or found.frc_truth is None or found.frc_flat is None:
        return []
    truth, flat = found.frc_truth, found.frc_flat
    curves = {"frc_n_pixels": truth.n_pixels, "frc_truth": truth.correlation, "frc_flat": flat.correlation}
    return _curves("frc_frequency", truth, curves)


def _curves(
    frequency_name: str, rings: RingCorrelation, curves: Mapping[str, NDArray[np.float64]]
) -> list[ArraySource]:
    """Describe values of the same rings, and the rings' spatial frequency (cycles/px) as their coordinate."""
    frequency = whole_array(
        frequency_name,
        rings.frequency_per_px.astype(np.float32),
        dims=(frequency_name,),
        units="cycles/px",
        long_name="spatial frequency",
    )
    return [
        frequency,
        *(
            whole_array(name, values.astype(np.float32), dims=(frequency_name,), long_name=CURVES[name])
            for name, values in curves.items()
        ),
    ]


def _measure(layout: RunLayout, result: Reconstruction, exposures: Exposures) -> TruthComparison | None:
    """Open the truth, now that the engine has returned; None if there is none."""
    if not layout.truth_group.exists():
        return None
    truth = open_group(layout.truth_group, TruthAttributes)
    from fly64dask.metrics import compare_with_truth

    return compare_with_truth(
        result.object_recon[0],
        truth.read("object_truth"),
        origin_px=result.object_origin_px,
        probe=truth.read("probe_truth"),
        positions_px=exposures.positions_px,
    )


@contextmanager
def _engine_log(path: Path) -> Iterator[None]:
    """Send this package's, pty-chi's and Python's warnings into one file for a while."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    loggers = [logging.getLogger(name) for name in ("fly64dask", "ptychi", "py.warnings")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    logging.captureWarnings(True)
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    loggers[0].setLevel(logging.DEBUG)
    try:
        yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
        logging.captureWarnings(False)
        handler.close()
