"""Pictures read back by another library's reader show the values they were made from."""

from __future__ import annotations

import io

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given, strategies as st
from matplotlib import colormaps

from fly64dask.report.pictures import Scale, hex_colours, palette_png, shrink

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


def test_shrink_averages_square_blocks_and_leaves_out_what_is_not_known():
    values = np.array([[1.0, 3.0, 5.0], [1.0, 3.0, np.nan], [7.0, np.nan, np.nan]])
    np.testing.assert_array_equal(shrink(values, 2), [[2.0, 5.0], [7.0, np.nan]])


def test_shrink_averages_angles_on_the_circle():
    values = np.array([[3.1, -3.1], [3.1, -3.1]])
    assert abs(shrink(values, 1, cyclic=True)[0, 0]) == pytest.approx(np.pi)


def test_shrink_leaves_small_images_as_they_are():
    values = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(shrink(values, 3), values)
