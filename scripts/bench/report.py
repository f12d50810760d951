"""Time and size of the page of a run with many cells, made of links to the cells of a real one.

Example: python scripts/bench/report.py runs/demo --cells 18 500
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from fly64dask.records import read_record, read_run_study, write_record, write_run_study
from fly64dask.report import write_report
from fly64dask.store import RunLayout
from fly64dask.study import Cell, Study, cells


def main() -> None:
    """Print one line for each wanted number of cells."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run whose cells are all committed")
    parser.add_argument("--cells", type=int, nargs="+", default=[18, 500])
    arguments = parser.parse_args()
    real = RunLayout(arguments.run.resolve())
    for n_cells in arguments.cells:
        with tempfile.TemporaryDirectory() as folder:
            layout, study = linked_run(real, Path(folder), n_cells)
            began = time.perf_counter()
            write_report(study, layout, layout.report_file)
            seconds = time.perf_counter() - began
            size_mb = layout.report_file.stat().st_size / 1e6
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
            print(f"{len(cells(study))} cells: {size_mb:.1f} MB in {seconds:.1f} s, process at most {peak_mb:.0f} MB")


def linked_run(real: RunLayout, root: Path, n_cells: int) -> tuple[RunLayout, Study]:
    """Make a run whose further repeats are the first one's arrays, with records of their own."""
    study = read_run_study(real)
    study = study.model_copy(update={"repeats": max(1, n_cells // len(cells(study)))})
    layout = RunLayout(root)
    write_run_study(layout, study)
    layout.store.mkdir()
    for path in real.store.iterdir():
        (layout.store / path.name).symlink_to(path)
    for cell in cells(study):
        model = next(one for one in cells(read_run_study(real)) if (one.dose, one.view, one.split) == cell_place(cell))
        group = layout.exposure_group(cell.dose, cell.split, cell.repeat)
        if not group.exists():
            group.parent.mkdir(parents=True, exist_ok=True)
            group.symlink_to(real.exposure_group(model.dose, model.split))
        record = read_record(real, model)
        assert record is not None, f"{model.name} is not committed"
        layout.cell_directory(cell).mkdir(parents=True)
        write_record(layout.cell_directory(cell), record.model_copy(update={"repeat": cell.repeat}))
        if record.state == "completed":
            layout.reconstruction_group(cell).symlink_to(real.reconstruction_group(model))
    return layout, study


def cell_place(cell: Cell) -> tuple[object, object, object]:
    """Dose, view and split: what repeats share."""
    return cell.dose, cell.view, cell.split


if __name__ == "__main__":
    main()
