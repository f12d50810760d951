"""Starting probe and weights of its OPR modes become those that a task begins with: as many modes, at the data's scale.

OPR: orthogonal probe relaxation, a probe that changes from exposure to exposure as a sum of few modes; M. Odstrcil et
al., Optics Express 24, 8360 (2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from ptychi.maths import get_use_double_precision_for_fft, set_use_double_precision_for_fft
from ptychi.utils import orthogonalize_initial_probe, rescale_probe

from fly64dask.base import InputError
from fly64dask.scan import in_held_unit, total_intensity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.reconstruction.interface import Exposures
    from fly64dask.study import Recipe

# pty-chi 2.2.0, generate_initial_opr_mode_weights: how strong the further OPR modes begin, beside 1 of the first.
FIRST_WEIGHTS = 1e-6
OPR_KEY = 3  # a stream of the study's grouping seed beside those of half sets and held-out photons
# Less than this share of the probe's light is none: single precision leaves as much where there is nothing.
NO_LIGHT = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class StartingProbe:
    """The probe that a task begins with.

    `probe` is (n_opr, n_modes, H, W) complex64 in pty-chi's units; `opr_weights` (n, n_opr) float32 are the weights of
    its OPR modes in each exposure, None of one mode.
    """

    probe: NDArray[np.complex64]
    opr_weights: NDArray[np.float32] | None


def starting_probe(
    exposures: Exposures,
    counts: NDArray[np.float32],
    valid_pixels: NDArray[np.bool_] | None,
    recipe: Recipe,
    *,
    n_opr: int,
    seed: int = 0,
) -> StartingProbe:
    """Make a probe of as many modes as wanted at the scale of the counts.

    `counts` (n, H, W) and `valid_pixels` (H, W) have the zero frequency at the corner. `seed` is that of OPR modes that
    the starting probe does not have, and of weights that the exposures do not have.
    """
    # pty-chi sums powers in single precision, where that of a probe in a far-off unit is 0 or infinite.
    guess = in_held_unit(exposures.probe_guess[:n_opr], float(counts.sum(dtype=np.float64) / len(counts)))
    probe = _scaled(_with_modes(guess, recipe.probe_modes), counts)
    if valid_pixels is not None:
        probe = probe / np.sqrt(_share_on(valid_pixels, probe))
    if n_opr == 1:
        return StartingProbe(probe=probe, opr_weights=None)
    return _with_opr_modes(probe, exposures.opr_weights, n_opr, len(counts), seed)


def _scaled(probe: NDArray[np.complex64], counts: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Scale a probe to counts, to the same bits whatever the process has built before.

    The first task of a process leaves behind how precisely pty-chi transforms, and on which device: both are
    put back to what a new process has, for this one transform.
    """
    before = get_use_double_precision_for_fft()
    set_use_double_precision_for_fft(True)
    try:
        with torch.device("cpu"):
            return np.asarray(rescale_probe(probe, counts))
    finally:
        set_use_double_precision_for_fft(before)


def _share_on(valid_pixels: NDArray[np.bool_], probe: NDArray[np.complex64]) -> np.float32:
    """Compute the share of a probe's far field that falls on valid pixels: pty-chi scales it as if all of it did."""
    far_field = total_intensity(np.fft.fft2(probe[0]))
    share = np.float32(far_field[valid_pixels].sum() / far_field.sum())
    if not share > NO_LIGHT:
        raise InputError(
            f"the starting probe has no light on the {int(valid_pixels.sum())} valid pixels of the detector",
            remedy="check which value of the mask is good, and the starting probe",
        )
    return share


def _with_modes(probe: NDArray[np.complex64], n_modes: int | None) -> NDArray[np.complex64]:
    """Give a probe (n_opr, n_modes, H, W) so many mutually incoherent modes.

    If it has another number they are made of its first: orthogonal ones of Hermite polynomials, with 2 % of its power
    each (pty-chi's `orthogonalize_initial_probe`).
    """
    if n_modes is None or n_modes == probe.shape[1]:
        return probe
    modes = torch.zeros((len(probe), n_modes, *probe.shape[2:]), dtype=torch.complex64)
    modes[:, 0] = torch.from_numpy(probe[:, 0])
    return np.asarray(orthogonalize_initial_probe(modes))


def _with_opr_modes(
    probe: NDArray[np.complex64], weights: NDArray[np.float32] | None, n_opr: int, n_exposures: int, seed: int
) -> StartingProbe:
    """Give a probe so many OPR modes, and their weights.

    pty-chi brings each mode after the first to a mean square of 1 when it starts: here that is done before, and given
    weights are changed with it. Modes that are missing are random waves, as pty-chi makes them; weights are random and
    small, as LSQML divides by them.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(OPR_KEY,)))
    missing = n_opr - len(probe)
    waves = rng.normal(size=(2, missing, *probe.shape[1:])) / np.sqrt(2)
    whole = np.concatenate([probe, (waves[0] + 1j * waves[1]).astype(np.complex64)])
    opr_weights = np.concatenate(
        [np.ones((n_exposures, 1)), FIRST_WEIGHTS * rng.normal(size=(n_exposures, n_opr - 1))], axis=1
    )
    rms = np.sqrt(np.mean(np.abs(whole[1:]) ** 2, axis=(-2, -1), keepdims=True))
    whole[1:] /= np.where(rms > 0, rms, 1)
    if weights is not None and weights.shape[1] >= len(probe):
        opr_weights[:, : len(probe)] = weights[:, : len(probe)]
        opr_weights[:, 1 : len(probe)] *= rms[: len(probe) - 1, 0, 0, 0]
    return StartingProbe(probe=whole, opr_weights=opr_weights.astype(np.float32))
