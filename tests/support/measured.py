"""A small measured scan as `fly64dask ingest` stores one, made of counts that a test gives, and a study of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tiny import TEXT

from fly64dask.store import (
    ArraySource,
    ExposureAttributes,
    counts_array,
    mask_array,
    positions_array,
    probe_array,
    write_group,
)
from fly64dask.study import Study, parse_study


def write_scan(
    store: Path,
    counts: NDArray[Any],
    valid_pixels: NDArray[np.bool_] | None = None,
    further: Sequence[ArraySource] = (),
    *,
    positions: NDArray[np.float64] | None = None,
    probe: NDArray[np.complex64] | None = None,
) -> None:
    """Write counts (n, H, W) and what is given; by default at random positions of 40 x 40 px, with an even probe."""
    store.mkdir()
    mean = float(counts.sum(dtype=np.float64) / len(counts))
    attributes = ExposureAttributes(
        created_at="",
        software={},
        source_digest="",
        source={},
        dose_photons=mean,
        mean_counts_photons=mean,
        brightest_count_photons=int(counts.max()),
        n_exposures=len(counts),
    )
    if probe is None:
        probe = np.ones((1, 1, *counts.shape[1:]), np.complex64)
    if positions is None:
        positions = np.random.default_rng(1).uniform(10, 50, (len(counts), 2))
    arrays = [counts_array(counts.shape, counts.dtype, [counts]), positions_array(positions), probe_array(probe)]
    arrays += [*([] if valid_pixels is None else [mask_array(valid_pixels)]), *further]
    write_group(store, attributes, arrays)


def measured_study(store: Path, doses: str, *lines: str) -> Study:
    """The tiny study of a measured scan, with other doses and more lines at its top."""
    text = TEXT[: TEXT.index("[source]")].replace("[1e4, 1e5]", "\n".join((doses, *lines)))
    return parse_study(f'{text}\n[source]\nkind = "measured"\npath = "{store}"', origin="measured.toml")
