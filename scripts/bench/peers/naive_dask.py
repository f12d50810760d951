"""A folder of cells -> a folder of reconstructions, on Dask as it comes: `LocalCluster()` and `delayed`.

python naive_dask.py CELLS RECONSTRUCTIONS
"""

from __future__ import annotations

import sys
from pathlib import Path

from dask.base import compute
from dask.delayed import delayed
from distributed import Client, LocalCluster


def reconstruct_there(source: Path, target: Path) -> None:
    """Reconstruct one cell; pty-chi is imported by the workers alone."""
    from reconstruct_cell import reconstruct

    reconstruct(source, target)


def main(cells: Path, out: Path) -> None:
    """Reconstruct every cell."""
    with LocalCluster() as cluster, Client(cluster):
        tasks = [delayed(reconstruct_there)(source, out / source.name) for source in sorted(cells.glob("*.npz"))]
        compute(*tasks)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
