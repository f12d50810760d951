"""Ingesting a large HDF5 scan: its rate, and the memory that it takes.

Run it from the repository:

    python scripts/bench/ingest.py [--gigabytes 4] [--side 256] [--rounds 1] [--json FILE]

A file of uint16 patterns is written, of Poisson counts of a bright spot; 200 are drawn, and shifted for the others.
Each round ingests it in a process of its own: the peak of its memory, and its rate in raw bytes from the start of
reading to the published store, which is flushed to the disk. The file has just been written, and is in memory as far as
the system keeps it there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from measuring import Bar, machine, seconds_of, tell

from fly64dask.datasets.formats import ReadOptions
from fly64dask.datasets.ingest import IngestOptions, ingest_file

# The bars of this project for a scan of 4 GB and more; two blocks come on top of the gigabyte.
MOST_BYTES, NEEDED_MB_PER_S = 1_200_000_000, 150.0
N_DRAWN, STEP_PX, PEAK_PHOTONS, WIDTH = 200, 7.0, 200.0, 0.08


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=4.0, help="raw values [default: 4]")
    parser.add_argument("--side", type=int, default=256, help="px of a pattern's side [default: 256]")
    parser.add_argument("--rounds", type=int, default=1, help="times that it is ingested [default: 1]")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--ingest", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ingest:
        ingest_once(*arguments.ingest)
        return
    facts = machine()
    found = measure(arguments.gigabytes, arguments.side, arguments.rounds)
    tell(facts, found, report(found), bars(found), arguments.json)


def measure(gigabytes: float, side: int, n_rounds: int) -> dict[str, Any]:
    """Write a scan and ingest it some times.

    Parameters
    ----------
    gigabytes : float
        Of raw values.
    side : int
        Of a pattern, px.
    n_rounds : int
        Times that it is ingested.

    Returns
    -------
    dict
        Sizes, and of each round wall seconds, seconds of the processor and peak memory.
    """
    folder = Path(tempfile.mkdtemp(prefix="bench_ingest_"))
    try:
        n_exposures = write_scan(folder / "scan.h5", gigabytes, side)
        rounds = []
        for _ in range(n_rounds):
            shutil.rmtree(folder / "scan.zarr", ignore_errors=True)
            command = [sys.executable, __file__, "--ingest", str(folder / "scan.h5"), str(folder / "scan.zarr")]
            rounds.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))
        stored = sum(path.stat().st_size for path in (folder / "scan.zarr").rglob("*") if path.is_file())
    finally:
        shutil.rmtree(folder)
    raw_bytes = n_exposures * side * side * 2
    return {"n_exposures": n_exposures, "side": side, "raw_bytes": raw_bytes, "store_bytes": stored, "rounds": rounds}


def write_scan(path: Path, gigabytes: float, side: int) -> int:
    """Write a scan of uint16 patterns at positions of a raster; gives the number of exposures."""
    n_exposures = max(2 * N_DRAWN, round(gigabytes * 1e9 / (2 * side * side)))
    rng = np.random.default_rng(1)
    y, x = np.ogrid[:side, :side]
    width = WIDTH * side
    spot = 0.05 + PEAK_PHOTONS * np.exp(-((y - side // 2) ** 2 + (x - side // 2) ** 2) / (2 * width**2))
    drawn = rng.poisson(np.broadcast_to(spot, (N_DRAWN, side, side))).astype(np.uint16)
    columns = int(np.sqrt(n_exposures))
    with h5py.File(path, "w") as file:
        counts = file.create_dataset("counts", (n_exposures, side, side), dtype=np.uint16)
        for start in range(0, n_exposures, N_DRAWN):
            stop = min(start + N_DRAWN, n_exposures)
            down, right = np.divmod(start // N_DRAWN, 15)
            counts[start:stop] = np.roll(drawn, (down % 15 - 7, right - 7), axis=(1, 2))[: stop - start]
        row, column = np.divmod(np.arange(n_exposures), columns)
        file["y_px"], file["x_px"] = STEP_PX * row, STEP_PX * column
    return n_exposures


def ingest_once(path: Path, store: Path) -> None:
    """Ingest a scan; print the seconds and the peak of this process's memory."""
    read = ReadOptions(patterns="counts", positions_y="y_px", positions_x="x_px", positions_unit="px")
    before = time.process_time()
    seconds = seconds_of(lambda: ingest_file(path, store, read, IngestOptions()))
    found = {
        "seconds": seconds,
        "processor_seconds": time.process_time() - before,
        "peak_bytes": peak_bytes(),
    }
    print(json.dumps(found))


def peak_bytes() -> int:
    """Peak of this process's resident memory; what `getrusage` says begins with that of the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024


def rate(found: dict[str, Any]) -> float:
    """Median rate, MB/s of raw values."""
    return float(found["raw_bytes"] / 1e6 / statistics.median(each["seconds"] for each in found["rounds"]))


def bars(found: dict[str, Any]) -> list[Bar]:
    """Figures that have something to reach."""
    peak = max(each["peak_bytes"] for each in found["rounds"]) / 1e6
    return [
        Bar(name="rate of ingesting", value=rate(found), needed=NEEDED_MB_PER_S, unit="MB/s"),
        Bar(name="memory of ingesting", value=peak, needed=MOST_BYTES / 1e6, unit="MB", at_least=False),
    ]


def report(found: dict[str, Any]) -> str:
    """Say sizes, rates and memory."""
    raw, stored = found["raw_bytes"] / 1e9, found["store_bytes"] / 1e9
    lines = [
        "",
        f"{found['n_exposures']} exposures of {found['side']} x {found['side']} px, uint16: {raw:.2f} GB raw, "
        f"{stored:.2f} GB stored; {rate(found):.0f} MB/s",
    ]
    for each in found["rounds"]:
        peak = each["peak_bytes"] / 1e6
        lines.append(f"- {each['seconds']:.1f} s, {each['processor_seconds']:.1f} s of the processor, {peak:.0f} MB")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
