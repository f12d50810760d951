"""One cell -> one committed record: what a worker runs."""

from __future__ import annotations

import functools
import logging
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fly64dask.attributes import ExposureAttributes, ReconstructionAttributes, TruthAttributes, ViewAttributes
from fly64dask.dataset import read_array, read_attributes, whole_array, write_group
from fly64dask.errors import FailureKind, IntegrityError, failure_kind
from fly64dask.isolation import call_in_child
from fly64dask.layout import LOG_NAME, RECONSTRUCTION_NAME, RunLayout
from fly64dask.metrics import TruthMetrics, compare_with_truth
from fly64dask.outcome import CellOutcome, Failure
from fly64dask.provenance import host_name, software_versions, utc_now
from fly64dask.reconstruction import Exposures, Progress, is_degenerate, refuse_dark, refuse_degenerate
from fly64dask.record import CellRecord, committed_attempt, next_attempt, read_record, write_record
from fly64dask.study import Cell, Study, digest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fly64dask.reconstruction import Reconstruction

log = logging.getLogger(__name__)
ENGINE_PACKAGES = ("ptychi", "torch")


def failure_of(work: Callable[[], None], *, what: str) -> Failure | None:
    """Do something and turn any exception into a named failure; the only place that catches all.

    Parameters
    ----------
    work : callable
        What to do.
    what : str
        Name for the log.

    Returns
    -------
    Failure or None
        None if it went well.
    """
    try:
        work()
    except Exception as error:
        kind = failure_kind(error)
        log.warning("%s state=failed kind=%s error=%s", what, kind, error)
        log.debug("%s", traceback.format_exc())
        return Failure(kind=kind, message=str(error) or type(error).__name__)
    return None


def run_cell(
    study: Study, cell: Cell, layout: RunLayout, blocked_by: Failure | None, progress: Progress
) -> CellOutcome:
    """Reconstruct one cell and commit its record; never raises.

    Parameters
    ----------
    study : Study
        The study.
    cell : Cell
        One of its cells.
    layout : RunLayout
        The run; exposures and view are published.
    blocked_by : Failure or None
        Why they are not.
    progress : callable
        Called with (epochs done, loss) after each epoch.

    Returns
    -------
    CellOutcome
        `committed` is False only if the record itself could not be written.
    """
    started = time.monotonic()
    outcome: list[CellOutcome] = []
    failure = failure_of(
        lambda: outcome.append(_run(study, cell, layout, blocked_by, progress, started)), what=f"cell={cell.name}"
    )
    if failure is None:
        return outcome[0]
    return CellOutcome(cell=cell, failure=failure, seconds=time.monotonic() - started, committed=False)


def _run(
    study: Study, cell: Cell, layout: RunLayout, blocked_by: Failure | None, progress: Progress, started: float
) -> CellOutcome:
    inputs = _CellInputs(layout, cell)
    failure = blocked_by or failure_of(inputs.open, what=f"cell={cell.name} inputs")
    cell_key = _cell_key(study, cell, inputs, failure)
    done = _settled_record(layout, cell, cell_key)
    if done is not None:
        kept = Failure(kind=done.failure_kind, message=done.error or "") if done.failure_kind else None
        return CellOutcome(cell=cell, failure=kept, seconds=done.seconds, was_done=True)
    facts: dict[str, Any] = inputs.facts() | {"attempt": next_attempt(layout, cell), "started_at": utc_now()}
    with committed_attempt(layout, cell) as directory:
        failure = failure or failure_of(lambda: _refuse_degenerate(study, inputs), what=f"cell={cell.name}")
        if failure is None:
            work = functools.partial(_engine_work, study, cell, str(layout.root), str(directory))
            result = call_in_child(work, log_file=directory / LOG_NAME, limits=study.limits, on_report=progress)
            if isinstance(result, Failure):
                failure = result
                # A killed engine may have been writing.
                shutil.rmtree(directory / RECONSTRUCTION_NAME, ignore_errors=True)
            else:
                facts |= result
        seconds = time.monotonic() - started
        record = _make_record(study, cell, cell_key, facts, failure, seconds)
        log.info("cell=%s state=%s seconds=%.1f", cell.name, record.state, seconds)
        _append_log(directory / LOG_NAME, f"state={record.state} {record.error or ''}".rstrip())
        write_record(directory, record)
    return CellOutcome(cell=cell, failure=failure, seconds=seconds)


