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
def test_numcodecs_has_a_lock_between_threads_only_if_it_is_of_a_tested_version_and_uses_it(disturbance, expected):
    code = f"""
import numcodecs, numcodecs.blosc, threading
{disturbance}
import fly64dask.store.group_writer
print(isinstance(numcodecs.blosc._MUTEX, type(threading.Lock())))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected
