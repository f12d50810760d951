"""What it costs to look at a run of very many cells: each command that reads it, its table in Python, its page.

From the repository:

    python scripts/bench/large/many_cells.py                         # 10 000 cells
    python scripts/bench/large/many_cells.py --cells 10000 100000 --only status table page
    python scripts/bench/large/many_cells.py --quick                 # 400 cells: does it still run?

A few cells are reconstructed, one for each view and split. All others get records like theirs, written and committed
by the package itself, with a phase error that falls with the dose, and the same arrays. Each command then runs in a
process of its own: CPU seconds, wall seconds, and its memory at the peak. `compare` has the run as a method beside
itself, at one dose. `page` is one answer of `/fly64`, and `proof` what a table kept beside the manifest would take to
be read, once it is shown to be of the records and groups that are there: their digests are computed.

Where `FLY64DASK_BENCH_DIR` names a folder, the runs stay there, and are used again. `--json FILE` keeps the figures.
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
from functools import cache
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from measuring import machine, write_measurement

RUN = "RUN"  # stands for the run directory
IN_PYTHON = "import fly64dask, sys; fly64dask.open_run(sys.argv[1]).table()"
FLY64DASK = ["-m", "fly64dask"]
COMMANDS = {
    "status": [*FLY64DASK, "status", RUN],
    "dose": [*FLY64DASK, "status", RUN, "--dose", "100"],
    "json": [*FLY64DASK, "status", RUN, "--json"],
    "runs": [*FLY64DASK, "runs", RUN],
    "table": [*FLY64DASK, "table", RUN, "--out", "table.parquet", "--force"],
    "csv": [*FLY64DASK, "table", RUN, "--out", "table.csv", "--force"],
    "python": ["-c", IN_PYTHON, RUN],
    "limits": [*FLY64DASK, "limits", RUN],
    "report": [*FLY64DASK, "report", RUN, "--out", "report.html", "--force"],
    "compare": [*FLY64DASK, "compare", RUN, "--method", f"again={RUN}", "--dose", "100"],
    "clean": [*FLY64DASK, "clean", RUN],
    "verify": [*FLY64DASK, "verify", RUN],
}
N_VIEWS, N_REPEATS, N_SPLITS = 25, 4, 2


def main() -> None:
    """Make the run, and print what each command takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, nargs="+", default=[10_000])
    parser.add_argument("--quick", action="store_true", help="400 cells")
    parser.add_argument("--json", type=Path, metavar="FILE", dest="json_file")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    names = [*COMMANDS, "page", "proof"]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    arguments = parser.parse_args()
    sizes = [400] if arguments.quick else arguments.cells
    if arguments.make:
        make_run(sizes[0], arguments.make)
        return
    facts, rows = machine(), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as folder:
        for n_cells in sizes:
            run = Path(os.environ.get("FLY64DASK_BENCH_DIR", folder), f"run-{n_cells}").resolve()
            if not (run / "reconstruction_manifest.json").exists():
                # Apart, as a command's memory begins with that of who starts it.
                subprocess.run([sys.executable, __file__, "--cells", str(n_cells), "--make", run], check=True)
            for name in arguments.only:
                found = figures_of(name, n_cells, run, Path(folder))
                rows.append({"cells": n_cells, "what": name, **found})
                print(f"{name:<8}" + "  ".join(f"{key} {value:.3g}" for key, value in found.items()), flush=True)
    if arguments.json_file:
        write_measurement(arguments.json_file, facts, {"many_cells": rows})


def figures_of(name: str, n_cells: int, run: Path, folder: Path) -> dict[str, float]:
    """Measure one thing, called by its name."""
    if name == "page":
        return page_answer(n_cells)
    return proven_table(run, folder) if name == "proof" else measured(COMMANDS[name], run, folder)


