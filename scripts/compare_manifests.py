"""Compare the numbers of two runs of one study, cell by cell, by their manifests.

    python scripts/compare_manifests.py BEFORE/reconstruction_manifest.json AFTER/reconstruction_manifest.json
    python scripts/compare_manifests.py --bits BEFORE/reconstruction_manifest.json AFTER/reconstruction_manifest.json

Every number, text and flag of a cell's row is compared under its name. Left out are
times, digests, keys, paths and hosts, which differ between two runs of the same code; a name that only
one of them has is listed, and is no failure. The exit code is 1 if any value differs by more than `--tolerance`,
relative to the larger of the two, or if a cell is missing. With `--bits` nothing may differ, and the digests of all
arrays are compared too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# What tells the rows of a manifest apart; the last two are absent where a study has one recipe, or one object.
PLACE = ("dose", "view", "split", "repeat", "recipe_name", "object_seed")
DIFFERS_BETWEEN_RUNS = (
    "seconds",
    "_at",
    "sha256",
    "digests",
    "key",
    "host",
    "worker",
    "path",
    "log",
    "commit",
    "bytes",
    "snapshot",
)


def main() -> None:
    """Print what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--tolerance", type=float, default=1e-6, help="relative [default: 1e-6]")
    parser.add_argument("--bits", action="store_true", help="every bit of every array, instead of a tolerance")
    arguments = parser.parse_args()
    tolerance = 0.0 if arguments.bits else arguments.tolerance
    left_out = tuple(mark for mark in DIFFERS_BETWEEN_RUNS if not (arguments.bits and mark == "digests"))
    before, after = (rows_by_cell(path, left_out) for path in (arguments.before, arguments.after))
    differences = [f"{cell}: only in one of the runs" for cell in before.keys() ^ after.keys()]
    only_in_one: set[str] = set()
    n_compared, largest = 0, 0.0
    for cell in before.keys() & after.keys():
        only_in_one |= before[cell].keys() ^ after[cell].keys()
        for name in sorted(before[cell].keys() & after[cell].keys()):
            distance = relative_distance(before[cell][name], after[cell][name])
            n_compared, largest = n_compared + 1, max(largest, distance)
            if distance > tolerance:
                differences.append(f"{cell} {name}: {before[cell][name]!r} and {after[cell][name]!r}")
    print(f"{len(before.keys() & after.keys())} cells, {n_compared} values, largest relative difference {largest:.2g}")
    if only_in_one:
        print(f"names that only one of the manifests has: {', '.join(sorted(only_in_one))}")
    print("\n".join(differences) or f"no difference beyond {tolerance:g}")
    sys.exit(1 if differences else 0)


def rows_by_cell(path: Path, left_out: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Read the values of each cell's row, by the cell's place in the matrix and the value's dotted name."""
    manifest = json.loads(path.read_text(encoding="utf-8"))
    return {
        "/".join(str(row.get(name, "")) for name in PLACE): dict(leaves(row, left_out))
        for row in manifest["execution_results"]
    }


def leaves(value: Any, left_out: tuple[str, ...], name: str = "") -> Iterator[tuple[str, Any]]:
    """Walk through nested records down to plain values, without names that hold one of `left_out`."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, left_out, f"{name}.{key}".lstrip("."))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from leaves(inner, left_out, f"{name}.{place}")
    elif not any(mark in name for mark in left_out):
        yield name, value


def relative_distance(first: Any, second: Any) -> float:
    """Compute |first - second| over the larger of both; 0 or infinity for what is no number."""
    if isinstance(first, int | float) and isinstance(second, int | float):
        return abs(first - second) / (max(abs(first), abs(second)) or 1.0)
    return 0.0 if first == second else float("inf")


if __name__ == "__main__":
    main()
