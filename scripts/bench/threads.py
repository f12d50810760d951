"""One big cell alone: an epoch on one thread against several, in turns.

Run it from the repository:

    python scripts/bench/threads.py [--threads 2] [--rounds 3] [--json FILE]

A worker computes on one thread by default; another number gives other last digits. This shows
what `threads` gains when a single cell is left and other cores have nothing to do. Wall time of an epoch, least of
all epochs of all rounds; the difference is that of the results.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from engine import expose, plain_recipe
from measuring import as_worker, machine, rows_table, tell

from fly64dask.reconstruction import Exposures, Reconstruction
from fly64dask.reconstruction.lsqml import reconstruct
from fly64dask.study import Recipe

# Exposures and side of a pattern.
CASES = ((322, 64), (1000, 64), (322, 128))


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    as_worker()
    recipe = plain_recipe().model_copy(update={"n_epochs": arguments.epochs})
    facts, rows = machine(), []
    for n, side in CASES:
        exposures = expose(n, side)
        seconds: dict[int, list[float]] = {1: [], arguments.threads: []}
        results: dict[int, Reconstruction] = {}
        for _ in range(arguments.rounds):
            for n_threads, found in seconds.items():
                epochs, results[n_threads] = run(exposures, recipe, n_threads)
                found += epochs
        one, several = (min(found) for found in seconds.values())
        apart = float(np.abs(results[1].object_recon - results[arguments.threads].object_recon).max())
        case = {"exposures": n, "side_px": side, "threads": arguments.threads}
        rows.append(case | {"one_s": one, "several_s": several, "ratio": one / several, "difference": apart})
    tell(facts, {"rows": rows}, rows_table(rows), [], arguments.json)


def run(exposures: Exposures, recipe: Recipe, n_threads: int) -> tuple[list[float], Reconstruction]:
    """Reconstruct; wall time of each epoch but the first."""
    stamps: list[float] = []

    threaded = recipe.model_copy(update={"threads": n_threads})
    result = reconstruct(exposures, threaded, seed=123, progress=lambda *_: stamps.append(time.perf_counter()))
    return np.diff(stamps).tolist(), result


if __name__ == "__main__":
    main()
