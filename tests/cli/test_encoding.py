"""What is printed where the terminal, the pipe or the disk behind it cannot take it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest
from finished_runs import SIX_CELLS
from rich.console import Console

from fly64dask.cli.terminal import RunDisplay
from fly64dask.monitoring import CellOutcome
from fly64dask.store import RunLayout
from fly64dask.study import cells

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
    remedy = "make space where the output goes, or print elsewhere"
    assert done.stderr.decode() == f"fly64dask: print: No space left on device; {remedy}\n"


def test_a_run_goes_on_when_its_log_is_on_a_full_disk():
    outcome = CellOutcome(cell=cells(SIX_CELLS)[0], failure=None, seconds=1.0)
    with Path("/dev/full").open("w") as full, RunDisplay(Console(file=full), 1) as display:
        display.say("dashboard")
        display.show(outcome)
        with contextlib.suppress(OSError):
            full.close()  # what is left of the lines in its buffer
