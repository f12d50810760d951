"""Paths of every file of a run directory; the only place that knows their names."""

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
    """Paths of one run's files and directories; building them touches nothing."""

    root: Path

    @property
    def study_file(self) -> Path:
        """File of the resolved study that ran last."""
        return self.root / "study.json"

    @property
    def store(self) -> Path:
        """Directory of the Zarr store of exposures, views and truth."""
        return self.root / "exposures.zarr"

    @property
    def scan_group(self) -> Path:
        """Group of what all doses share: positions, probe, brightness."""
        return self.store / "scan"

    @property
    def truth_group(self) -> Path:
        """Group of the object and probe that a simulation looked at and with."""
        return self.store / "truth"

    def exposure_group(self, dose: float | str, split: str, repeat: int = 0) -> Path:
        """Give the group of the exposures of one dose, split and noise realisation."""
        return self.store / photons_name(dose, repeat) / split

    def view_group(self, view: str, split: str) -> Path:
        """Give the group of the indices that one view keeps of one split, the same at every dose."""
        return self.store / "views" / view / split

    def respaced_group(self, view: str, split: str, threshold_px: float) -> Path:
        """Give the group of the indices that a view keeps at another spacing than the study's."""
        return self.respaced_folder(view) / f"{SPACING_PREFIX}{float(threshold_px)!r}" / split

    def respaced_folder(self, view: str) -> Path:
        """Give the directory of all groups of one view at other spacings than the study's."""
        return self.store / "respaced" / view

    def kept_group(self, cell: Cell, remedy: Remedy | None) -> Path:
        """Give the group of the indices that a cell reads: its view's, or those of its remedy's spacing."""
        if remedy is None or remedy.spacing_threshold is None:
            return self.view_group(cell.view, cell.split)
        return self.respaced_group(cell.view, cell.split, remedy.spacing_threshold)

    def cell_directory(self, cell: Cell) -> Path:
        """Give the directory of a cell's latest committed attempt."""
        return self.root / cell.name

    def record_file(self, cell: Cell) -> Path:
        """Give the file of a cell's record; the cell is done when it exists."""
        return self.cell_directory(cell) / RECORD_NAME

    def reconstruction_group(self, cell: Cell) -> Path:
        """Give the Zarr group of a cell's object, probe and loss."""
        return self.cell_directory(cell) / RECONSTRUCTION_NAME

    def log_file(self, cell: Cell) -> Path:
        """Give the log that the engine wrote for a cell."""
        return self.cell_directory(cell) / LOG_NAME

    def history_directory(self, cell: Cell, attempt: int) -> Path:
        """Give the directory of an attempt that a later one has replaced."""
        return self.root / "history" / cell.name / f"attempt_{attempt:03d}"

    def cell_scratch(self, cell: Cell) -> Path:
        """Give the directory in which attempts at a cell are built."""
        return self.scratch / "cells" / cell.name

    @property
    def checkpoints(self) -> Path:
        """Directory of the checkpoints of all cells."""
        return self.root / "checkpoints"

    def checkpoint_file(self, cell: Cell) -> Path:
        """Give the checkpoint that a running or killed engine wrote last; removed when the cell has ended for good."""
        return self.checkpoints / f"{cell.name}.state"

    @property
    def live(self) -> Path:
        """Directory of files that say how far running cells are; there while a run is under way."""
        return self.root / "live"

    def live_file(self, cell: Cell) -> Path:
        """Give the file that says how far a cell is while it runs."""
        return self.live / f"{cell.name}.json"

    def journal_file(self, cell: Cell) -> Path:
        """Give the journal of a cell: when and where it was started, how each attempt ended.

        A run counts in it how often a cell was started in vain.
        """
        return self.root / "journal" / f"{cell.name}.log"

    @property
    def manifest_file(self) -> Path:
        """File of the table of committed cells."""
        return self.root / "reconstruction_manifest.json"

    @property
    def skip_summary_file(self) -> Path:
        """File of the cells that the last run left out, with reasons."""
        return self.root / "skip_summary.json"

    @property
    def comparison_file(self) -> Path:
        """File of the last comparison with reconstructions of other programs."""
        return self.root / "comparison.json"

    @property
    def dask_report_file(self) -> Path:
        """File of Dask's performance report of the last run, a page for a browser."""
        return self.root / "dask-report.html"

    @property
    def report_file(self) -> Path:
        """File of the report of the run, a page for a browser."""
        return self.root / "report.html"

    @property
    def snapshots(self) -> Path:
        """Directory of the manifests as each run left them."""
        return self.root / "snapshots"

    def snapshot_file(self, timestamp: str) -> Path:
        """Give the file of the manifest as one run left it; `timestamp` is ISO 8601."""
        safe = timestamp.replace(":", "").replace("+0000", "Z")
        return self.snapshots / f"reconstruction_manifest-{safe}.json"

    @property
    def lock_file(self) -> Path:
        """File that the process of a run holds locked, and that names it."""
        return self.root / ".lock"

    @property
    def tls_directory(self) -> Path:
        """Directory of the temporary certificates of a running cluster."""
        return self.root / ".tls"

    @property
    def slurm(self) -> Path:
        """Directory of what was submitted to Slurm: the controller's script and how to find its job."""
        return self.root / "slurm"

    @property
    def submission_file(self) -> Path:
        """File that names the controller job that was submitted last."""
        return self.slurm / "submission.json"

    @property
    def submitted_study(self) -> Path:
        """File of the study that the controller job runs."""
        return self.slurm / "study.json"

    @property
    def submitted_cluster_file(self) -> Path:
        """File of the cluster settings with which the controller job runs the study."""
        return self.slurm / "cluster.toml"

    @property
    def controller_script(self) -> Path:
        """Batch script of the controller job."""
        return self.slurm / "controller.sbatch"

    @property
    def dashboard_file(self) -> Path:
        """File that says where the dashboard of the run under way is."""
        return self.root / "dashboard.json"

    @property
    def slurm_logs(self) -> Path:
        """Directory of the logs of Slurm's jobs."""
        return self.slurm / "logs"

    @property
    def scratch(self) -> Path:
        """Directory of work in progress; anything in it without a living run can be removed."""
        return self.root / ".scratch"