def commit_lost(study: Study, cell: Cell, layout: RunLayout, failure: Failure) -> None:
    """Commit the record of a cell whose task never came back.

    Parameters
    ----------
    study : Study
        The study.
    cell : Cell
        The cell.
    layout : RunLayout
        The run.
    failure : Failure
        What the scheduler said of its task.
    """
    facts = {"attempt": next_attempt(layout, cell), "started_at": utc_now()}
    with committed_attempt(layout, cell) as directory:
        _append_log(directory / LOG_NAME, failure.message)
        write_record(directory, _make_record(study, cell, None, facts, failure, 0.0))


class _CellInputs:
    """Attributes and digests of the groups a cell reads; opening them reads no pattern."""

    def __init__(self, layout: RunLayout, cell: Cell) -> None:
        self.exposure_group = layout.exposure_group(cell.dose, cell.split)
        self.view_group = layout.view_group(cell.view, cell.split)
        self.view: ViewAttributes | None = None
        self.exposures: ExposureAttributes | None = None
        self.sha256: dict[str, str] = {}

    def open(self) -> None:
        self.exposures, exposure_sha256 = read_attributes(self.exposure_group, ExposureAttributes)
        self.view, view_sha256 = read_attributes(self.view_group, ViewAttributes)
        self.sha256 = {k: v for k, v in exposure_sha256.items() if k != "scan_index"} | view_sha256

    def read_kept(self) -> NDArray[np.int64]:
        return read_array(self.view_group, "kept_indices", sha256=self.sha256["kept_indices"])

    def read_positions(self) -> NDArray[np.float64]:
        sha256 = self.sha256["positions_px"]
        return read_array(self.exposure_group, "positions_px", sha256=sha256, rows=self.read_kept())

    def read(self) -> Exposures:
        kept = self.read_kept()
        return Exposures(
            counts=read_array(self.exposure_group, "counts", sha256=self.sha256["counts"], rows=kept),
            positions_px=read_array(self.exposure_group, "positions_px", sha256=self.sha256["positions_px"], rows=kept),
            probe_guess=read_array(self.exposure_group, "probe_guess", sha256=self.sha256["probe_guess"]),
        )

    def facts(self) -> dict[str, Any]:
        if self.view is None or self.exposures is None:
            return {}
        return {
            "dose_photons": self.exposures.dose_photons,
            "n_exposures": self.view.n_exposures,
            "n_kept": self.view.n_kept,
            "selection": self.view.selection,
            "image_overlap": self.view.image_overlap,
            "group_overlap": self.view.group_overlap,
            "digests": dict(self.sha256),
        }


def _cell_key(study: Study, cell: Cell, inputs: _CellInputs, failure: Failure | None) -> str | None:
    """Digest of what determines a cell's numbers; the device is recorded, not part of it."""
    if failure is not None:
        # The same study gives the same lasting failure; a change of any setting tries again.
        settings = study.model_dump(mode="json", exclude={"name", "doses_photons"})
        return digest([cell.name, failure.kind, settings])
    versions = software_versions()
    recipe = study.recipe.model_dump(mode="json", exclude={"device"})
    engine = {package: versions[package] for package in ENGINE_PACKAGES}
    return digest([inputs.sha256, recipe, study.seeds.grouping, engine])


def _settled_record(layout: RunLayout, cell: Cell, cell_key: str | None) -> CellRecord | None:
    try:
        record = read_record(layout, cell)
    except IntegrityError as error:
        log.warning("cell=%s state=damaged error=%s", cell.name, error)
        return None
    return record if record is not None and record.settles(cell_key) else None


def _refuse_degenerate(study: Study, inputs: _CellInputs) -> None:
    """Refuse a degenerate scan before a process is started for it, unless it shall run guarded."""
    assert inputs.view is not None
    if study.recipe.on_degenerate == "guarded":
        return
    selection = inputs.view.selection
    rule = f"at >= {selection.spacing_threshold:g} px" if selection else "of the baseline"
    refuse_degenerate(inputs.read_positions(), n_exposures=inputs.view.n_exposures, rule=rule)


