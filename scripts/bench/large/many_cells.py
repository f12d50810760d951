"""What it costs to look at a run of very many cells: `status`, `table`, `limits`, `report`, and the page of a run.

From the repository:

    python scripts/bench/large/many_cells.py                         # 10 000 cells
    python scripts/bench/large/many_cells.py --cells 100000 --only status table page
    python scripts/bench/large/many_cells.py --quick                 # 400 cells: does it still run?

A few cells are reconstructed, one for each view and split. All others get records like theirs, written and committed
by the package itself, with a phase error that falls with the dose, and no arrays of their own. Each command then runs
in a process of its own: CPU seconds, wall seconds, and its memory at the peak. `page` is one answer of `/fly64`, and
`proof` what a table kept beside the manifest would take to be read, once it is shown to be of the records and groups
that are there: their digests are computed.

With `--keep DIRECTORY` the run stays there, and is used again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

COMMANDS = {
    "status": ["status"],
    "dose": ["status", "--dose", "100"],
    "table": ["table", "--out", "table.parquet"],
    "limits": ["limits"],
    "report": ["report", "--out", "report.html"],
    "runs": ["runs"],
}
N_VIEWS, N_REPEATS, N_SPLITS = 25, 4, 2


def main() -> None:
    """Make the run, and print what each command takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="400 cells")
    parser.add_argument("--keep", type=Path, metavar="DIRECTORY")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    names = [*COMMANDS, "page", "proof"]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    arguments = parser.parse_args()
    n_cells = 400 if arguments.quick else arguments.cells
    if arguments.make:
        make_run(n_cells, arguments.make)
        return
    with tempfile.TemporaryDirectory() as folder:
        run = (arguments.keep or Path(folder, "run")).resolve()
        if not (run / "study.json").exists():
            # Apart, as a command's memory begins with that of who starts it.
            subprocess.run([sys.executable, __file__, "--cells", str(n_cells), "--make", run], check=True)
        for name in arguments.only:
            if name == "page":
                found = page_answer(n_cells)
            elif name == "proof":
                found = proven_table(run, Path(folder))
            else:
                found = measured(COMMANDS[name], run, Path(folder))
            print(f"{name:<8}" + "  ".join(f"{key} {value:.3g}" for key, value in found.items()), flush=True)


def measured(command: list[str], run: Path, folder: Path) -> dict[str, float]:
    """Run a command on a run in a process of its own; its CPU and wall time, s, and its memory at the peak, MB."""
    words = [sys.executable, "-m", "fly64dask", command[0], str(run), *command[1:]]
    began = time.perf_counter()
    process = subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL)
    _, code, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode:
        raise SystemExit(f"{words} ended with exit code {process.returncode}")
    written = [path.stat().st_size for path in folder.glob("*.*") if path.name in command]
    size = {"file_mb": written[0] / 1e6} if written else {}
    seconds = time.perf_counter() - began
    return {"cpu_s": usage.ru_utime + usage.ru_stime, "wall_s": seconds, "peak_mb": usage.ru_maxrss / 1e3, **size}


def page_answer(n_cells: int) -> dict[str, float]:
    """Time one answer to the page of a run under way, and measure its length."""
    from fly64dask.monitoring.run_state import RunState
    from fly64dask.study import cells

    study = study_of(n_cells)
    state = RunState(study, cells(study), [], now_s=0.0)
    began = time.process_time()
    answer = json.dumps(state.as_json(now_s=1.0), separators=(",", ":"))
    return {"cpu_s": time.process_time() - began, "answer_mb": len(answer) / 1e6}


def proven_table(run: Path, folder: Path) -> dict[str, float]:
    """Time what shows that a table is of a run's records and groups as they are, and the reading of its file."""
    import pandas

    from fly64dask.records import read_run_study
    from fly64dask.store import RunLayout, read_attributes
    from fly64dask.study import cells, realisations

    measured(["table", "--out", "kept.parquet"], run, folder)
    layout = RunLayout(run)
    began = time.process_time()
    matrix = cells(study := read_run_study(layout))
    for cell in matrix:
        hashlib.sha256(layout.record_file(cell).read_bytes()).digest()
    for realisation in realisations(study, matrix):
        read_attributes(layout.exposure_group(*realisation), "compare")
    pandas.read_parquet(folder / "kept.parquet")
    return {"cpu_s": time.process_time() - began}


