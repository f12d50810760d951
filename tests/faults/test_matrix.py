"""A matrix with every kind of faulty cell in it: each named, and no innocent cell lost. Real workers, real signals."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
import tiny
from faulty_engine import ENGINE, EXPECTED, FOLDER, tell
from tiny import tiny_study

from fly64dask.datasets import expose_split, prepare_scan, select_view
from fly64dask.deploy import Placement
from fly64dask.records import read_record
from fly64dask.runs import run_study
from fly64dask.store import RunLayout
from fly64dask.study import Limits, cells

pytestmark = [pytest.mark.slow, pytest.mark.cluster]

VIEWS = tiny_study().views[:2]
STUDY = tiny_study(
    doses_photons=tuple(float(dose) for dose in range(1000, 11000, 1000)),
    views=VIEWS,
    limits=Limits(wall_time_s=15.0, memory_bytes=500_000_000),  # far above what a busy machine takes for a cell
)


@pytest.fixture(scope="module")
def exposed(tmp_path_factory):
    """A run directory with its exposures and views published, and no cell."""
    layout = RunLayout(tmp_path_factory.mktemp("exposed") / "run")
    prepare_scan(STUDY, layout)
    for split in STUDY.splits:
        for dose in STUDY.doses_photons:
            expose_split(STUDY, dose, split, layout)
        for view in VIEWS:
            select_view(STUDY, view.name, split, layout)
    return layout


@pytest.mark.parametrize("seed", range(2))
def test_run_study_names_each_faulty_cell_and_loses_no_other(exposed, tmp_path, monkeypatch, seed):
    layout = RunLayout(tmp_path / "run")
    shutil.copytree(exposed.root, layout.root)
    rng = random.Random(seed)
    chosen = dict(zip(rng.sample(cells(STUDY), len(EXPECTED)), EXPECTED, strict=True))
    folder = tmp_path / "faults"
    folder.mkdir()
    table = {cell.name.replace("/", "-"): fault for cell, fault in chosen.items()}
    tell(folder, table)
    monkeypatch.setenv(FOLDER, str(folder))
    monkeypatch.setenv("PYTHONPATH", str(Path(tiny.__file__).parent))  # for the fork servers
    report = run_study(STUDY, layout.root, placement=Placement(n_workers=2), engine=ENGINE)
    found = {row.cell: row.failure_kind for row in report.manifest.execution_results}
    assert len(found) == 40
    assert found == {cell: EXPECTED.get(chosen.get(cell)) for cell in cells(STUDY)}
    assert all(outcome.committed for outcome in report.outcomes.values())
    for cell, fault in chosen.items():
        record = read_record(layout, cell)
        assert record.error is None or len(record.error) > 20, fault
    lost = next(cell for cell, fault in chosen.items() if fault == "kill_worker")
    assert len((folder / lost.name.replace("/", "-")).read_text().splitlines()) == 3
