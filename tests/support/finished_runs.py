"""Finished runs that several test files read. Each is made once a session; who changes it copies it first."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import run_command
from faulty_engine import ENGINE
from one_cell import run_one
from tiny import tiny_study

from fly64dask.datasets import expose_split, prepare_scan, select_view
from fly64dask.records import read_record, read_rows, write_manifest, write_record, write_run_study
from fly64dask.store import RunLayout, held_run
from fly64dask.study import Filters, Study, cells

TOY = Path(__file__).resolve().parents[2] / "data" / "toy.toml"
SIX_CELLS = tiny_study(doses_photons=(1e5,), n_epochs=2)
LOW_DOSE = tiny_study(doses_photons=(1e4,), n_epochs=2)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Folder that holds what a function makes in it: of whichever process of the session asks first."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, done = base / name, base / f"{name}.done"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


def make_six_cells(folder: Path) -> None:
    """Run `SIX_CELLS` with the engine of the tests: four cells completed, the two of view `one` degenerate."""
    make_run(SIX_CELLS, RunLayout(folder / "run"))


def make_low_dose(folder: Path) -> None:
    """Run `LOW_DOSE`, which is `SIX_CELLS` at a tenth of its dose, in the same way."""
    make_run(LOW_DOSE, RunLayout(folder / "run"))


def as_if_computed_on(layout: RunLayout, copy: Path, *devices: str) -> RunLayout:
    """Copy a run of `SIX_CELLS` as if its completed cells had been computed on these devices, in turn, each in 1.26 s.

    So long took a cell of the demo on an H200 (docs/measurements/gpu-nvidia-h200.json).
    """
    shutil.copytree(layout.root, copy)
    completed = [record for cell in cells(SIX_CELLS) if (record := read_record(layout, cell)).state == "completed"]
    for number, record in enumerate(completed):
        ran = {"device": devices[number % len(devices)], "seconds": 1.26}
        write_record(RunLayout(copy).cell_directory(record.cell), record.model_copy(update=ran))
    return RunLayout(copy)


def make_run(study: Study, layout: RunLayout) -> None:
    """Run a study of one recipe and object with the engine of the tests, in this process."""
    layout.root.mkdir(parents=True, exist_ok=True)
    with held_run(layout):
        prepare_scan(study, layout)
        for split in study.splits:
            for dose in study.doses_photons:
                expose_split(study, dose, split, layout)
            for view in study.views:
                select_view(study, view.name, split, layout)
        for cell in cells(study):
            run_one(study, cell, layout, engine=ENGINE)
        write_run_study(layout, study)
        write_manifest(study, layout, Filters(), {}, read_rows(layout, cells(study)))
        shutil.rmtree(layout.scratch, ignore_errors=True)


def make_record_case(folder: Path) -> None:
    """Run the record case by the command line: its study, `run`, and what was printed; two of six cells degenerate."""
    shutil.copy(TOY, folder / "toy.toml")
    done = run_command("run", folder / "toy.toml", "--out", folder / "run", cwd=Path.cwd())
    for name, text in (("stdout", done.stdout), ("stderr", done.stderr), ("exit_code", str(done.returncode))):
        (folder / name).write_text(text)