def study_of(n_cells: int) -> Any:
    """A study of so many cells, nearly, with two targets: doses from 100 to 1e6, 25 views, four repeats."""
    from fly64dask.study import parse_study

    n_doses = max(2, round(n_cells / (N_SPLITS * N_VIEWS * N_REPEATS)))
    doses = [float(f"{10 ** (2 + 4 * place / (n_doses - 1)):.6g}") for place in range(n_doses)]
    views = "\n".join(
        f'[[views]]\nname = "v{number}"\nrule = "min_spacing"\nthreshold_px = {0.5 + 0.2 * number}'
        for number in range(N_VIEWS)
    )
    return parse_study(
        f"""
schema_version = 1
name = "many"
doses_photons = {doses}
repeats = {N_REPEATS}
overlap = {{diameter_px = 10.0}}
recipe = {{n_epochs = 3, batch_size = 16, device = "cpu"}}
targets = [{{phase_error_rad = 0.2}}, {{resolution_px = 8}}]
[source]
kind = "synthetic"
object_shape_px = [72, 72]
probe_shape_px = [24, 24]
seed_pair = 1
scan = {{kind = "uniform", n_exposures = 60, low_px = 12, high_px = 60}}
{views}
""",
        origin="many_cells",
    )


def make_run(n_cells: int, root: Path) -> None:
    """Publish the groups of the study, reconstruct some cells, and commit a record for each other."""
    from fly64dask.datasets import expose_split, prepare_scan, select_view
    from fly64dask.records import each_row, write_manifest, write_run_study
    from fly64dask.store import RunLayout
    from fly64dask.study import Filters, cells, realisations

    study, layout = study_of(n_cells), RunLayout(root)
    prepare_scan(study, layout)
    for split in study.splits:
        for view in study.views:
            select_view(study, view.name, split, layout)
    for drawn in realisations(study, cells(study)):
        expose_split(study, layout=layout, **drawn._asdict())
    for record, cell, log in records_of(study, layout):
        commit(layout, cell, record, log)
    write_run_study(layout, study)
    write_manifest(study, layout, Filters(), {}, list(each_row(layout, cells(study))))
    shutil.rmtree(layout.scratch, ignore_errors=True)


def records_of(study: Any, layout: Any) -> Iterator[tuple[Any, Any, Path]]:
    """Make the record of each cell but those that are reconstructed, with the cell and the log of one that is."""
    from fly64dask.base import Failure
    from fly64dask.cells import Caller, CellRequest, new_run_id, run_cell
    from fly64dask.cells.request import open_request
    from fly64dask.records import read_record
    from fly64dask.study import cells

    run_id, done = new_run_id(layout), dict[Any, Any]()
    middle = study.doses_photons[len(study.doses_photons) // 2]
    for cell in cells(study):
        first = replace(cell, dose=middle, repeat=0)
        if first not in done:
            run_cell(CellRequest(study=study, cell=first, run_id=run_id), Caller())
            done[first] = read_record(layout, first)
        if cell != first:
            key, inputs = open_request(CellRequest(study=study, cell=cell, run_id=run_id))
            assert not isinstance(inputs, Failure), "its groups are published"
            light = {"dose": cell.dose, "repeat": cell.repeat, "dose_photons": cell.dose}
            digests = {"cell_key": key, "digests": done[first].digests | inputs.sha256}
            record = lit(done[first], cell.dose / middle, 1 + 0.05 * cell.repeat)
            yield record.model_copy(update=light | digests), cell, layout.log_file(first)


def lit(record: Any, factor: float, spread: float) -> Any:
    """A record with so many times the light, and an error that falls with it."""
    names = ("mean_counts_photons", "total_photons", "fluence_photons_per_px2", "incident_photons")
    light = {name: getattr(record, name) * factor for name in names if getattr(record, name) is not None}
    metrics = record.metrics
    if metrics is not None:
        rmse = metrics.phase_rmse_rad * spread * factor**-0.3
        of_phase = {"phase": metrics.phase.model_copy(update={"rmse": rmse}), "phase_rmse_rad": rmse}
        is_empty = rmse >= metrics.empty_phase_rmse_rad
        light["metrics"] = metrics.model_copy(update=of_phase | {"no_better_than_empty": is_empty})
    return record.model_copy(update=light)


def commit(layout: Any, cell: Any, record: Any, log: Path) -> None:
    """Commit a record as a cell's worker does."""
    from fly64dask.records import committed_attempt, write_record
    from fly64dask.store import LOG_NAME

    with committed_attempt(layout, cell) as directory:
        shutil.copy(log, directory / LOG_NAME)
        write_record(directory, record)


if __name__ == "__main__":
    main()
