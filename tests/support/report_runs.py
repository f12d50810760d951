"""A small real run, and larger ones that are copies of its cells: links to its arrays, records of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import tiny
from command_line import run_command

from fly64dask.metrics import TruthMetrics
from fly64dask.records import read_record, read_run_study, write_record, write_run_study
from fly64dask.store import RunLayout
from fly64dask.study import Cell, cells

FEW = '    {name = "few", rule = "min_spacing", threshold_px = 12.0},\n'


def real_run(folder: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Run the tiny study with pty-chi, with its report: 8 cells, the four of view `one` degenerate."""
    (folder / "tiny.toml").write_text(tiny.TEXT.replace(FEW, ""))
    return folder / "run", run_command("run", "tiny.toml", "--out", "run", "--report", cwd=folder)


def copied_run(real: Path, root: Path, **changes: object) -> RunLayout:
    """A run of the study with some fields changed, each cell that of the real run at 1e5 photons.

    Its phase error is that of the real one times 1 + repeat / 10, so that repeats differ.
    """
    source, layout = RunLayout(real), RunLayout(root)
    study = read_run_study(source).model_copy(update=changes)
    root.mkdir()
    write_run_study(layout, study)
    layout.store.mkdir()
    for name in ("scan", "truth", "views"):
        (layout.store / name).symlink_to(source.store / name)
    for cell in cells(study):
        model = Cell(dose=1e5, view=cell.view, split=cell.split)
        _link(layout.exposure_group(cell.dose, cell.split, cell.repeat), source.exposure_group(1e5, cell.split))
        record = read_record(source, model)
        assert record is not None
        update: dict[str, object] = {"dose": cell.dose, "repeat": cell.repeat}
        if record.metrics is not None:
            update["metrics"] = _worse(record.metrics, 1 + cell.repeat / 10)
        layout.cell_directory(cell).mkdir(parents=True)
        write_record(layout.cell_directory(cell), record.model_copy(update=update))
        if record.state == "completed":
            _link(layout.reconstruction_group(cell), source.reconstruction_group(model))
    return layout


def _worse(metrics: TruthMetrics, factor: float) -> TruthMetrics:
    """The same numbers but for a larger phase error."""
    error = metrics.phase_rmse_rad * factor
    document = metrics.model_dump()
    document["phase"]["rmse"] = document["phase_rmse_rad"] = error
    return TruthMetrics.model_validate(document | {"no_better_than_empty": error >= metrics.empty_phase_rmse_rad})


def _link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.symlink_to(target)
