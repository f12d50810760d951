"""The store of exposures against `np.savez_compressed`, in turns; and a simulation's memory.

Run it from the repository (`make bench` does, with the other benchmarks):

    python scripts/bench/store.py [--quick] [--rounds 5] [--json FILE]

The same photon counts of 128 x 128 at each dose, uint16, go both ways; the third way is what the
original study stores, float32 amplitudes. Ours writes, beside the counts, checksums of each chunk,
and checks them when it reads. Nothing is flushed to the disk by either. Wall time, as ours computes
digests while it compresses. Then a cell's arrays, as a directory and as the one file that a run makes of them, both on
disk before they count. Simulating the canonical 10 304 exposures shows its peak memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measuring import ROOT, Bar, in_turns, machine, median_ratio, rows_table, seconds_of, tell
from numpy.typing import NDArray

from fly64dask.base import utc_now
from fly64dask.datasets import expose_split, prepare_scan
from fly64dask.simulation import expose, intensity_batches, synthetic_pair
from fly64dask.store import (
    RunLayout,
    TruthAttributes,
    count_dtype,
    counts_array,
    object_arrays,
    open_group,
    probe_array,
    published_directory,
    whole_array,
    write_group,
    write_group_archive,
)
from fly64dask.study import Study

SIDE_PX, SCAN_PX = 128, 336
DOSES = (1e3, 1e4, 1e5)
N_EXPOSURES, QUICK_EXPOSURES, N_SUBSET = 1536, 512, 42
CELL_PUBLISH = ("directory publish", "file publish")
# The canonical simulation may take so much memory (our choice): its counts are 338 MB.
SIMULATION_BYTES = 1_000_000_000


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="times that each way writes and reads [default: 5]")
    parser.add_argument("--quick", action="store_true", help="fewer exposures, one round, no canonical simulation")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    parser.add_argument("--simulate", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.simulate:
        simulate(arguments.simulate)
        return
    facts = machine()
    found = measure(n_rounds=1 if arguments.quick else arguments.rounds, quick=arguments.quick)
    tell(facts, {**found, "rows": rows(found)}, report(found), bars(found), arguments.json)


def measure(*, n_rounds: int, quick: bool = False) -> dict[str, Any]:
    """Time both ways at each dose.

    Parameters
    ----------
    n_rounds : int
        Times that each way writes and reads.
    quick : bool
        Fewer exposures, and no canonical simulation.

    Returns
    -------
    dict
        Bytes and seconds at each dose; peak memory of the simulation.
    """
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, Any] = {
            "doses": [
                measure_dose(Path(folder), dose, QUICK_EXPOSURES if quick else N_EXPOSURES, n_rounds) for dose in DOSES
            ],
            "cell": measure_cell(Path(folder), 2 * n_rounds),
        }
        if not quick:
            command = [sys.executable, __file__, "--simulate", str(Path(folder, "canonical"))]
            found["simulation"] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def measure_dose(folder: Path, dose: float, n_exposures: int, n_rounds: int) -> dict[str, Any]:
    """Write and read the counts of one dose both ways."""
    counts = draw(n_exposures, dose)
    amplitude = np.sqrt(counts).astype(np.float32)
    rows = np.sort(np.random.default_rng(0).choice(n_exposures, N_SUBSET, replace=False))
    group, npz, original = folder / "group", folder / "counts.npz", folder / "amplitude.npz"
    ways: dict[str, Callable[[], object]] = {
        "store write": lambda: write(group, counts),
        "npz write": lambda: np.savez_compressed(npz, counts=counts),
        "original write": lambda: np.savez_compressed(original, diffraction=amplitude),
        "store read": lambda: read(group, None),
        "npz read": lambda: load(npz, "counts"),
        "store subset": lambda: read(group, rows),
        "npz subset": lambda: load(npz, "counts")[rows],
    }
    seconds = in_turns({name: partial(seconds_of, work) for name, work in forward(ways).items()}, n_rounds)
    if not np.array_equal(read(group, None), counts) or not np.array_equal(load(npz, "counts"), counts):
        raise SystemExit("what was read is not what was written: no time counts")
    return {
        "dose_photons": dose,
        "array_bytes": counts.nbytes,
        "store_bytes": sum(path.stat().st_size for path in group.rglob("*") if path.is_file()),
        "npz_bytes": npz.stat().st_size,
        "original_bytes": original.stat().st_size,
        "seconds": seconds,
    }


def measure_cell(folder: Path, n_rounds: int) -> dict[str, Any]:
    """Publish and read a cell's arrays both ways: an object of 464 x 464 px and what else a cell stores."""
    rng = np.random.default_rng(3)
    shape = (SCAN_PX + SIDE_PX, SCAN_PX + SIDE_PX)
    image = (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)
    arrays = [
        *object_arrays("object_recon", image[None], origin_px=(0, 0), leading_dim="slice"),
        probe_array(image[None, None, :SIDE_PX, :SIDE_PX], "probe_recon"),
        *(whole_array(name, rng.normal(size=50), dims=("epoch",)) for name in ("loss", "epoch", "validation")),
        *(whole_array(f"curve_{number}", rng.normal(size=90), dims=("ring",)) for number in range(6)),
    ]
    attributes = TruthAttributes(created_at=utc_now(), software={}, source_digest="")
    directory, archive = folder / "as_directory", folder / "as_file"

    def publish(target: Path, write_into: Callable[[Path], object]) -> None:
        shutil.rmtree(target, ignore_errors=True)
        with published_directory(target, scratch=folder / "scratch") as unfinished:
            write_into(unfinished)

    def read_all(path: Path) -> None:
        group = open_group(path, TruthAttributes)
        for name in group.names:
            group.read(name)

    ways: dict[str, Callable[[], object]] = {
        "directory publish": lambda: publish(directory, lambda path: write_group(path, attributes, arrays)),
        "file publish": lambda: publish(archive, lambda path: write_group_archive(path / "a.zip", attributes, arrays)),
        "directory read": lambda: read_all(directory),
        "file read": lambda: read_all(archive / "a.zip"),
    }
    seconds = in_turns({name: partial(seconds_of, work) for name, work in forward(ways).items()}, n_rounds)
    return {"inodes": {path.name: len([*path.rglob("*")]) for path in (directory, archive)}, "seconds": seconds}


