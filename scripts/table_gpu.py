"""Print the tables of docs/reference/gpu.md from the figures of a GPU: epochs, the demo by slots, memory.

python scripts/table_gpu.py docs/measurements/gpu-nvidia-h200.json

The file is what `scripts/gpu_proof.py --json` wrote. Nothing is measured here, so no GPU is needed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
EPOCH_HEADS = [
    "exposures, pattern",
    "recorded",
    "called",
    "unmodified",
    "unmodified over recorded",
    "one CPU thread",
    "floor: bytes",
    "floor: kernels",
]
SLOT_HEADS = ["way", "seconds", "cells per hour", "seconds of a cell", "to its first epoch", "epochs", "after"]
MEMORY_HEADS = ["exposures, pattern, minibatch", "planned", "peak of torch", "context and reserved"]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="figures of `gpu_proof.py --json`")
    sections = json.loads(parser.parse_args().file.read_text())["sections"]
    rows = {name: section["rows"] for name, section in sections.items()}
    for heads, lines in (
        (EPOCH_HEADS, epochs(rows["epochs"])),
        (SLOT_HEADS, slots(rows["slots"])),
        (MEMORY_HEADS, memory(rows["memory"])),
    ):
        print("\n".join(markdown(heads, list(lines))), end="\n\n")


def epochs(rows: Sequence[Row]) -> Iterator[list[str]]:
    """Give lines of milliseconds of an epoch."""
    for row in rows:
        if "ratio" not in row:
            continue
        names = ("accelerated_ms", "called_ms", "unmodified_ms", "ratio", "cpu_thread_ms", "bytes_ms", "launches_ms")
        yield [f"{row['exposures']} of {row['side_px']} x {row['side_px']}", *(short(row[name]) for name in names)]


def slots(rows: Sequence[Row]) -> Iterator[list[str]]:
    """Give lines of whole runs of the demo."""
    names = ("seconds", "cells_per_hour", "cell_s", "to_first_epoch_s", "epochs_s", "after_s")
    for row in rows:
        yield [row["way"], *(short(row[name]) if name in row else "" for name in names)]


def memory(rows: Sequence[Row]) -> Iterator[list[str]]:
    """Give lines of MB of a card."""
    for row in rows:
        what = f"{row['exposures']} of {row['side_px']} x {row['side_px']}, {row['batch']}"
        reserved = row["context_mb"] + row["reserved_mb"] if "reserved_mb" in row else row["card_mb"]
        halves = ", half sets" if row["stop"] == "half_sets" else ""
        yield [what + halves, *(f"{value:.0f}" for value in (row["planned_mb"], row["peak_mb"], reserved))]


def short(value: float) -> str:
    """Write a figure with two digits, or all before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """Make a Markdown table."""
    yield "| " + " | ".join(heads) + " |"
    yield "|---" * len(heads) + "|"
    for line in lines:
        yield "| " + " | ".join(line) + " |"


if __name__ == "__main__":
    main()