def measured(command: list[str], run: Path, folder: Path) -> dict[str, float]:
    """Run a command on a run in a process of its own; its CPU and wall time, s, and its memory at the peak, MB.

    `printed_mb` is what it prints, `file_mb` what it writes to the folder.
    """
    words = [sys.executable, *(word.replace(RUN, str(run)) for word in command)]
    printed = folder / "printed"
    with printed.open("wb") as stream:
        began = time.perf_counter()
        process = subprocess.Popen(words, cwd=folder, stdout=stream)
        _, code, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode:
        raise SystemExit(f"{words} ended with exit code {process.returncode}: {printed.read_text()[-1000:]}")
    sizes = {"printed_mb": printed.stat().st_size / 1e6}
    for path in folder.glob("*.*"):
        if path.name in command:
            sizes["file_mb"] = path.stat().st_size / 1e6
    return {"cpu_s": usage.ru_utime + usage.ru_stime, "wall_s": seconds, "peak_mb": usage.ru_maxrss / 1e3, **sizes}


def page_answer(n_cells: int) -> dict[str, float]:
    """Time one answer to the page of a run under way, and measure its length."""
    from fly64dask.monitoring.dashboard.run_state import RunState
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

    measured([*FLY64DASK, "table", RUN, "--out", "kept.parquet", "--force"], run, folder)
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
    from fly64dask.records import RowFiles, each_row, write_manifest, write_run_study
    from fly64dask.store import RunLayout
    from fly64dask.study import Filters, cells, realisations

    setattr(os, "fsync", lambda descriptor: None)  # noqa: B010  # what is made here need not survive a power cut
    study, layout = study_of(n_cells), RunLayout(root)
    prepare_scan(study, layout)
    for split in study.splits:
        for view in study.views:
            select_view(study, view.name, split, layout)
    for drawn in realisations(study, cells(study)):
        expose_split(study, layout=layout, **drawn._asdict())
    for record, cell, first in records_of(study, layout):
        commit(layout, cell, record, first)
    write_run_study(layout, study)
    rows = RowFiles(layout)
    rows.keep_all(each_row(layout, cells(study)))
    write_manifest(study, layout, Filters(), {}, rows)
    shutil.rmtree(layout.scratch, ignore_errors=True)


def records_of(study: Any, layout: Any) -> Iterator[tuple[Any, Any, Path]]:
    """Make the record of each cell but those that are reconstructed, with the cell and the directory of one that is."""
    from fly64dask.cells import Caller, CellRequest, new_run_id, run_cell
    from fly64dask.cells.inputs import CellInputs
    from fly64dask.records import cell_key, read_record
    from fly64dask.store import ExposureAttributes, ViewAttributes, open_group
    from fly64dask.study import cells, realisation_of

    run_id, done = new_run_id(layout), dict[Any, Any]()
    middle = study.doses_photons[len(study.doses_photons) // 2]
    # Many cells share each of these.
    exposures_of = cache(lambda drawn: open_group(layout.exposure_group(*drawn), ExposureAttributes))
    view_of = cache(lambda view, split: open_group(layout.view_group(view, split), ViewAttributes))
    for cell in cells(study):
        first = replace(cell, dose=middle, repeat=0)
        if first not in done:
            run_cell(CellRequest(study=study, cell=first, run_id=run_id), Caller())
            done[first] = read_record(layout, first)
        record = done[first]
        inputs = CellInputs(
            exposures=exposures_of(realisation_of(study, cell)), view=view_of(cell.view, cell.split)
        ).sha256
        seed, versions = study.seeds.grouping, record.versions
        key = cell_key(inputs, record.recipe, seed=seed, engine=record.engine, versions=versions)
        if cell == first:
            assert key == record.cell_key, "a record is made as the package makes it"
            continue
        light = {"dose": cell.dose, "repeat": cell.repeat, "dose_photons": cell.dose}
        digests = {"cell_key": key, "digests": record.digests | inputs}
        lit_record = lit(record, cell.dose / middle, 1 + 0.05 * cell.repeat)
        yield lit_record.model_copy(update=light | digests), cell, layout.cell_directory(first)


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


def commit(layout: Any, cell: Any, record: Any, first: Path) -> None:
    """Commit a record as a cell's worker does, with the files of another cell's directory."""
    from fly64dask.records import committed_attempt, write_record
    from fly64dask.store import LOG_NAME, RECONSTRUCTION_NAME

    with committed_attempt(layout, cell) as directory:
        for name in (LOG_NAME, RECONSTRUCTION_NAME):
            os.link(first / name, directory / name)
        write_record(directory, record)


if __name__ == "__main__":
    main()
