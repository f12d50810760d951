"""What a study's source gives: the object of a simulated one is made when it is asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from fly64dask.datasets import read_inputs
from fly64dask.simulation import synthetic_pair
from fly64dask.study import Study

DEMO = Path(__file__).resolve().parents[2] / "data" / "demo.toml"


def test_inputs_give_the_pair_of_the_study_with_the_probe_that_is_there_before():
    inputs = read_inputs(Study.from_toml(DEMO))
    expected = synthetic_pair((232, 232), (64, 64), seed=7, kind="photographs")
    assert inputs.pair is not None
    np.testing.assert_array_equal(inputs.pair.object_truth, expected.object_truth)
    np.testing.assert_array_equal(inputs.probe_guess[0, 0], inputs.pair.probe)


def test_inputs_are_read_without_making_the_object():
    code = f"""
import sys
from fly64dask.datasets import read_inputs
from fly64dask.study import Study
inputs = read_inputs(Study.from_toml({str(DEMO)!r}))
assert inputs.is_simulated
assert "skimage" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
