"""What is written of the package in other formats says what pyproject.toml says."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from fly64dask import __version__

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RECIPE = yaml.safe_load((ROOT / "cluster" / "conda" / "recipe.yaml").read_text())
PACKAGE = ROOT / "fly64dask"
EXTRAS = ("run", "engine", "ingest", "notebook", "objects")
# Names that conda-forge has for what PyPI calls otherwise; pty-chi comes from PyPI.
CONDA_NAMES = {"torch": "pytorch", "dask": "dask-core", "matplotlib": "matplotlib-base"}
NOT_ON_CONDA = {"ptychi", "fly64dask"}


def floors(requirements: list[str]) -> dict[str, str]:
    """Lowest versions by name, of `name>=1.2,<3` or `name >=1.2`."""
    return dict(re.match(r"([\w.-]+)(?:\[\w+\])? ?(?:>=([\d.]+))?", line).groups() for line in requirements)


def conda_floors(requirements: list[str]) -> dict[str, str]:
    found = floors(requirements)
    return {CONDA_NAMES.get(name, name): floor for name, floor in found.items() if name not in NOT_ON_CONDA}


def test_recipe_needs_what_the_package_needs():
    needed = floors(RECIPE["requirements"]["run"])
    python = next(line for line in RECIPE["requirements"]["run"] if line.startswith("python "))
    assert (
        python.replace("${{ python_min }}", RECIPE["context"]["python_min"]) == f"python {PROJECT['requires-python']}"
    )
    assert {name: floor for name, floor in needed.items() if name != "python"} == conda_floors(PROJECT["dependencies"])


def test_recipe_constrains_what_the_extras_need():
    optional = [line for extra in EXTRAS for line in PROJECT["optional-dependencies"][extra]]
    assert floors(RECIPE["requirements"]["run_constraints"]) == conda_floors(optional)


def test_recipe_and_citation_are_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (RECIPE["context"]["version"], citation["version"]) == (__version__, __version__)


def test_extras_for_users_are_all_in_all_and_on_the_page():
    assert PROJECT["optional-dependencies"]["all"] == ["fly64dask[engine,ingest,notebook,objects]"]
    page = (ROOT / "docs" / "how-to" / "install.md").read_text()
    assert [extra for extra in (*EXTRAS, "all") if f"\n| `{extra}` |" not in page] == []


def test_images_copy_files_that_exist():
    docker = re.findall(r"^COPY (.+) \S+$", (ROOT / "cluster/containers/Dockerfile").read_text(), re.MULTILINE)
    (files,) = re.findall(r"%files\n((?: .+\n)+)", (ROOT / "cluster/containers/fly64dask.def").read_text())
    copied = {name for words in docker for name in words.split()} | {line.split()[0] for line in files.splitlines()}
    assert {name for name in copied if not (ROOT / name).exists()} == set()
    allowed = (ROOT / "cluster/containers/Dockerfile.dockerignore").read_text()
    assert [name for name in copied if f"\n!{name}\n" not in allowed] == []


def build(source: Path, into: Path, *targets: str) -> list[Path]:
    command = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--directory",
        into,
        *(f"--target={name}" for name in targets),
    ]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=600)
    return sorted(into.iterdir())


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    """The wheel and the source distribution of the checkout."""
    wheel, sdist = build(ROOT, tmp_path_factory.mktemp("dist"), "wheel", "sdist")
    return wheel, sdist


@pytest.mark.process
def test_wheel_holds_every_file_of_the_package_and_nothing_else(built):
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    about = f"fly64dask-{__version__}.dist-info"
    names = ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
    wanted = {path.relative_to(ROOT).as_posix() for path in files} | {f"{about}/{name}" for name in names}
    with zipfile.ZipFile(built[0]) as wheel:
        assert set(wheel.namelist()) == wanted
        metadata = email.message_from_string(wheel.read(f"{about}/METADATA").decode())
    assert "fly64dask/py.typed" in wanted
    assert (metadata["License-Expression"], metadata["License-File"]) == ("BSD-3-Clause", "LICENSE")
    assert metadata.get_payload() == (ROOT / "README.md").read_text()


@pytest.mark.process
def test_source_distribution_builds_the_same_wheel(built, tmp_path):
    wheel, sdist = built
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (again,) = build(tmp_path / f"fly64dask-{__version__}", tmp_path / "dist", "wheel")
    assert again.read_bytes() == wheel.read_bytes()
