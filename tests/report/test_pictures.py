"""Pictures read back by another library's reader show the values they were made from, within a page's budget."""

from __future__ import annotations

import io
from typing import get_args

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given, strategies as st
from matplotlib import colormaps

from fly64dask.report.cells import CellArrays
from fly64dask.report.content import ColourMap, Scale
from fly64dask.report.images import Image
from fly64dask.report.pictures import PictureStore, hex_colours, palette_png, shrink

SCALE = Scale(low=-1.0, high=3.0, colours="viridis", unit="rad")


def pixels(png: bytes) -> np.ndarray:
    """(y, x, 4) float in [0, 1], by matplotlib's reader."""
    return matplotlib.image.imread(io.BytesIO(png), format="png")


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_palette_png_shows_each_value_in_its_colour(height, width, seed):
    values = np.random.default_rng(seed).uniform(-1, 3, (height, width))
    shown = pixels(palette_png(values, SCALE))
    # 255 steps: half of one is 0.002 of the scale, over which viridis changes by less than 0.02.
    np.testing.assert_allclose(shown, colormaps["viridis"]((values + 1) / 4), atol=0.02)


def test_palette_png_gives_what_lies_beyond_the_scale_the_colours_of_its_ends():
    shown = pixels(palette_png(np.array([[-50.0, -1.0, 3.0, 50.0]]), SCALE))
    np.testing.assert_array_equal(shown[0, 0], shown[0, 1])
    np.testing.assert_array_equal(shown[0, 3], shown[0, 2])
    assert not np.array_equal(shown[0, 0], shown[0, 3])


def test_palette_png_is_transparent_where_there_is_no_value():
    shown = pixels(palette_png(np.array([[0.0, np.nan, np.inf]]), SCALE))
    np.testing.assert_array_equal(shown[0, :, 3], [1, 0, 0])


def test_hex_colours_begin_and_end_with_those_of_the_map():
    found = hex_colours("cividis", 5)
    ends = ["#" + "".join(f"{round(255 * c):02x}" for c in colormaps["cividis"](at)[:3]) for at in (0.0, 1.0)]
    assert (len(found), [found[0], found[-1]]) == (5, ends)


@pytest.mark.parametrize("name", get_args(ColourMap))
def test_hex_colours_are_those_of_matplotlibs_map(name):
    expected = [
        tuple(round(255 * channel) for channel in colour[:3]) for colour in colormaps[name](np.linspace(0, 1, 64))
    ]
    assert [tuple(bytes.fromhex(colour[1:])) for colour in hex_colours(name, 64)] == expected


def test_shrink_averages_square_blocks_and_leaves_out_what_is_not_known():
    values = np.array([[1.0, 3.0, 5.0], [1.0, 3.0, np.nan], [7.0, np.nan, np.nan]])
    np.testing.assert_array_equal(shrink(values, 2), [[2.0, 5.0], [7.0, np.nan]])


def test_shrink_averages_angles_on_the_circle():
    values = np.array([[3.1, -3.1], [3.1, -3.1]])
    assert abs(shrink(values, 1, cyclic=True)[0, 0]) == pytest.approx(np.pi)


def test_shrink_leaves_small_images_as_they_are():
    values = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(shrink(values, 3), values)


def noise_cell(seed: int, side: int) -> CellArrays:
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
        "illumination",
        "probe_phase",
    )
    return CellArrays(
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
    added = [store.add_cell(noise_cell(seed, side=150)) for seed in range(n_cells)]
    assert (
        sum(map(len, store.images)) + sum(len(scan.model_dump_json()) for scan in store.scans.values())
        <= budget_bytes + n_cells * 120
    )
    for cell in added:
        assert len(cell.pictures) + len(cell.left_out) == 8


def test_picture_store_draws_all_pictures_whole_where_there_is_room():
    added = PictureStore(n_cells=1).add_cell(noise_cell(0, side=150))
    assert [picture.block_px for picture in added.pictures] == [1] * 8


def test_picture_store_gives_up_phases_last():
    added = PictureStore(n_cells=1, budget_bytes=9_000).add_cell(noise_cell(0, side=150))
    assert "probe_phase" in added.left_out
    assert "phase" in {picture.key for picture in added.pictures}


def test_picture_store_keeps_equal_pictures_once():
    store = PictureStore(n_cells=2)
    first, second = store.add_cell(noise_cell(0, 40)), store.add_cell(noise_cell(0, 40))
    assert len(store.images) == 8
    assert first == second
