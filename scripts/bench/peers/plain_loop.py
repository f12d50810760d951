"""A folder of cells -> a folder of reconstructions, in one process, one after the other.

python plain_loop.py CELLS RECONSTRUCTIONS
"""

from __future__ import annotations

import sys
from pathlib import Path

from reconstruct_cell import reconstruct


def main(cells: Path, out: Path) -> None:
    """Reconstruct every cell."""
    for source in sorted(cells.glob("*.npz")):
        reconstruct(source, out / source.name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
