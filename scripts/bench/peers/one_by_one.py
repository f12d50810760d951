"""A folder of cells -> a folder of reconstructions, one process per cell, one after the other.

python one_by_one.py CELLS RECONSTRUCTIONS
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("reconstruct_cell.py")


def main(cells: Path, out: Path) -> None:
    """Run the program on every cell."""
    for source in sorted(cells.glob("*.npz")):
        subprocess.run([sys.executable, str(PROGRAM), str(source), str(out / source.name)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
