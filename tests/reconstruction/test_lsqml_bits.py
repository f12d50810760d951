"""The same seeds give the same bits, wherever arrays lie in memory and on any one number of threads."""

from __future__ import annotations

import numpy as np
import pytest
from shifted_memory import LINE_BYTES, arrays_beginning_at

from fly64dask.reconstruction import Exposures
from fly64dask.reconstruction.lsqml import reconstruct
from fly64dask.simulation import intensity_batches, synthetic_pair
from fly64dask.study import Recipe

RECIPE = Recipe(n_epochs=4, batch_size=16, device="cpu")
NONE = b""
# The compiled steps, those on torch, pty-chi's own; the lengths of rows and minibatches leave a rest in every vector.
WAYS = {
    "gaussian": {},
    "poisson, the epoch of two halves": {"noise_model": "poisson", "stop": "half_sets", "halves": "counts"},
    "two modes, masked": {"probe_modes": 2},
    "refined positions": {"refine_positions": True},
    "two OPR modes: steps on torch": {"opr_modes": 2},
    "pty-chi's own": {"accelerated": False},
}


@pytest.fixture(scope="module")
def scan():
    pair = synthetic_pair((96, 96), (32, 32), seed=1)
    positions = np.random.default_rng(0).uniform(20, 76, (43, 2))
    (intensity,) = intensity_batches(pair, positions, batch=43)
    counts = np.random.default_rng(4).poisson(intensity * 1e3 / intensity.sum(axis=(1, 2)).mean())
    return {"counts": counts.astype(np.uint16), "positions": positions, "probe": pair.probe[None, None]}


def bits(scan, name, **changes):
    """What a recipe gives of the scan, whose arrays are new ones."""
    masked = "masked" in name
    valid = np.arange(27) % 7 > 0 if masked else np.ones(27, bool)
    exposures = Exposures(
        counts=scan["counts"][:, :, :27] * valid,
        positions_px=scan["positions"].copy(),
        probe_guess=scan["probe"][..., :27].copy(),
        valid_pixels=np.broadcast_to(valid, (32, 27)).copy() if masked else None,
    )
    recipe = RECIPE.model_copy(update=WAYS[name] | changes)
    found = reconstruct(exposures, recipe, seed=7, progress=lambda *_: None)
    arrays = found.object_recon, found.probe_recon, found.loss, found.half_objects, found.positions_px
    return found.acceleration, [NONE if array is None else array.tobytes() for array in arrays]


@pytest.mark.parametrize("name", WAYS)
def test_reconstruct_gives_the_same_bits_wherever_arrays_lie(scan, name):
    found = []
    for offset_bytes in (0, 16, 48):
        with arrays_beginning_at(offset_bytes):
            assert np.empty(1000).ctypes.data % LINE_BYTES == offset_bytes
            found.append(bits(scan, name))
    assert all(one == found[0] for one in found)


@pytest.mark.parametrize("name", ["gaussian", "poisson, the epoch of two halves"])
def test_reconstruct_on_two_threads_gives_the_same_bits_again(scan, name):
    first, second = (bits(scan, name, threads=2, batch_size=40) for _ in range(2))
    assert first == second
