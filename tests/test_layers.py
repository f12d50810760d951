"""The module map: imports point up, heavy libraries stay where they belong, pure modules stay pure."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "fly64dask"

# In order: a module imports only from those above its own. (=) marks pure ones.
MAP = """
errors =
interrupt
study =
toml_text =
study_toml =
remedy =
layout =
outcome =
losses =
scan =
selection =
simulate =
frc =
quality =
comparison =
area =
registration =
alignment =
similarity =
metrics =
original =
provenance
attributes =
storage
journal
publish
documents
memory
machine
lock
dataset
formats.npz
formats.raw
formats.data001
formats.tike
formats.scans
formats.store
formats.objects
checkpoint
reconstruction =
best_epoch =
halves =
lsqml_import
lsqml_state
lsqml_steps
lsqml_speed
lsqml_task
lsqml_tasks
lsqml_rule
lsqml
respace =
identifiability =
pictures =
record
inputs
stages
plan =
packing =
occupancy
fork_server
forked
isolation
stopping
live
cell_inputs
attempt
cell
history
summary =
manifest =
runs
rerun =
compare
verify
report_tables =
report_cells
report_page
report_figures
report
board =
supply
tasks
graph
batch
slurm_file =
slurm
security
access
local_worker
cluster
webpage
telemetry
monitor
slurm_keeper
slurm_cluster
controller
driver
repair
doctor
terminal
rerun_table
comparison_table
watch
commands.common
commands.compare
commands.data
commands.doctor
commands.inspect
commands.report
commands.run
commands.rerun
commands.slurm
cli
"""
ORDER = [line.split()[0] for line in MAP.split("\n") if line]
PURE = {line.split()[0] for line in MAP.split("\n") if line.endswith("=")}
OWNERS = {
    "zarr": {"dataset"},
    "numcodecs": {"dataset"},
    "ptychi": {"lsqml", "lsqml_task", "lsqml_tasks", "lsqml_rule", "lsqml_state", "lsqml_steps", "lsqml_speed"},
    "torch": {"lsqml", "lsqml_tasks", "lsqml_rule", "lsqml_state", "lsqml_steps", "lsqml_speed", "doctor"},
    "dask": {"graph", "batch", "cluster", "slurm_cluster"},
    "distributed": {
        "monitor",
        "slurm_cluster",
        "slurm_keeper",
        "supply",
        "tasks",
        "batch",
        "local_worker",
        "cluster",
        "driver",
        "security",
        "access",
    },
    "tornado": {"webpage", "local_worker"},
    "prometheus_client": {"telemetry"},
    "cryptography": {"security"},
    "dask_jobqueue": {"slurm_cluster", "slurm_keeper"},
    "click": {
        "cli",
        "commands.common",
        "commands.compare",
        "commands.data",
        "commands.doctor",
        "commands.inspect",
        "commands.report",
        "commands.run",
        "commands.rerun",
        "commands.slurm",
    },
    "rich": {"terminal", "rerun_table", "comparison_table", "watch"},
    "skimage": {"original", "registration", "similarity"},
    "h5py": {"formats.objects"},
    "torchmetrics": set(),
    "matplotlib": {"pictures", "report_figures"},
    "pyarrow": {"report_tables"},
}
# Names that reach a file, a clock, a process or hidden random state.
IMPURE = {"os", "shutil", "subprocess", "socket", "time", "logging", "tempfile", "datetime", "uuid", "random"}
SOURCES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): path
    for path in PACKAGE.rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
}


def imported(module: str) -> set[str]:
    """Every module that a file imports, inside functions and for types too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(SOURCES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_map_lists_every_module_once():
    assert sorted(ORDER) == sorted(SOURCES)


@pytest.mark.parametrize("module", ORDER)
def test_imports_point_up(module):
    above = {f"fly64dask.{name}" for name in ORDER[: ORDER.index(module)]} | {"fly64dask"}
    ours = {name for name in imported(module) if name.split(".")[0] == "fly64dask"}
    assert ours <= above


@pytest.mark.parametrize("library", OWNERS)
def test_library_is_imported_by_its_owners_alone(library):
    users = {module for module in ORDER if library in {name.split(".")[0] for name in imported(module)}}
    assert users <= OWNERS[library]


@pytest.mark.parametrize("module", sorted(PURE))
def test_pure_module_reaches_no_file_clock_or_process(module):
    assert not {name.split(".")[0] for name in imported(module)} & IMPURE
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(SOURCES[module].read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"open", "print", "input", "eval", "exec"}


def test_exceptions_are_all_caught_in_one_place():
    places = [
        (module, node.name)
        for module, path in SOURCES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        for handler in ast.walk(node)
        if isinstance(handler, ast.ExceptHandler)
        and (handler.type is None or getattr(handler.type, "id", "") in ("Exception", "BaseException"))
    ]
    assert places == [("attempt", "failure_of")]
