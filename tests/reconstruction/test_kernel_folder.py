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
import ctypes, logging
logging.basicConfig()
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


def run_transform(copy: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(copy.parent)} | variables
    command = [sys.executable, "-c", TRANSFORM]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, cwd=copy.parent)


def transform(copy: Path, **variables: str) -> str:
    """Transform a wave by the copy's compiled code; says whether NumPy gives the same, and whether it was on disk."""
    done = run_transform(copy, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


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
@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("n_bytes", [0, 300])
def test_what_a_power_cut_has_cut_off_is_compiled_again_and_kept(copy, suffix, n_bytes):
    assert transform(copy) == "True 0"
    (cut,) = compiled_of(copy).rglob(f"own_transforms.stage-*.{suffix}")
    cut.write_bytes(cut.read_bytes()[:n_bytes])
    assert [transform(copy), transform(copy)] == ["True 0", "True 1"]


@pytest.mark.process
def test_code_is_compiled_for_each_process_where_it_cannot_be_kept(copy):
    (compiled_of(copy) / "__pycache__").touch()
    said = run_transform(copy, HOME="/dev/null", XDG_CACHE_HOME="/dev/null")
    assert said.stdout == "True 0\n"
    assert f"no folder of one's own in {compiled_of(copy)}/__pycache__, /dev/null/numba" in said.stderr


@pytest.mark.process
def test_the_user_is_told_that_loops_are_compiled_when_they_are(copy):
    first, second = (run_transform(copy).stderr for _ in range(2))
    assert first == "fly64dask: compiling loops for this processor, which takes about 15 s\n"
    assert second == ""


@pytest.mark.process
def test_no_code_is_taken_from_a_folder_of_another_user(copy, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("giving a folder to another user needs a privileged one")
    kept = tmp_path / "kept"
    kept.mkdir()
    assert transform(copy, NUMBA_CACHE_DIR=str(kept)) == "True 0"
    os.chown(kept, 12345, -1)
    assert transform(copy, NUMBA_CACHE_DIR=str(kept)) == "True 0"
    assert transform(copy, NUMBA_CACHE_DIR=str(kept)) == "True 1"
    assert len(list(compiled_of(copy).glob("__pycache__/fly64dask*"))) == 1


def test_the_sources_of_compiled_code_are_all_that_its_modules_import_of_this_package():
    imported = {
        Path(PACKAGE.parent, *node.module.split(".")).with_suffix(".py")
        for path in HERE.glob("*.py")
        if path.name != "kernel_folder.py"  # compiles nothing into a function
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGE.name)
    }
    assert imported <= set(SOURCES)
    assert set(HERE.glob("*.py")) <= set(SOURCES)
