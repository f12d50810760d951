"""Damaged files of other programs are read or refused: nothing else comes of any bytes."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from pathlib import Path

import foreign_scans as foreign
import numpy as np
import pytest
from foreign_scans import LAYOUTS, Scan
from hypothesis import given, settings, strategies as st

from fly64dask.base import InputError
from fly64dask.datasets.formats import ReadOptions, read_scan_file

RNG = np.random.default_rng(1)
SCAN = Scan(
    counts=RNG.poisson(5.0, (6, 8, 10)).astype(np.uint16),
    positions_m=RNG.uniform(0, 1e-6, (6, 2)),
    probe=np.ones((8, 10), np.complex64),
)
# The same edits at each run: HDF5 is C code, and what it does with bytes nobody has tried is not ours to find out.
edits = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4)


@pytest.mark.parametrize("layout", ["cxi", "ptylab_matlab5", "ptylab_matlab5_compressed", "ptylab_matlab73"])
@given(edits=edits)
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
def test_a_damaged_file_is_read_or_refused(layout: str, edits: list[tuple[float, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, options = LAYOUTS[layout](Path(folder), SCAN)
        content = bytearray(path.read_bytes())
        for place, value in edits:
            content[int(place**2 * len(content))] = value  # most of them in the headers
        path.write_bytes(content)
        with suppress(InputError):
            patterns = read_scan_file(path, ReadOptions(**options)).patterns
            assert patterns.read(0, 6).shape == patterns.shape


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("layout", ["cxi", "ptylab_matlab5", "ptylab_matlab73", "ptychodus_npz"])
def test_a_file_that_is_cut_is_refused(tmp_path: Path, layout: str, keep: float) -> None:
    path, options = LAYOUTS[layout](tmp_path, SCAN)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(InputError, match=path.name):
        read_scan_file(path, ReadOptions(**options)).patterns.read(0, 6)


def test_a_merlin_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    path = foreign.write_mib(tmp_path / "scan.mib", SCAN.counts)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match="it is cut"):
        read_scan_file(path, ReadOptions(raster=(2, 3), raster_step_nm=1.0))
