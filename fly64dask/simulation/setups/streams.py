"""The random streams of a setup's errors, each apart from those of photons and positions."""

from __future__ import annotations

import numpy as np


def setup_stream(seed: int, *words: str) -> np.random.Generator:
    """Make the random generator of one error of a setup.

    Parameters
    ----------
    seed : int
        The study's seed of the simulation.
    *words : str
        What is drawn, and of what; streams of other words are independent (`SeedSequence` mixes their letters).
        The values of the setup are not among them, so that twice the jitter moves each exposure twice as far.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple("/".join(("setup", *words)).encode())))
