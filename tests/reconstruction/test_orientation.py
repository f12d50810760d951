"""A scan is tried in each orientation of its axes, and the one that its patterns fit is named."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fly64dask.reconstruction import Exposures, Reconstruction, advise, middle_exposures, try_orientations
from fly64dask.reconstruction.lsqml import reconstruct
from fly64dask.reconstruction.orientation import Orientation, Trial, turned
from fly64dask.simulation import Pair, intensity_batches, phase_plate_probe
from fly64dask.study import Recipe

SIDE = 32


def simulated() -> Exposures:
    """A random object under the built-in probe, at random positions, with 1e5 photons an exposure."""
    rng = np.random.default_rng(3)
    phase = np.kron(rng.uniform(0, 1, (20, 20)), np.ones((6, 6)))
    pair = Pair(object_truth=np.exp(1j * phase).astype(np.complex64), probe=phase_plate_probe((SIDE, SIDE)))
    positions = rng.uniform(SIDE / 2 + 2, 120 - SIDE / 2 - 2, (64, 2))
    intensity = np.concatenate(list(intensity_batches(pair, positions)))
    counts = rng.poisson(1e5 * intensity / intensity.sum(axis=(1, 2)).mean()).astype(np.uint16)
    return Exposures(counts=counts, positions_px=positions, probe_guess=pair.probe[None, None])


def engine(exposures: Exposures, recipe: Recipe) -> Reconstruction:
    return reconstruct(exposures, recipe, seed=1, progress=lambda *_: None)


SWAPPED: dict[str, tuple[Any, str]] = {
    "x_and_y_of_positions": (lambda scan: replace(scan, positions_px=scan.positions_px[:, ::-1]), "--swap-xy"),
    "axes_of_patterns": (lambda scan: replace(scan, counts=scan.counts.swapaxes(1, 2).copy()), "--transpose"),
    "sign_of_x": (lambda scan: replace(scan, positions_px=scan.positions_px * [1, -1]), "--flip-x"),
}


@pytest.mark.parametrize(("disturb", "flags"), SWAPPED.values(), ids=SWAPPED)
def test_try_orientations_finds_what_is_wrong_with_the_axes(disturb: Any, flags: str) -> None:
    trials = try_orientations(disturb(simulated()), engine, n_epochs=5, device="cpu")
    assert trials[0].orientation.flags == flags
    assert "the axes are wrong" in advise(trials)


def test_patterns_that_are_not_square_are_transposed_with_their_probe_and_pixels() -> None:
    scan = Exposures(
        counts=np.arange(24.0).reshape(1, 4, 6).astype(np.uint16),
        positions_px=np.array([[10.0, 20.0]]),
        probe_guess=np.arange(24).reshape(1, 1, 4, 6).astype(np.complex64),
    )
    found = turned(scan, Orientation(transpose=True), pixel_nm=(6.0, 4.0))  # now of 4 x 6 nm
    np.testing.assert_array_equal(found.counts[0], scan.counts[0].T)
    np.testing.assert_array_equal(found.probe_guess[0, 0], scan.probe_guess[0, 0].T)
    np.testing.assert_allclose(found.positions_px, [[15.0, 20 * 4 / 6]])
    swapped = turned(scan, Orientation(swap_xy=True), pixel_nm=(6.0, 4.0))
    np.testing.assert_allclose(swapped.positions_px * [6.0, 4.0], [[80.0, 60.0]])  # nm


def fits(wanted_px: np.ndarray) -> Any:
    """An engine whose loss is the distance from the positions that fit."""

    def run(exposures: Exposures, _: Recipe) -> Any:
        loss = 1.0 + float(np.abs(exposures.positions_px - wanted_px).mean())
        return type("Found", (), {"loss": np.array([loss])})()

    return run


def lopsided() -> Exposures:
    """The simulated scan under a probe that is brighter on one side, with a defocus: no turn leaves it as it is."""
    scan = simulated()
    y, x = np.indices((SIDE, SIDE)) - SIDE // 2
    probe = scan.probe_guess[0, 0] * (1 + 0.8 * np.tanh(y / 3)) * np.exp(0.15j * x)
    rng = np.random.default_rng(4)
    phase = np.kron(rng.uniform(0, 1, (20, 20)), np.ones((6, 6)))
    corners = (scan.positions_px.astype(int) - SIDE // 2).tolist()
    waves = np.stack([probe * np.exp(1j * phase[top : top + SIDE, left : left + SIDE]) for top, left in corners])
    intensity = np.abs(np.fft.fftshift(np.fft.fft2(waves), axes=(1, 2))) ** 2
    counts = rng.poisson(1e5 * intensity / intensity.sum(axis=(1, 2)).mean()).astype(np.uint16)
    positions = np.add(corners, SIDE / 2)
    return replace(scan, counts=counts, positions_px=positions, probe_guess=probe[None, None].astype(np.complex64))


def test_advise_names_the_negation_of_both_axes_that_the_starting_probe_fits() -> None:
    scan = lopsided()
    trials = try_orientations(replace(scan, positions_px=-scan.positions_px), engine, n_epochs=5, device="cpu")
    assert trials[0].orientation.flags == "--flip-y --flip-x"
    advice = advise(trials)
    assert advice.startswith("the axes are right, or both are negated: loss ")
    assert "with --flip-y --flip-x." in advice


def test_advise_keeps_axes_where_the_starting_probe_fits() -> None:
    assert "the axes are right as they are" in advise(try_orientations(lopsided(), engine, n_epochs=5, device="cpu"))


def test_advise_keeps_axes_when_the_negation_of_both_fits_as_well() -> None:
    trials = [Trial(orientation=Orientation(flip_y=flip, flip_x=flip), loss=1.0 - flip / 100) for flip in (True, False)]
    assert "the axes are right as they are" in advise(trials)


def test_try_orientations_tells_each_trial() -> None:
    scan = simulated()
    told: list[str] = []
    try_orientations(scan, fits(scan.positions_px), notify=lambda trial: told.append(trial.orientation.flags))
    assert len(told) == len(set(told)) == 8


def test_middle_exposures_are_those_nearest_to_the_middle() -> None:
    raster = np.stack(np.divmod(np.arange(25), 5), axis=1).astype(float)
    assert middle_exposures(raster, 5).tolist() == [7, 11, 12, 13, 17]


def test_middle_exposures_are_all_of_a_small_scan() -> None:
    assert middle_exposures(np.zeros((3, 2)), 10).tolist() == [0, 1, 2]
