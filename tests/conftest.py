"""Shared fixtures: the small scan of the study's record, and the way to run the command line."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from command_line import run_command
from faulty_engine import FOLDER
from finished_runs import made_once, make_low_dose, make_record_case, make_six_cells
from forked_workers import fork_workers
from hypothesis import HealthCheck, settings
from tiers import STARTS, Watch, marks_of

from fly64dask.store import RunLayout

# How long an example takes, or takes to make, says something about the machine, and nothing about the code.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parents[1]
BESIDE = ROOT.parent / "shared" / "data" / "siemens-star-small.npz.bz2"
STAR_FILE = Path(os.environ.get("FLY64DASK_STAR", BESIDE))


WATCH = Watch()


def pytest_collectstart() -> None:
    """Search for no garbage while tests are collected: a million objects come, and stay until the end."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave what was collected out of later searches for garbage, which take 0.6 s a time with it."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Mark each test by what it starts. Long files first: the last one to start would be the last one to end by far."""
    ranks: dict[Path, int] = {}
    for item in items:
        for mark in marks_of(item):
            item.add_marker(mark)
        marks = {mark.name for mark in item.iter_markers()}
        of_marks = 2 if "slow" in marks else 3 if "engine" in marks else 4
        rank = 0 if "slurm" in marks else 1 if item.path.parent.name == "faults" else of_marks
        ranks[item.path] = min(rank, ranks.get(item.path, rank))
    items.sort(key=lambda item: ranks[item.path])


@pytest.hookimpl(tryfirst=True)  # before fixtures of a module start workers
def pytest_runtest_setup(item: pytest.Function) -> None:
    """Fork Dask's workers where they are not what is tested."""
    if item.get_closest_marker("cluster"):
        fork_workers()


@pytest.fixture(autouse=True)
def starts_nothing_unmarked(request: pytest.FixtureRequest) -> Iterator[None]:
    """A fast test that starts a process or loads the engine fails: `make test-fast` promises that none does."""
    WATCH.started = None if any(map(request.node.get_closest_marker, STARTS)) else []
    yield
    started, WATCH.started = WATCH.started, None
    if started:
        pytest.fail(f"{request.node.name} carries no mark of {', '.join(STARTS)}, but started: {started}")


@pytest.fixture(scope="session")
def canonical_positions_px() -> np.ndarray:
    """Positions of the canonical study, (10304, 2), order (y, x): written out, not by our code."""
    np.random.seed(42)
    x = np.random.uniform(64, 400, 10304)
    y = np.random.uniform(64, 400, 10304)
    return np.stack([y, x], axis=1)


@pytest.fixture(scope="session", autouse=True)
def engine_faults(tmp_path_factory):
    """Folder in which the tests' engine reads how to fail. One for all files that a process runs: the server
    of engines keeps the environment of its first one."""
    folder = tmp_path_factory.mktemp("faults")
    (folder / "faults.json").write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(folder))
        yield folder


@pytest.fixture(scope="session")
def six_cells(engine_faults: Path, tmp_path_factory: pytest.TempPathFactory) -> RunLayout:
    """A finished run of `finished_runs.SIX_CELLS`, for reading."""
    return RunLayout(made_once(tmp_path_factory, "six-cells", make_six_cells) / "run")


@pytest.fixture(scope="session")
def low_dose(engine_faults: Path, tmp_path_factory: pytest.TempPathFactory) -> RunLayout:
    """A finished run of `finished_runs.LOW_DOSE`, for reading."""
    return RunLayout(made_once(tmp_path_factory, "low-dose", make_low_dose) / "run")


@pytest.fixture(scope="session")
def record_case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record case, run by the command line, for reading: a folder of `toy.toml`, `run` and what was printed."""
    return made_once(tmp_path_factory, "record-case", make_record_case)


@pytest.fixture
def fly64dask(tmp_path):
    """Run `python -m fly64dask ...` in a process of its own, in the test's folder."""

    def run(*arguments: object, cwd: Path = tmp_path, timeout: float = 600, **environment: str):
        return run_command(*arguments, cwd=cwd, timeout=timeout, environment=environment)

    return run


@pytest.fixture(scope="session")
def star_file() -> Path:
    """The measured scan beside the checkout; in CI it must be there."""
    if not STAR_FILE.exists():
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs the measured scan {STAR_FILE}")
        pytest.skip(f"no measured scan at {STAR_FILE}")
    return STAR_FILE
