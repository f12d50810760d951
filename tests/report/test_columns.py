"""Rows as columns, CSV and Parquet; pictures within a page's budget."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pyarrow.parquet
import pytest

from fly64dask.report.cells import CellView, Image
from fly64dask.report.columns import csv_bytes, mapped_numbers, parquet_bytes
from fly64dask.report.page import PictureStore
from fly64dask.report.pictures import Scale


def test_parquet_takes_doses_that_are_numbers_and_words():
    read = pyarrow.parquet.read_table(
        io.BytesIO(parquet_bytes([{"dose": 1e3}, {"dose": "measured", "n": 1}, {"n": 0.5}]))
    )
    assert read.to_pydict() == {"dose": ["1000.0", "measured", None], "n": [None, 1.0, 0.5]}


def test_csv_quotes_what_would_end_a_field():
    read = list(csv.reader(io.StringIO(csv_bytes([{"error": 'a,"b"\nc'}]).decode())))
    assert read == [["error"], ['a,"b"\nc']]


def test_mapped_numbers_take_every_number_of_a_records_own_records():
    flat = {"metrics.new.depth_px": 2.5, "metrics.fine": True, "metrics.word": "no", "half_sets.n": 3, "attempt": 1}
    assert mapped_numbers(flat) == {"metrics.new.depth_px": 2.5, "half_sets.n": 3}


def noise_view(seed: int, side: int) -> CellView:
    """Eight images that no compression makes smaller."""
    rng = np.random.default_rng(seed)
    scale = Scale(low=0, high=1, colours="viridis", unit="")
    keys = (
        "phase",
        "phase_truth",
        "phase_difference",
        "amplitude",
        "amplitude_truth",
        "amplitude_difference",
        "light",
        "probe_phase",
    )
    return CellView(
        images=tuple(
            Image(key=key, values=rng.uniform(size=(side, side)), scale=scale, origin_px=(0, 0)) for key in keys
        ),
        positions_px=rng.uniform(0, side, (500, 2)),
    )


@pytest.mark.parametrize(
    ("n_cells", "budget_bytes"), [(2, 10_000_000), (2, 40_000), (20, 400_000), (20, 4_000), (3, 0)]
)
def test_picture_store_keeps_to_its_budget_whatever_the_cells_hold(n_cells, budget_bytes):
    store = PictureStore(n_cells=n_cells, budget_bytes=budget_bytes)
    added = [store.add_cell(noise_view(seed, side=150)) for seed in range(n_cells)]
    assert sum(map(len, store.images)) + len(json.dumps(store.scans)) <= budget_bytes + n_cells * 120
    for cell in added:
        assert len(cell["pictures"]) + len(cell["left_out"]) == 8


def test_picture_store_draws_all_pictures_whole_where_there_is_room():
    added = PictureStore(n_cells=1).add_cell(noise_view(0, side=150))
    assert [picture["block_px"] for picture in added["pictures"]] == [1] * 8


def test_picture_store_gives_up_phases_last():
    added = PictureStore(n_cells=1, budget_bytes=9_000).add_cell(noise_view(0, side=150))
    assert "probe_phase" in added["left_out"]
    assert "phase" in {picture["key"] for picture in added["pictures"]}


def test_picture_store_keeps_equal_pictures_once():
    store = PictureStore(n_cells=2)
    first, second = store.add_cell(noise_view(0, 40)), store.add_cell(noise_view(0, 40))
    assert len(store.images) == 8
    assert first == second
