"""Selection alone: greedy on 10^4 to 10^6 positions, and against its definition in three forms, in turns.

Run it from the repository (`make bench` does, with the other benchmarks):

    python scripts/bench/selection.py [--quick] [--json FILE]

The scan is the fly64 study's: uniform positions, spacing 38.4 px; larger ones are as dense in a
larger field, so that the kept share stays. The definition takes positions in order of (y, x) and keeps
one that is far enough from all kept before: as a loop over pairs in Python that ends at the first
kept one that is near, with NumPy comparing a position with all kept ones, and with NumPy on all
n^2 distances. A time counts only if all keep the same. CPU
time of the one thread.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measuring import (
    Bar,
    as_worker,
    cpu_seconds_of,
    in_turns,
    machine,
    median_ratio,
    tell,
)
from numpy.typing import NDArray

from fly64dask.scan import keep_isolated, keep_spaced

Positions = NDArray[np.float64]
CANONICAL, SPACING_PX, FIELD_PX = 10_304, 38.4, 336.0
LARGE = (10_000, 100_000, 1_000_000)


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="times that each way does the scan [default: 5]")
    parser.add_argument("--quick", action="store_true", help="one round; no 10^6 positions")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    as_worker()
    facts = machine()
    found = measure(n_rounds=1 if arguments.quick else arguments.rounds, quick=arguments.quick)
    tell(facts, found, report(found), bars(found), arguments.json)


def measure(*, n_rounds: int, quick: bool = False) -> dict[str, Any]:
    """Time greedy selection, its definition, and large scans.

    Parameters
    ----------
    n_rounds : int
        Times that each way does the canonical scan.
    quick : bool
        Leave out the largest scan.

    Returns
    -------
    dict
        Seconds, and positions kept.
    """
    positions = scan(CANONICAL, FIELD_PX)
    ways: dict[str, Callable[[Positions, float], NDArray[np.int64]]] = {
        "greedy": keep_spaced,
        "definition, loop over pairs": keep_by_pairs,
        "definition, NumPy on kept ones": keep_by_rows,
        "definition, NumPy on all pairs": keep_by_matrix,
    }
    kept = {name: keep(positions, SPACING_PX) for name, keep in ways.items()}
    if any(not np.array_equal(one, kept["greedy"]) for one in kept.values()):
        raise SystemExit(f"the ways keep {[len(one) for one in kept.values()]} positions: no time counts")
    timed = {name: partial(cpu_seconds_of, partial(keep, positions, SPACING_PX)) for name, keep in ways.items()}
    seconds = in_turns(timed, n_rounds)
    return {
        "positions": CANONICAL,
        "kept": len(kept["greedy"]),
        "seconds": seconds,
        "large": [large(n) for n in LARGE if not (quick and n > 100_000)],
    }


def large(n_positions: int) -> dict[str, float]:
    """Time one scan as dense as the canonical one."""
    positions = scan(n_positions, FIELD_PX * math.sqrt(n_positions / CANONICAL))
    kept = keep_spaced(positions, SPACING_PX)
    return {
        "positions": n_positions,
        "kept": len(kept),
        "greedy_s": min(cpu_seconds_of(lambda: keep_spaced(positions, SPACING_PX)) for _ in range(3)),
        "direct_s": min(cpu_seconds_of(lambda: keep_isolated(positions, SPACING_PX)) for _ in range(3)),
    }


def scan(n_positions: int, field_px: float) -> Positions:
    """Draw uniform positions, (n, 2), order (y, x), px."""
    return np.random.default_rng(42).uniform(64, 64 + field_px, (n_positions, 2))


def keep_by_pairs(positions_px: Positions, threshold_px: float) -> NDArray[np.int64]:
    """Greedy as it is defined, one pair after the other."""
    points = positions_px.tolist()
    kept: list[int] = []
    for index in sorted(range(len(points)), key=points.__getitem__):
        y, x = points[index]
        if all(math.hypot(y - points[other][0], x - points[other][1]) >= threshold_px for other in kept):
            kept.append(index)
    return np.sort(np.array(kept, dtype=np.int64))


def keep_by_rows(positions_px: Positions, threshold_px: float) -> NDArray[np.int64]:
    """The same definition: the distances of each position to all kept ones in one call of NumPy."""
    order = np.lexsort((positions_px[:, 1], positions_px[:, 0]))
    kept = np.empty_like(positions_px)
    ranks: list[int] = []
    for rank, position in enumerate(positions_px[order]):
        offsets = kept[: len(ranks)] - position
        if not (np.hypot(offsets[:, 0], offsets[:, 1]) < threshold_px).any():
            kept[len(ranks)] = position
            ranks.append(rank)
    return np.sort(order[ranks])


def keep_by_matrix(positions_px: Positions, threshold_px: float) -> NDArray[np.int64]:
    """The same from all n^2 distances, a block of rows at a time, each row then looked at once."""
    order = np.lexsort((positions_px[:, 1], positions_px[:, 0]))
    y, x = positions_px[order].T
    is_kept = np.zeros(len(order), dtype=bool)
    for start in range(0, len(order), 512):
        rows = slice(start, start + 512)
        near = np.hypot(y[rows, None] - y, x[rows, None] - x) < threshold_px
        for rank, row in enumerate(near, start=start):
            is_kept[rank] = not (row[:rank] & is_kept[:rank]).any()
    return np.sort(order[is_kept])


def bars(found: dict[str, Any]) -> list[Bar]:
    """Figures that have something to reach."""
    against = [
        Bar(
            name=f"greedy at {found['positions']}: against {name}",
            value=median_ratio(found["seconds"], name, "greedy"),
            needed=50,
        )
        for name in found["seconds"]
        if name != "greedy"
    ]
    largest = found["large"][-1]
    time = Bar(name=f"greedy at {largest['positions']}", value=largest["greedy_s"], needed=10, unit="s", at_least=False)
    return [*against, time]


def report(found: dict[str, Any]) -> str:
    """The large scans as a table in Markdown."""
    rows = [
        f"| {o['positions']:.0f} | {o['kept']:.0f} | {o['greedy_s']:.3g} | {o['direct_s']:.3g} |"
        for o in found["large"]
    ]
    return "\n".join(["", "| positions | kept | greedy, s | direct, s |", "|---|---|---|---|", *rows, ""])


if __name__ == "__main__":
    main()
