"""What is printed where the terminal, the pipe or the disk behind it cannot take it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from fly64dask.store import RunLayout

pytestmark = pytest.mark.process


def printed(run: RunLayout, output: int | IO[bytes] = subprocess.PIPE, **environment: str):
    """Print the matrix of a run from a new Python, whose streams are made for its environment."""
    command = [sys.executable, "-m", "fly64dask", "status", run.root]
    return subprocess.run(
        command, stdout=output, stderr=subprocess.PIPE, env=os.environ | environment, timeout=600, check=False
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_signs_that_an_encoding_lacks_are_printed_as_plain_characters(six_cells, encoding):
    plain = printed(six_cells, PYTHONIOENCODING=encoding)
    assert (plain.returncode, plain.stderr) == (0, b"")
    lines = plain.stdout.decode(encoding)
    assert "| + n=" in lines
    assert "| x degenerate_scan" in lines
    assert "?" not in lines


def test_an_output_without_space_is_named_in_one_line(six_cells):
    with Path("/dev/full").open("wb") as full:
        done = printed(six_cells, full)
    assert done.returncode == 2
    assert done.stderr.decode() == "fly64dask: print: No space left on device\n"
