"""Sources of simulated exposures: what is refused before anything is made."""

from __future__ import annotations

import pytest
from tiny import TEXT

from fly64dask.base import InputError
from fly64dask.study import Study, parse_study, two_sides_nm


def test_an_object_that_is_too_fine_for_memory_is_refused_with_its_size():
    text = TEXT.replace("object_shape_px = [72, 72]", "object_shape_px = [16384, 8192]\noversampling = 4")
    with pytest.raises(InputError, match="65536 x 32768, more than 268435456 px"):
        parse_study(text, origin="tiny.toml")


def test_the_same_object_is_taken_on_the_detectors_own_grid():
    text = TEXT.replace("object_shape_px = [72, 72]", "object_shape_px = [16384, 8192]")
    assert parse_study(text, origin="tiny.toml").source.object_shape_px == (16384, 8192)


@pytest.mark.parametrize(("written", "sides"), [("8.4", (8.4, 8.4)), ("[8.4, 9.0]", (8.4, 9.0))])
def test_a_pixel_has_one_side_or_two(written, sides):
    text = TEXT.replace('kind = "synthetic"', f'kind = "synthetic"\npixel_size_nm = {written}')
    assert two_sides_nm(parse_study(text, origin="x.toml").source.pixel_size_nm) == sides


def test_a_study_file_may_begin_with_a_byte_order_mark(tmp_path):
    marked = tmp_path / "tiny.toml"
    marked.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert Study.from_toml(marked) == parse_study(TEXT, origin="tiny.toml")
