"""The wheel holds what commands need outside a checkout, and runs can be looked at without what runs them."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Commands in one Python that does not find some modules, as if they were not installed: exit codes and errors as JSON.
WITHOUT = """
import contextlib, importlib.machinery, io, json, sys
hidden, commands = json.loads(sys.argv[1])
usual = importlib.machinery.PathFinder
class Finder:
    find_distributions = usual.find_distributions
    invalidate_caches = usual.invalidate_caches
    @staticmethod
    def find_spec(name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else usual.find_spec(name, path, target)
sys.meta_path[:] = [Finder if finder is usual else finder for finder in sys.meta_path]
from fly64dask.cli.main import main
ends = []
for words in commands:
    sys.argv, errors = ["fly64dask", *words], io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            main()
        except SystemExit as end:
            ends.append((end.code, errors.getvalue()))
print(json.dumps(ends))
"""
INGEST = "'fly64dask[ingest]' (reads and writes other programs' files)"
NOTEBOOK = "'fly64dask[notebook]' (tables, arrays and figures in Python)"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def of_extras() -> set[str]:
    """Modules of the libraries that the package's extras for users ask for, and the package itself does not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name not in ("dev", "docs")}

    def names(requirements: list[str]) -> set[str]:
        return {canonical(re.match(r"[\w.-]+", line)[0]) for line in requirements}

    optional = set.union(*map(names, extras.values())) - names(project["dependencies"]) - {"fly64dask"}
    modules = importlib.metadata.packages_distributions()
    return {module for module, libraries in modules.items() if optional & set(map(canonical, libraries))}


def ends_without(hidden: set[str], site: Path, *commands: Sequence[object], cwd: Path) -> list[tuple[int, str]]:
    """Exit code and standard error of commands of the unpacked wheel, one after the other."""
    asked = json.dumps([sorted(hidden), [[str(word) for word in command] for command in commands]])
    environment = {**os.environ, "PYTHONPATH": str(site)}
    words = [sys.executable, "-c", WITHOUT, asked]
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=True)
    return [tuple(end) for end in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel would install."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def test_wheel_holds_every_file_of_the_package(unpacked: Path):
    listed = subprocess.run(["git", "ls-files", "fly64dask"], cwd=ROOT, check=True, capture_output=True, text=True)
    assert [name for name in listed.stdout.split() if not (unpacked / name).is_file()] == []


def test_wheel_has_copies_of_the_templates(unpacked: Path):
    templates = [*(unpacked / "fly64dask" / "runs" / "new_study" / "templates").glob("*.toml")]
    assert {path.name: path.read_text() for path in templates} == {
        path.name: path.read_text() for path in (ROOT / "data").glob("*.toml")
    }


def test_new_works_without_a_checkout(unpacked: Path, tmp_path: Path):
    code = "import fly64dask; print(fly64dask.__file__); from fly64dask.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "new", "mine.toml", "--template", "toy"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(unpacked))
    assert 'name = "mine"' in (tmp_path / "mine.toml").read_text()


def test_runs_can_be_looked_at_and_studies_written_without_extras(unpacked: Path, record_case: Path, tmp_path: Path):
    run = record_case / "run"
    commands = {
        "status": ("status", run),
        "limits": ("limits", run, "--target", "phase_error_rad=0.1"),
        "report": ("report", run, "--out", "page.html"),
        "table": ("table", run, "--out", "table.csv"),
        "verify": ("verify", run),
        "runs": ("runs", record_case),
        "clean": ("clean", run),
        "new": ("new", "mine.toml"),
        "dry run": ("run", ROOT / "data" / "demo.toml", "--out", "run", "--dry-run"),
    }
    ends = ends_without(of_extras(), unpacked, *commands.values(), cwd=tmp_path)
    assert dict(zip(commands, ends, strict=True)) == dict.fromkeys(commands, (0, ""))


def test_report_without_pyarrow_offers_csv_alone(unpacked: Path, record_case: Path, tmp_path: Path):
    ends_without({"pyarrow"}, unpacked, ("report", record_case / "run", "--out", "page.html"), cwd=tmp_path)
    page = (tmp_path / "page.html").read_text()
    assert ('id="csv"' in page, 'id="parquet"' in page) == (True, False)


def test_command_without_its_extra_says_how_to_install_it(unpacked: Path, record_case: Path, tmp_path: Path):
    (tmp_path / "scan.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    commands = [
        ("run", ROOT / "data" / "toy.toml", "--out", "run"),
        ("table", record_case / "run", "--out", "table.parquet"),
        ("report", record_case / "run", "--out", "page.html", "--figures", "figures"),
        ("ingest", "scan.h5", "--out", "scan.zarr"),
    ]
    needs = [
        "distributed is not installed, which this needs; pip install 'fly64dask[engine]' (runs cells)",
        f"pyarrow is not installed, which this needs; pip install {NOTEBOOK}",
        f"matplotlib is not installed, which this needs; pip install {NOTEBOOK}",
        f"h5py is not installed, which this needs; pip install {INGEST}",
    ]
    ends = ends_without(of_extras(), unpacked, *commands, cwd=tmp_path)
    assert ends == [(2, f"fly64dask: {need}\n") for need in needs]
