"""The call that an engine's process runs for one cell: read the inputs, reconstruct, measure, store."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from fly64dask.base import Failure, result_or_failure, software_versions, utc_now
from fly64dask.cells.inputs import open_inputs
from fly64dask.cells.measuring import measure
from fly64dask.cells.remeasuring import stored_reconstruction
from fly64dask.reconstruction import CheckpointFile, job_ends_at, late_loss_fall, load_engine, refuse_dark
from fly64dask.records import ReconstructionFacts
from fly64dask.scan import is_guarded
from fly64dask.store import (
    LOG_NAME,
    RECONSTRUCTION_NAME,
    ArraySource,
    ReconstructionAttributes,
    object_arrays,
    opr_weights_array,
    probe_array,
    refined_positions_array,
    storing,
    whole_array,
    write_group_archive,
)

if TYPE_CHECKING:
    from fly64dask.cells.request import CellRequest
    from fly64dask.reconstruction import Exposures, Progress, Reconstruction
    from fly64dask.study import Cell

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstructed:
    """The reconstruction that an engine's process stored: facts for the cell's record, and digests of its arrays.

    `earlier_s` are the seconds of earlier attempts, as far as it went on from their checkpoint.
    """

    facts: ReconstructionFacts
    digests: dict[str, str]
    earlier_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCall:
    """The call that the engine's process makes for one attempt at one cell; picklable.

    Parameters
    ----------
    request : CellRequest
        What is asked.
    directory : Path
        The attempt's directory: gets the log and the reconstruction.
    cell_key : str
        Digest of what determines the cell's numbers; a checkpoint of another key is not taken.
    """

    request: CellRequest
    directory: Path
    cell_key: str

    def __call__(self, report: Progress) -> Reconstructed | Failure:
        """Reconstruct, measure and store the cell; `report` is called with (epochs done, loss) after each epoch."""
        what = f"cell={self.request.cell.name}"

        def logged() -> Reconstructed | Failure:
            with _engine_log(self.directory / LOG_NAME):
                return result_or_failure(lambda: self._reconstruct(report), what=what)

        return result_or_failure(logged, what=what)  # a full disk refuses the log's end too

    def _reconstruct(self, report: Progress) -> Reconstructed:
        request = self.request
        inputs = open_inputs(request.study, request.layout, request.cell, request.remedy)
        exposures = inputs.read()
        refuse_dark(exposures.counts)
        checkpoint = CheckpointFile(
            path=request.layout.checkpoint_file(request.cell),
            cell_key=self.cell_key,
            settings=request.study.checkpoints,
            ends_at=job_ends_at(),
        )
        stored = stored_reconstruction(request, self.cell_key)
        result = stored.reconstruction if stored else self._run_engine(exposures, report, checkpoint)
        # Only now is the truth opened.
        pixel_size_nm = inputs.exposures.attributes.pixel_size_nm
        measured = measure(request, exposures, result, pixel_size_nm=pixel_size_nm)
        target = self.directory / RECONSTRUCTION_NAME
        digests = _store(target, request.cell, result, measured.curves, pixel_size_nm)
        facts = ReconstructionFacts(
            n_epochs=len(result.loss),
            final_loss=float(result.loss[-1]),
            late_loss_fall=late_loss_fall(result.loss),
            device=result.device,
            acceleration=result.acceleration,
            resumed_from_epoch=result.resumed_from_epoch or None,
            reconstruction_sha256=_file_sha256(target),
            underdetermined=is_guarded(exposures.positions_px, request.recipe),
            stopping=result.stopping,
            half_sets=measured.half_sets,
            position_drift_px=_rms_drift_px(exposures, result),
            metrics=measured.metrics,
            metrics_seconds=measured.seconds,
        )
        return Reconstructed(facts=facts, digests=digests, earlier_s=stored.seconds if stored else checkpoint.earlier_s)

    def _run_engine(self, exposures: Exposures, report: Progress, checkpoint: CheckpointFile) -> Reconstruction:
        request = self.request

        def on_epoch(epoch: int, loss: float) -> None:
            log.info("cell=%s epoch=%d loss=%.6g", request.cell.name, epoch, loss)
            report(epoch, loss)

        return load_engine(request.engine)(
            exposures,
            request.recipe,
            seed=request.study.seeds.grouping,
            progress=on_epoch,
            checkpoint=checkpoint,
        )


def _file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _rms_drift_px(exposures: Exposures, result: Reconstruction) -> float | None:
    """Root mean square of how far positions were moved, px; None if they were not refined."""
    if result.positions_px is None:
        return None
    squares = ((result.positions_px - exposures.positions_px) ** 2).sum(axis=1)
    return float(np.sqrt(squares.mean()))


def _store(
    path: Path,
    cell: Cell,
    result: Reconstruction,
    curves: Iterable[ArraySource],
    pixel_size_nm: tuple[float, float] | None,
) -> dict[str, str]:
    """Write the archive of what the engine returned and the curves; gives the digest of each array by name."""
    n_epochs, origin_px = len(result.loss), result.object_origin_px
    optional = (
        ("validation", result.validation, ("epoch",), "score of the stopping rule"),
        ("half_objects", result.half_objects, ("half", "y", "x"), "object of each half"),
    )
    further = []
    if result.positions_px is not None:
        further.append(refined_positions_array(result.positions_px))
    if result.opr_weights is not None:
        further.append(opr_weights_array(result.opr_weights, "opr_weights_recon", dim="kept_exposure"))
    arrays = [
        *object_arrays("object_recon", result.object_recon, origin_px=origin_px, leading_dim="slice"),
        probe_array(result.probe_recon, "probe_recon", units="sqrt(photons)"),
        whole_array("loss", result.loss, dims=("epoch",), long_name="loss of the engine"),
        whole_array("epoch", np.arange(1, n_epochs + 1), dims=("epoch",), long_name="epoch"),
        *curves,
        *further,
        *(
            whole_array(name, values, dims=dims, long_name=label)
            for name, values, dims, label in optional
            if values is not None
        ),
    ]
    attributes = ReconstructionAttributes(
        created_at=utc_now(),
        software=software_versions(),
        source_digest="",
        cell=cell.name,
        object_origin_px=origin_px,
        pixel_size_nm=pixel_size_nm,
        n_epochs=n_epochs,
        acceleration=result.acceleration,
    )
    with storing(path):
        return write_group_archive(path, attributes, arrays)


@contextmanager
def _engine_log(path: Path) -> Iterator[None]:
    """Send the log of this package, that of pty-chi and Python's warnings into one file while the block lasts."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    loggers = [logging.getLogger(name) for name in ("fly64dask", "ptychi", "py.warnings")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    loggers[0].setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings():
            # `logging.captureWarnings` cannot be undone where somebody else has called it before.
            warnings.showwarning = _log_warning
            yield
    finally:
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
        handler.close()


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    words = warnings.formatwarning(message, category, filename, lineno, line)
    logging.getLogger("py.warnings").warning("%s", words)
