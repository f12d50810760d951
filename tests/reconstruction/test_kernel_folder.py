"""Compiled functions on disk are those of the code as it is, whatever part of it has changed."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fly64dask
from fly64dask.reconstruction.lsqml.steps.compiled.kernel_folder import HERE, PREFIX, SOURCES

PACKAGE = Path(fly64dask.__file__).parent
TRANSFORM = """
import ctypes
import numpy as np
from fly64dask.reconstruction.lsqml.steps.compiled.own_transforms import OwnPlans, stage
wave = np.random.default_rng(0).normal(size=(8, 16)).astype(np.float32).view(np.complex64)
found, plans = np.empty_like(wave), OwnPlans(wave.shape)
addresses = plans.addresses.tolist()
ctypes.CFUNCTYPE(*[ctypes.c_int64] * 4)(addresses[0])(addresses[2], wave.ctypes.data, found.ctypes.data)
print(np.allclose(found, np.fft.fft2(wave), atol=1e-4), sum(stage.stats.cache_hits.values()))
"""
# The sum of two vectors of complex numbers, as it is and with a mistake.
SUM, MISTAKE = "self._sum(self.im, other.im)", "self._difference(self.im, other.im)"


@pytest.fixture
def copy(tmp_path) -> Path:
    """The package in a folder of its own, of which nothing is compiled."""
    return Path(shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__")))


def transform(copy: Path, **variables: str) -> str:
    """Transform a wave by the copy's compiled code; says whether NumPy gives the same, and whether it was on disk."""
    environment = os.environ | {"PYTHONPATH": str(copy.parent)} | variables
    done = subprocess.run(
        [sys.executable, "-c", TRANSFORM], capture_output=True, text=True, timeout=120, env=environment, cwd=copy.parent
    )
    return done.stdout.strip() or done.stderr.strip().rpartition("\n")[2]


def compiled_of(copy: Path) -> Path:
    return copy / HERE.relative_to(PACKAGE)


@pytest.mark.process
def test_a_change_of_a_module_that_others_compile_into_theirs_is_noticed(copy):
    assert [transform(copy), transform(copy)] == ["True 0", "True 1"]
    (before,) = compiled_of(copy).glob(f"__pycache__/{PREFIX[:18]}*")
    changed = compiled_of(copy) / "butterflies.py"
    text = changed.read_text()
    changed.write_text(text.replace(SUM, MISTAKE, 1))
    assert transform(copy) == "False 0"
    (after,) = compiled_of(copy).glob(f"__pycache__/{PREFIX[:18]}*")
    assert after != before
    changed.write_text(text)
    assert transform(copy) == "True 0"


@pytest.mark.process
def test_compiled_code_is_kept_where_the_user_says_and_that_of_another_installation_stays(copy, tmp_path):
    kept = tmp_path / "kept"
    of_another = kept / "fly64dask-kernels-00000000-0123456789abcdef"
    of_another.mkdir(parents=True)
    assert [transform(copy, NUMBA_CACHE_DIR=str(kept)) for _ in range(2)] == ["True 0", "True 1"]
    assert len(list(kept.iterdir())) == 2
    assert of_another.exists()
    assert list(compiled_of(copy).glob("__pycache__/fly64dask*")) == []


@pytest.mark.process
def test_nothing_is_compiled_where_no_folder_can_be_written_to_and_the_reason_names_them(copy):
    (compiled_of(copy) / "__pycache__").touch()
    said = transform(copy, HOME="/dev/null", XDG_CACHE_HOME="/dev/null")
    assert said.startswith("RuntimeError: no folder can be written to for what Numba compiles, of ")
    assert f"{compiled_of(copy)}/__pycache__, /dev/null/numba" in said


def test_the_sources_of_compiled_code_are_all_that_its_modules_import_of_this_package():
    imported = {
        Path(PACKAGE.parent, *node.module.split(".")).with_suffix(".py")
        for path in HERE.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGE.name)
    }
    assert imported <= set(SOURCES)
    assert set(HERE.glob("*.py")) <= set(SOURCES)
