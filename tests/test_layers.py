"""The order of the packages: imports point one way, heavy libraries have owners, pure packages stay pure."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "fly64dask"
# A package imports only from those before it.
ORDER = [
    *("base", "study", "scan", "simulation", "metrics", "store", "datasets", "reconstruction", "records"),
    *("monitoring", "cells", "scheduling", "deploy", "report", "runs", "cli"),
]
PURE = {"study", "scan", "simulation", "metrics"}
READS_STUDY_FILES = PACKAGE / "study" / "files.py"  # the one module of a pure package that looks at a disk
# Names that reach a file, a clock, a process or hidden random state.
IMPURE = {
    "os",
    "shutil",
    "subprocess",
    "socket",
    "time",
    "logging",
    "tempfile",
    "datetime",
    "uuid",
    "random",
    "pathlib",
}
OWNERS = {
    "zarr": {"store"},
    "xarray": {"store", "runs"},
    "ptychi": {"reconstruction"},
    "torch": {"reconstruction", "deploy"},
    "numba": {"reconstruction"},
    "dask": {"store", "scheduling", "deploy"},
    "distributed": {"scheduling", "deploy", "monitoring", "runs"},
    "dask_jobqueue": {"deploy"},
    "pynvml": {"base"},
    "tornado": {"monitoring"},
    "prometheus_client": {"monitoring"},
    "cryptography": {"deploy"},
    "click": {"cli"},
    "rich": {"cli"},
    "skimage": {"simulation", "metrics", "report"},
    "PIL": {"report"},
    "h5py": {"datasets"},
    "tifffile": {"datasets"},
    "matplotlib": {"report", "runs"},
    "pyarrow": {"report"},
    "pandas": {"runs"},
    "torchmetrics": set(),
}


def package_of(path: Path) -> str:
    """First folder below the package; the top-level modules are above all of them."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


SOURCES = [(package_of(path), ast.parse(path.read_text(encoding="utf-8"))) for path in sorted(PACKAGE.rglob("*.py"))]


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that a source names: in imports at any depth, for types too, and in strings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"\bfly64dask(?:\.\w+)+", node.value)


def test_every_folder_has_its_place_in_the_order():
    assert sorted(ORDER) == sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists())


def test_the_architecture_page_has_a_row_for_each_package_in_this_order():
    page = (PACKAGE.parent / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)`", page, re.MULTILINE) == ORDER


@pytest.mark.parametrize("package", ORDER)
def test_a_package_imports_only_from_those_before_it(package):
    ours = {
        name.split(".")[1]
        for mine, tree in SOURCES
        if mine == package
        for name in imported(tree)
        if "fly64dask." in name
    }
    assert ours & set(ORDER) <= set(ORDER[: ORDER.index(package) + 1])


@pytest.mark.parametrize("library", OWNERS)
def test_a_heavy_library_is_imported_by_its_owners_alone(library):
    assert {mine for mine, tree in SOURCES if library in {name.split(".")[0] for name in imported(tree)}} <= OWNERS[
        library
    ]


@pytest.mark.parametrize("package", sorted(PURE))
def test_a_pure_package_reaches_no_file_clock_or_process(package):
    paths = [path for path in (PACKAGE / package).rglob("*.py") if path != READS_STUDY_FILES]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    assert not {name.split(".")[0] for tree in trees for name in imported(tree)} & IMPURE
    calls = {
        node.func.id
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"open", "print", "input", "eval", "exec"}


def test_no_folder_holds_more_than_thirteen_modules():
    folders = [path for path in (PACKAGE, *PACKAGE.rglob("*")) if path.is_dir()]
    assert [path for path in folders if len([*path.glob("*.py")]) > 14] == []  # and its __init__.py


def test_exceptions_are_all_caught_in_one_place():
    places = [
        (package, node.name)
        for package, tree in SOURCES
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for handler in ast.walk(node)
        if isinstance(handler, ast.ExceptHandler)
        and (handler.type is None or getattr(handler.type, "id", "") in ("Exception", "BaseException"))
    ]
    assert places == [("base", "result_or_failure")]


def test_no_test_module_imports_another():
    tests = PACKAGE.parent / "tests"
    modules = {path.stem: path for path in tests.rglob("test_*.py")}
    imports = {
        (path.name, name)
        for path in tests.rglob("*.py")
        for name in imported(ast.parse(path.read_text(encoding="utf-8")))
        if name.split(".")[0] in modules
    }
    assert imports == set()
