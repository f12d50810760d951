"""Compression takes a lock between threads, which a killed process does not leave behind, or numcodecs' own."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("disturbance", "expected"),
    [
        ("", "True"),
        ("numcodecs.__version__ = '9.9.0'", "False"),
        ("numcodecs.blosc.get_mutex = lambda: None", "False"),
    ],
    ids=["tested version", "untested version", "a lock kept elsewhere"],
)
def test_numcodecs_has_a_lock_between_threads_only_if_tested_and_used(disturbance, expected, tmp_path):
    code = f"""
import numcodecs, numcodecs.blosc, threading
{disturbance}
import numpy as np
from pathlib import Path
from fly64dask.store import whole_array, write_arrays
assert numcodecs.blosc._MUTEX is None  # to import the package changes nothing
write_arrays(Path({str(tmp_path / "group")!r}), [whole_array("values", np.arange(3), dims=("place",))])
print(isinstance(numcodecs.blosc._MUTEX, type(threading.Lock())))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
