"""Paths of every file of a run directory; the only place that knows their names."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fly64dask.study import Cell, Remedy, object_name, photons_name

# Files of a cell's directory, also while it is built aside.
LOG_NAME = "ptychi.log"
RECORD_NAME = "record.json"
# Of every committed cell, below a run's root.
RECORDS_PATTERN = f"dose_*/*/*/{RECORD_NAME}"
RECONSTRUCTION_NAME = "reconstruction.zarr.zip"
# A respaced group's directory is named after its spacing.
SPACING_PREFIX = "spacing_"


class _Below:
    """A fixed path below a run's root, read as an attribute of its layout."""

    def __init__(self, *parts: str) -> None:
        self.parts = parts

    def __get__(self, layout: RunLayout, owner: type) -> Path:
        return layout.root.joinpath(*self.parts)


@dataclass(frozen=True, slots=True)
class RunLayout:
    """Paths of one run's files and directories; building them touches nothing."""

    root: Path

    study_file = _Below("study.json")  # the resolved study that ran last
    manifest_file = _Below("reconstruction_manifest.json")  # the table of committed cells
    skip_summary_file = _Below("skip_summary.json")  # the cells that the last run left out, with reasons
    comparison_file = _Below("comparison.json")  # the last comparison with reconstructions of other programs
    report_file = _Below("report.html")  # the report of the run, a page for a browser
    dask_report_file = _Below("dask-report.html")  # Dask's performance report of the last run, a page for a browser
    dashboard_file = _Below("dashboard.json")  # where the dashboard of the run under way is
    snapshots = _Below("snapshots")  # directory of the manifests as each run left them
    references = _Below("reference")  # directory of the comparisons of measured cells with the study's reference
    cleaned_file = _Below("cleaned.json")  # which exposures were removed, as they can be made again
    journals = _Below("journal")  # directory of the journals of all cells
    history = _Below("history")  # directory of the attempts that later ones have replaced
    checkpoints = _Below("checkpoints")  # directory of the checkpoints of all cells
    live = _Below("live")  # directory of files that say how far running cells are; there while a run is under way
    worker_jobs_file = _Below("live", "worker_jobs.txt")  # how the worker jobs of a run under way are, in words
    lock_file = _Below(".lock")  # held locked by the process of a run, and names it
    remote_lock_file = _Below(".remote.lock")  # of a cache: held locked while a run at an object store computes in it
    remote_id_file = _Below(".remote.id")  # of a cache: a name like no other, by which the store's lock knows it
    tls_directory = _Below(".tls")  # temporary certificates of a running cluster
    scratch = _Below(".scratch")  # directory of work in progress; without a living run all in it can be removed

    store = _Below("exposures.zarr")  # the Zarr store of exposures, views and truth

    slurm = _Below("slurm")  # directory of what was submitted to Slurm
    slurm_logs = _Below("slurm", "logs")  # directory of the logs of its jobs
    submission_file = _Below("slurm", "submission.json")  # names the controller job that was submitted last
    submission_lock = _Below("slurm", ".lock")  # held locked while a controller job is submitted
    submitted_study = _Below("slurm", "study.json")  # the study that the controller job runs
    submitted_cluster_file = _Below("slurm", "cluster.toml")  # the cluster settings with which it runs the study
    controller_script = _Below("slurm", "controller.sbatch")  # batch script of the controller job

    def scan_group(self, object_seed: int | None = None) -> Path:
        """Give the group of what all doses of an object share: positions, probe, brightness."""
        return self.store / object_name("scan", object_seed)

    def truth_group(self, object_seed: int | None = None) -> Path:
        """Give the group of the object and probe that a simulation looked at and with."""
        return self.store / object_name("truth", object_seed)

    def exposure_group(
        self,
        dose: float | str,
        split: str,
        repeat: int = 0,
        object_seed: int | None = None,
        view: str | None = None,
        setup_name: str | None = None,
    ) -> Path:
        """Give the group of the exposures of one noise realisation, whose fields these are."""
        return self.store / photons_name(dose, repeat, object_seed, view, setup_name) / split

    def view_group(self, view: str, split: str, threshold_px: float | None = None) -> Path:
        """Give the group of the indices that a view keeps of a split, the same at every dose and for every object.

        With `threshold_px` it is that of another spacing than the study's.
        """
        if threshold_px is None:
            return self.store / "views" / view / split
        return self.respaced_folder(view) / f"{SPACING_PREFIX}{float(threshold_px)!r}" / split

    def respaced_folder(self, view: str) -> Path:
        """Give the directory of all groups of one view at other spacings than the study's."""
        return self.store / "respaced" / view

    def kept_group(self, cell: Cell, remedy: Remedy | None) -> Path:
        """Give the group of the indices that a cell reads: its view's, or those of its remedy's spacing."""
        return self.view_group(cell.view, cell.split, remedy.spacing_threshold if remedy else None)

    def cell_directory(self, cell: Cell) -> Path:
        """Give the directory of a cell's latest committed attempt."""
        return self.root / cell.name

    def record_file(self, cell: Cell) -> Path:
        """Give the file of a cell's record; the cell is done when it exists."""
        return self.cell_directory(cell) / RECORD_NAME

    def reconstruction_group(self, cell: Cell) -> Path:
        """Give the zip archive that is the Zarr group of a cell's object, probe and curves."""
        return self.cell_directory(cell) / RECONSTRUCTION_NAME

    def log_file(self, cell: Cell) -> Path:
        """Give the log that the engine wrote for a cell."""
        return self.cell_directory(cell) / LOG_NAME

    def reference_file(self, cell: Cell) -> Path:
        """Give the file of a measured cell's comparison with the study's reference; made anew at the end of a run."""
        return self.references / f"{cell.name}.json"

    def history_directory(self, cell: Cell, attempt: int) -> Path:
        """Give the directory of an attempt that a later one has replaced."""
        return self.history / cell.name / f"attempt_{attempt:03d}"

    def cell_scratch(self, cell: Cell) -> Path:
        """Give the directory in which attempts at a cell are built."""
        return self.scratch / "cells" / cell.name

    def checkpoint_file(self, cell: Cell) -> Path:
        """Give the checkpoint that a running or killed engine wrote last; removed when the cell has ended for good."""
        return self.checkpoints / f"{cell.name}.state"

    def live_file(self, cell: Cell) -> Path:
        """Give the file that says how far a cell is while it runs."""
        return self.live / f"{cell.name}.json"

    def journal_file(self, cell: Cell) -> Path:
        """Give the journal of a cell: when and where it was started, how each attempt ended.

        A run counts in it how often a cell was started in vain.
        """
        return self.journals / f"{cell.name}.log"

    def snapshot_file(self, timestamp: str) -> Path:
        """Give the file of the manifest as one run left it; `timestamp` is ISO 8601."""
        safe = timestamp.replace(":", "").replace("+0000", "Z")
        return self.snapshots / f"reconstruction_manifest-{safe}.json"


_TOP_NAMES = frozenset(below.parts[0] for below in vars(RunLayout).values() if isinstance(below, _Below))


def is_name_in_run(name: str) -> bool:
    """Whether a run may have a file or directory of this name at its top, an unfinished file of it too."""
    return name in _TOP_NAMES or re.fullmatch(r"dose_.+|\..+-[0-9a-f]{32}", name) is not None