def forward(ways: dict[str, Callable[[], object]]) -> dict[str, Callable[[], object]]:
    """The ways, all done once: a round that goes backwards reads before it writes."""
    for work in ways.values():
        work()
    return ways


def draw(n_exposures: int, dose: float) -> NDArray[Any]:
    """Photon counts of the built-in object, (n, H, W)."""
    size = SCAN_PX + SIDE_PX
    pair = synthetic_pair((size, size), (SIDE_PX, SIDE_PX), seed=7)
    rng = np.random.default_rng(42)
    positions = rng.uniform(SIDE_PX / 2, SIDE_PX / 2 + SCAN_PX, (n_exposures, 2))
    intensity = np.concatenate(list(intensity_batches(pair, positions)))
    scale = dose / float(intensity.sum(axis=(1, 2), dtype=np.float64).mean())
    return expose(intensity, scale, rng=rng).astype(count_dtype(scale * float(intensity.max())))


def write(group: Path, counts: NDArray[Any]) -> None:
    """Write counts as a run does."""
    shutil.rmtree(group, ignore_errors=True)
    group.mkdir()
    n, height, width = counts.shape
    write_group(
        group,
        TruthAttributes(created_at=utc_now(), software={}, source_digest=""),
        [counts_array((n, height, width), counts.dtype, (counts[i : i + 64] for i in range(0, n, 64)))],
    )


def read(group: Path, rows: NDArray[np.int64] | None) -> NDArray[Any]:
    """Read counts as a cell does, every byte checked."""
    return open_group(group, TruthAttributes).read("counts", rows)


def load(path: Path, name: str) -> NDArray[Any]:
    """Read an array of an NPZ."""
    with np.load(path) as file:
        array: NDArray[Any] = file[name]
        return array


def simulate(root: Path) -> None:
    """Simulate one dose of the canonical study, both splits; print seconds and the peak of this process's memory."""
    study = Study.from_toml(ROOT / "data" / "fly64.toml")
    layout = RunLayout(root)

    def work() -> None:
        prepare_scan(study, layout)
        for split in ("train", "test"):
            expose_split(study, 1e4, split, layout)

    seconds = seconds_of(work)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    n_exposures = study.source.scan.n_exposures  # type: ignore[union-attr]
    print(json.dumps({"exposures": n_exposures, "seconds": seconds, "peak_bytes": peak}))


def bars(found: dict[str, Any]) -> list[Bar]:
    """Figures that have something to reach."""
    of_cell = found["cell"]["seconds"]
    result = [
        Bar(name="cell as one file against a directory", value=median_ratio(of_cell, *CELL_PUBLISH), needed=1),
    ]
    for one in found["doses"]:
        at = f"at {one['dose_photons']:g} photons"
        result += [
            Bar(
                name=f"store write against npz {at}",
                value=median_ratio(one["seconds"], "npz write", "store write"),
                needed=4,
            ),
            Bar(
                name=f"store size over npz {at}", value=one["store_bytes"] / one["npz_bytes"], needed=1, at_least=False
            ),
        ]
    if "simulation" in found:
        peak = found["simulation"]["peak_bytes"] / 1e6
        result.append(
            Bar(
                name="memory of simulating 10 304 exposures",
                value=peak,
                needed=SIMULATION_BYTES / 1e6,
                unit="MB",
                at_least=False,
            )
        )
    return result


def rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Sizes and medians at each dose, MB and s."""
    return [
        {"photons": one["dose_photons"]}
        | {f"{name}_mb": one[f"{name}_bytes"] / 1e6 for name in ("array", "store", "npz", "original")}
        | {f"{name.replace(' ', '_')}_s": statistics.median(seconds) for name, seconds in one["seconds"].items()}
        for one in found["doses"]
    ]


def report(found: dict[str, Any]) -> str:
    """Sizes and medians as a table in Markdown."""
    lines = [rows_table(rows(found))]
    of_cell = found["cell"]
    times = (f"{name} {1e3 * statistics.median(seconds):.1f} ms" for name, seconds in of_cell["seconds"].items())
    lines += ["", f"a cell's arrays: {', '.join(times)}; inodes {of_cell['inodes']}"]
    if "simulation" in found:
        one = found["simulation"]
        lines += [
            "",
            "{exposures} exposures simulated in {seconds:.1f} s, {peak_bytes} bytes at most".format(**one),
        ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
