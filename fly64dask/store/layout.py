"""A run directory -> the path of every file in it; the only place that knows their names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fly64dask.study import Cell, Remedy, photons_name

# Files of a cell's directory, also while it is built aside.
LOG_NAME = "ptychi.log"
RECORD_NAME = "record.json"
RECONSTRUCTION_NAME = "reconstruction.zarr"
# A respaced group's directory is named after its spacing.
SPACING_PREFIX = "spacing_"


@dataclass(frozen=True, slots=True)
class RunLayout:
    """Paths of one run; building them touches nothing."""

    root: Path

    @property
    def study_file(self) -> Path:
        """The resolved study that ran last."""
        return self.root / "study.json"

    @property
    def store(self) -> Path:
        """Zarr store of exposures, views and truth."""
        return self.root / "exposures.zarr"

    @property
    def scan_group(self) -> Path:
        """What all doses share: positions, probe, brightness."""
        return self.store / "scan"

    @property
    def truth_group(self) -> Path:
        """Object and probe that a simulation looked at and with."""
        return self.store / "truth"

    def exposure_group(self, dose: float | str, split: str, repeat: int = 0) -> Path:
        """Exposures of one dose and split, with one draw of its photons."""
        return self.store / photons_name(dose, repeat) / split

    def view_group(self, view: str, split: str) -> Path:
        """Kept indices of one view and split, the same at every dose."""
        return self.store / "views" / view / split

    def respaced_group(self, view: str, split: str, threshold_px: float) -> Path:
        """Kept indices of a view and split at another spacing than the study's, for cells with that remedy."""
        return self.respaced_folder(view) / f"{SPACING_PREFIX}{float(threshold_px)!r}" / split

    def respaced_folder(self, view: str) -> Path:
        """Those of one view."""
        return self.store / "respaced" / view

    def kept_group(self, cell: Cell, remedy: Remedy | None) -> Path:
        """Kept indices that a cell reads: its view's, or those of the spacing which its remedy states."""
        if remedy is None or remedy.spacing_threshold is None:
            return self.view_group(cell.view, cell.split)
        return self.respaced_group(cell.view, cell.split, remedy.spacing_threshold)

    def cell_directory(self, cell: Cell) -> Path:
        """A cell's latest committed attempt."""
        return self.root / cell.name

    def record_file(self, cell: Cell) -> Path:
        """Its record; the cell is done when it exists."""
        return self.cell_directory(cell) / RECORD_NAME

    def reconstruction_group(self, cell: Cell) -> Path:
        """Its object, probe and loss."""
        return self.cell_directory(cell) / RECONSTRUCTION_NAME

    def log_file(self, cell: Cell) -> Path:
        """What the engine said."""
        return self.cell_directory(cell) / LOG_NAME

    def history_directory(self, cell: Cell, attempt: int) -> Path:
        """An attempt that a later one has replaced."""
        return self.root / "history" / cell.name / f"attempt_{attempt:03d}"

    def cell_scratch(self, cell: Cell) -> Path:
        """Where its attempts are built."""
        return self.scratch / "cells" / cell.name

    @property
    def checkpoints(self) -> Path:
        """Those of all cells."""
        return self.root / "checkpoints"

    def checkpoint_file(self, cell: Cell) -> Path:
        """What a running or killed engine wrote down last; removed when the cell has ended for good."""
        return self.checkpoints / f"{cell.name}.state"

    @property
    def live(self) -> Path:
        """How far running cells are; there while a run is under way."""
        return self.root / "live"

    def live_file(self, cell: Cell) -> Path:
        """How far it is while it runs; for people."""
        return self.live / f"{cell.name}.json"

    def journal_file(self, cell: Cell) -> Path:
        """When it was started, where, and how each attempt ended; for people."""
        return self.root / "journal" / f"{cell.name}.log"

    @property
    def manifest_file(self) -> Path:
        """Table of committed cells."""
        return self.root / "reconstruction_manifest.json"

    @property
    def skip_summary_file(self) -> Path:
        """Cells that the last run left out, with reasons."""
        return self.root / "skip_summary.json"

    @property
    def comparison_file(self) -> Path:
        """Reconstructions of others beside the run's own, as they were compared last."""
        return self.root / "comparison.json"

    @property
    def dask_report_file(self) -> Path:
        """Dask's performance report of the last run: a page for a browser."""
        return self.root / "dask-report.html"

    @property
    def report_file(self) -> Path:
        """What the run gave, for people: a page for a browser."""
        return self.root / "report.html"

    @property
    def snapshots(self) -> Path:
        """The manifest as each run left it."""
        return self.root / "snapshots"

    def snapshot_file(self, timestamp: str) -> Path:
        """The manifest as one run left it; `timestamp` is ISO 8601."""
        safe = timestamp.replace(":", "").replace("+0000", "Z")
        return self.snapshots / f"reconstruction_manifest-{safe}.json"

    @property
    def lock_file(self) -> Path:
        """Held by the process that is running; says which."""
        return self.root / ".lock"

    @property
    def tls_directory(self) -> Path:
        """Certificates of the running cluster, if it has temporary ones."""
        return self.root / ".tls"

    @property
    def slurm(self) -> Path:
        """What was submitted to Slurm: the controller's script and how to find it."""
        return self.root / "slurm"

    @property
    def submission_file(self) -> Path:
        """The controller job that was submitted last."""
        return self.slurm / "submission.json"

    @property
    def submitted_study(self) -> Path:
        """What it runs."""
        return self.slurm / "study.json"

    @property
    def submitted_cluster_file(self) -> Path:
        """How it runs it."""
        return self.slurm / "cluster.toml"

    @property
    def controller_script(self) -> Path:
        """Its batch script."""
        return self.slurm / "controller.sbatch"

    @property
    def dashboard_file(self) -> Path:
        """Where the dashboard of the run under way is."""
        return self.root / "dashboard.json"

    @property
    def slurm_logs(self) -> Path:
        """What Slurm's jobs said."""
        return self.slurm / "logs"

    @property
    def scratch(self) -> Path:
        """Work in progress; anything here without a living run is rubbish."""
        return self.root / ".scratch"
