"""What is written of the package in other formats says what pyproject.toml says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

from fly64dask import __version__

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RECIPE = yaml.safe_load((ROOT / "cluster" / "conda" / "recipe.yaml").read_text())
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
