"""Photon counts drawn from expected intensities, and counts thinned to a lower dose."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def expose(intensity: NDArray[np.floating], scale: float, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the photon counts of a batch of exposures, (n, H, W) int64.

    Parameters
    ----------
    intensity : (n, H, W) float
        Noise-free patterns.
    scale : float
        Photons per unit of intensity; one scale serves a scan, so bright and dim exposures keep their ratio.
    rng : numpy.random.Generator
        Source of the Poisson draws; advanced. Drawing in batches gives the same counts as drawing at once.

    Notes
    -----
    Source: shot noise of an ideal counting detector; no read noise, no saturation.
    """
    return rng.poisson(intensity.astype(np.float64) * scale)


def thin(counts: NDArray[np.generic], probability: float, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """Keep each photon with a probability; (n, H, W) int64. Thinned Poisson counts are Poisson counts at the lower
    dose.

    Parameters
    ----------
    counts : (n, H, W) integer
        Photons.
    probability : float
        Dose asked for over dose measured, in (0, 1].
    rng : numpy.random.Generator
        Source of the binomial draws; advanced.
    """
    if probability == 1.0:
        return counts.astype(np.int64)
    return rng.binomial(counts.astype(np.int64), probability)


def photon_stream(
    seed: int, dose_photons: float, split: str, repeat: int = 0, object_seed: int | None = None
) -> np.random.Generator:
    """Make the random generator of one noise realisation: a dose, split, repeat and object.

    Parameters
    ----------
    seed : int
        The study's seed for this kind of noise.
    dose_photons : float
        The dose; its bits are part of the stream's key, not its place in a list, so a dose
        added to a study leaves the others' photons as they were.
    split : str
        `train` or `test`.
    repeat : int
        Number of the realisation, from 0.
    object_seed : int or None
        Seed of the object, where a study has several.

    Notes
    -----
    A repeat is one more number at the end of the stream's key, and none for the first draw, whose
    photons thus do not depend on how many there are. An object stands before it, in letters that no split has, and
    then the first draw has a number too. `SeedSequence` mixes keys so that streams of different keys are independent.
    """
    (bits,) = struct.unpack("<Q", struct.pack("<d", dose_photons))
    of_object = b"" if object_seed is None else f".object_{object_seed}.".encode()
    numbers = [repeat] if repeat or of_object else []
    key = (bits & 0xFFFFFFFF, bits >> 32, *split.encode(), *of_object, *numbers)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