def _engine_work(study: Study, cell: Cell, root: str, directory: str, report: Progress) -> dict[str, Any] | Failure:
    """What the child does: reconstruct, store, measure. Returns facts for the record, or a failure."""
    facts: dict[str, Any] = {}
    with _engine_log(Path(directory, LOG_NAME)):
        failure = failure_of(
            lambda: facts.update(_reconstruct(study, cell, RunLayout(Path(root)), Path(directory), report)),
            what=f"cell={cell.name}",
        )
    return failure or facts


def _reconstruct(study: Study, cell: Cell, layout: RunLayout, directory: Path, report: Progress) -> dict[str, Any]:
    """Run the engine, store what it made, then open the truth and measure."""
    # torch and pty-chi take 5 s and 900 MB to import: only the fork server of a worker pays for them.
    from fly64dask.lsqml import reconstruct

    inputs = _CellInputs(layout, cell)
    inputs.open()
    exposures = inputs.read()
    refuse_dark(exposures.counts)

    def on_epoch(epoch: int, loss: float) -> None:
        log.info("cell=%s epoch=%d loss=%.6g", cell.name, epoch, loss)
        report(epoch, loss)

    result = reconstruct(exposures, study.recipe, seed=study.seeds.grouping, progress=on_epoch)
    made = _write_reconstruction(directory / RECONSTRUCTION_NAME, cell, result)
    metrics = None if study.source.kind == "measured" else _measure(layout, result, exposures)
    return {
        "n_epochs": len(result.loss),
        "final_loss": float(result.loss[-1]),
        "device": result.device,
        "underdetermined": is_degenerate(exposures.positions_px),
        "digests": inputs.sha256 | made,
    } | ({"metrics": metrics} if metrics else {})


def _append_log(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(f"{utc_now()} {line}\n")


def _write_reconstruction(directory: Path, cell: Cell, result: Reconstruction) -> dict[str, str]:
    directory.mkdir()
    return write_group(
        directory,
        lambda: ReconstructionAttributes(
            created_at=utc_now(),
            software=software_versions(),
            source_digest="",
            cell=cell.name,
            object_origin_px=result.object_origin_px,
            n_epochs=len(result.loss),
        ),
        [
            whole_array("object_recon", result.object_recon, units="transmission", axes=("slice", "y", "x")),
            whole_array("probe_recon", result.probe_recon, units="sqrt(photons)", axes=("opr", "mode", "y", "x")),
            whole_array("loss", result.loss, units="engine", axes=("epoch",)),
        ],
    )


def _measure(layout: RunLayout, result: Reconstruction, exposures: Exposures) -> TruthMetrics | None:
    """Open the truth, now that the engine has returned; None if there is none."""
    if not layout.truth_group.exists():
        return None
    _, sha256 = read_attributes(layout.truth_group, TruthAttributes)
    truth = {name: read_array(layout.truth_group, name, sha256=sha256[name]) for name in sha256}
    return compare_with_truth(
        result.object_recon[0],
        truth["object_truth"],
        origin_px=result.object_origin_px,
        probe=truth["probe_truth"],
        positions_px=exposures.positions_px,
    )


def _make_record(
    study: Study, cell: Cell, cell_key: str | None, facts: dict[str, Any], failure: Failure | None, seconds: float
) -> CellRecord:
    state = "completed"
    if failure is not None:
        state = "skipped" if failure.kind is FailureKind.NOT_SELECTABLE else "failed"
    return CellRecord.model_validate(
        {
            "study": study.name,
            "dose": cell.dose,
            "view": cell.view,
            "split": cell.split,
            "state": state,
            "returncode": 0 if failure is None else 1,
            "failure_kind": failure.kind if failure else None,
            "error": failure.message if failure else None,
            "cell_key": cell_key,
            "finished_at": utc_now(),
            "seconds": seconds,
            "host": host_name(),
            "versions": software_versions(),
            "recipe": study.recipe,
            "seeds": study.seeds,
        }
        | facts
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
