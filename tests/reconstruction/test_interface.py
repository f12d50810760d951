"""What is refused before the engine, and where the object's array lies."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from fly64dask.base import DegenerateScanError, InputError
from fly64dask.reconstruction import refuse_dark
from fly64dask.scan import object_frame, refuse_degenerate

COORDINATES = st.floats(-500, 500)


@pytest.mark.parametrize(
    "positions",
    [
        [[10.0, 10.0]],
        [[10.0, 10.0], [10.0, 90.0]],
        [[10.0, 10.0], [90.0, 10.0], [50.0, 10.0]],
        [[10.0, 10.0], [10.9, 90.0]],
    ],
)
def test_refuse_degenerate_refuses_a_span_below_one_pixel(positions):
    with pytest.raises(DegenerateScanError) as caught:
        refuse_degenerate(np.array(positions), n_exposures=8, rule="at >= 102.4 px")
    assert f"kept {len(positions)} of 8 exposures at >= 102.4 px" in str(caught.value)


def test_refuse_degenerate_takes_a_span_of_one_pixel_and_nothing_below():
    positions = np.array([[10.0, 10.0], [11.0, 11.0]])
    refuse_degenerate(positions, n_exposures=2, rule="")
    with pytest.raises(DegenerateScanError):
        refuse_degenerate(positions - [[0, 0], [0, 1e-9]], n_exposures=2, rule="")


def test_refuse_degenerate_needs_no_engine():
    # Importing pty-chi takes seconds; the refusal must come before.
    program = (
        "import sys, numpy as np\n"
        "from fly64dask.base.errors import DegenerateScanError\n"
        "import fly64dask.reconstruction.interface\n"
        "from fly64dask.scan import refuse_degenerate\n"
        "try:\n    refuse_degenerate(np.zeros((9, 2)), n_exposures=9, rule='')\n"
        "except DegenerateScanError:\n    print('torch' in sys.modules, 'ptychi' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False"]


def test_refuse_dark_takes_expected_counts_below_one_photon():
    refuse_dark(np.full((2, 8, 8), 1e-3, np.float32))


def test_refuse_dark_refuses_exposures_without_a_photon():
    with pytest.raises(InputError, match="0 photons"):
        refuse_dark(np.zeros((3, 8, 8), dtype=np.uint16))


@given(arrays(np.float64, st.tuples(st.integers(1, 20), st.just(2)), elements=COORDINATES))
def test_object_frame_is_even_and_holds_every_patch(positions):
    (height, width), (top, left) = object_frame(positions, (32, 48))
    assert (height % 2, width % 2) == (0, 0)
    low, high = np.subtract(positions, (16, 24)), np.add(positions, (16, 24))
    assert (low >= (top, left)).all()
    assert (high <= (top + height, left + width)).all()
