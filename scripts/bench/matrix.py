"""A whole matrix: `fly64dask run` against four other ways to the same reconstructions, in turns.

Run it from the repository (`make bench` does, with the other benchmarks):

    python scripts/bench/matrix.py [--quick] [--rounds 4] [--epochs 10 25 50] [--only "plain loop"] [--json FILE]

The study is the demo's with more exposures: 18 cells of 64 x 64, about 4 092 exposures in all, 10
epochs (the demo itself: 40). Before any clock starts the exposures are simulated and selected: ours lie in a run
directory without a cell, the others' in one NPZ for each cell. The clock then runs from the start
of the command to its end. In the first round files are read from the disk; it is told apart, and ratios are the
median of the later ones. More epochs than 10 are run against the plain loop alone, unless `--only` says otherwise.
Four rounds of all ways at 10 epochs take some 22 minutes, those of the plain loop 8 at 25 epochs and 13 at 50.

A way's time counts only if its objects, probes and losses are those of fly64dask within `TOLERANCE`, in the cells
where rounding is not amplified (`compared`).

The other ways are the programs of `scripts/bench/peers`, on pty-chi as it is; Snakemake gets an
environment of its own below `.bench`, made at the first call.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measuring import ROOT, Bar, in_turns, machine, processor, rows_table, tell
from numpy.typing import NDArray

from fly64dask.cells import open_inputs
from fly64dask.datasets import expose_split, prepare_scan, select_view
from fly64dask.reconstruction import ACCELERATED, COMPILED
from fly64dask.records import CellRecord, read_record
from fly64dask.scan import object_frame
from fly64dask.store import ReconstructionAttributes, RunLayout, open_group
from fly64dask.study import Cell, Study, cells

PEERS = Path(__file__).with_name("peers")
CACHE = ROOT / ".bench"
SNAKEMAKE = "snakemake==9.27.1"
# The demo with more exposures in a larger field; its 18 cells keep 4 092 in all (918 if it is to be quick).
FULL: dict[str, Any] = {
    "n_exposures": 1222,
    "high_px": 264,
    "object_shape_px": [296, 296],
    "n_epochs": 10,
    "device": '"cpu"',
}
# The other ways run pty-chi's default noise model.
FULL |= {"noise_model": '"gaussian"'}
QUICK = FULL | {"n_exposures": 240, "high_px": 200, "object_shape_px": [232, 232], "n_epochs": 3}
LOOP = "plain loop"
OURS, NEEDED = "fly64dask", {"one process per cell": 14.0, LOOP: 3.0, "snakemake -j2": 8.0, "naive dask": 6.0}
NEEDED_LONG = {LOOP: 6.0}  # from `LONG_EPOCHS` on
LONG_EPOCHS = 50
# In single precision; other threads and other steps round differently (docs/reference/performance.md).
TOLERANCE, COMPARED_PHOTONS = 1e-3, 1e4
STATUS_RUNS = 5
# By number of epochs the times that each of the other ways does the study.
Rounds = Mapping[int, Mapping[str, int]]


@dataclass(slots=True)
class Bench:
    """A study with its inputs, as each way wants them, and what was seen of ours beside the clock."""

    study: Study
    folder: Path
    peers_snakemake: Path | None
    results: dict[str, Path] = field(default_factory=dict)
    our_runs: list[dict[str, float]] = field(default_factory=list)

    @property
    def template(self) -> RunLayout:
        """A run directory with exposures and no cell."""
        return RunLayout(self.folder / "template")

    @property
    def peer_cells(self) -> Path:
        """The same exposures, one NPZ for each cell."""
        return self.folder / "cells"

    @property
    def study_file(self) -> Path:
        """The study."""
        return self.folder / "study.toml"


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4, help="times that each way does the study [default: 4]")
    parser.add_argument("--quick", action="store_true", help="a small scan, 3 epochs, one round")
    parser.add_argument("--epochs", type=int, nargs="+", default=[], help="of each cell, one study each [default: 10]")
    parser.add_argument("--only", action="append", choices=sorted(NEEDED), help="against this way only; repeatable")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    arguments = parser.parse_args()
    facts, n_rounds = machine(), 1 if arguments.quick else arguments.rounds
    rounds = {
        n_epochs: dict.fromkeys(arguments.only or (NEEDED if n_epochs <= FULL["n_epochs"] else [LOOP]), n_rounds)
        for n_epochs in arguments.epochs or [FULL["n_epochs"]]
    }
    found = measure(n_rounds=n_rounds, quick=arguments.quick, rounds=rounds)
    tell(facts, {"ways": way_rows(found), **found}, report(found), bars(found), arguments.json)


def measure(*, n_rounds: int, quick: bool = False, rounds: Rounds) -> dict[str, Any]:
    """Time every way in turns, at each number of epochs.

    Parameters
    ----------
    n_rounds : int
        Times that a way does the study at most.
    quick : bool
        A small study, and its epochs instead of the first number that is asked for.
    rounds : mapping of int to mapping of str to int
        By number of epochs the times that each of the other ways does the study; fly64dask does it as often as that
        one which does it most.

    Returns
    -------
    dict
        For each number of epochs, `epochs_10`: seconds of each way and round, how far each is from ours and in which
        cell, and what ours did with its time.
    """
    if quick:
        rounds = {QUICK["n_epochs"]: next(iter(rounds.values()))}
    found = {}
    for n_epochs, n_times in rounds.items():
        changes = (QUICK if quick else FULL) | {"n_epochs": n_epochs}
        found[f"epochs_{n_epochs}"] = measure_study(changes, {name: min(n, n_rounds) for name, n in n_times.items()})
    return found


def measure_study(changes: Mapping[str, object], n_times: Mapping[str, int]) -> dict[str, Any]:
    """Time every way so many times on one study, the demo with these changes."""
    snakemake = snakemake_program(CACHE) if "snakemake -j2" in n_times else None
    with tempfile.TemporaryDirectory() as folder:
        bench = prepare(Path(folder), changes, snakemake)
        ways = {OURS: partial(run_ours, bench)} | {name: partial(run_peer, bench, name) for name in n_times}
        seconds = in_turns(ways, {OURS: max(n_times.values()), **n_times})
        return {
            "processor": processor(),
            "study": {
                "cells": len(cells(bench.study)),
                "compared": len(compared(bench.study)),
                "exposures": n_kept(bench),
                "epochs": bench.study.recipe.n_epochs,
            },
            "seconds": seconds,
            "differences": {name: difference(bench, bench.results[name]) for name in n_times},
            "ours": {name: statistics.median(run[name] for run in bench.our_runs) for name in bench.our_runs[0]},
            "help_s": statistics.median(command_seconds("--help") for _ in range(STATUS_RUNS)),
            "status_s": statistics.median(
                command_seconds("status", str(bench.results[OURS])) for _ in range(STATUS_RUNS)
            ),
        }


def warm_ratio(seconds: Mapping[str, Sequence[float]], name: str) -> tuple[float, int]:
    """How many times as long as ours a way takes, by the median of the rounds after the first, and how many those are;
    by the first one, and 0, if there is no other.
    """
    pairs = list(zip(seconds[name], seconds[OURS], strict=False))
    return statistics.median(slow / fast for slow, fast in pairs[1:] or pairs), len(pairs) - 1


def bars(found: Mapping[str, Any]) -> list[Bar]:
    """Figures that have something to reach."""
    return [bar for one in found.values() for bar in bars_of_study(one)]


def bars_of_study(found: Mapping[str, Any]) -> list[Bar]:
    """Those of one study; what does not depend on epochs is judged with the fewest that have a bar."""
    ours, epochs = found["ours"], found["study"]["epochs"]
    needed = NEEDED_LONG if epochs >= LONG_EPOCHS else NEEDED if epochs == FULL["n_epochs"] else {}
    ratios = [
        Bar(name=f"matrix of {epochs} epochs against {name}", value=warm_ratio(found["seconds"], name)[0], needed=least)
        for name, least in needed.items()
        if name in found["differences"]
    ]
    if epochs > FULL["n_epochs"]:
        return ratios
    return [
        *ratios,
        Bar(name="first cell starts after", value=ours["first_cell_s"], needed=4, unit="s", at_least=False),
        Bar(name="workers busy, first cell to last", value=ours["busy_percent"], needed=90, unit="%"),
        Bar(name="`fly64dask status`", value=found["status_s"], needed=1, unit="s", at_least=False),
        Bar(name="`fly64dask --help`", value=found["help_s"], needed=0.5, unit="s", at_least=False),
    ]


def report(found: Mapping[str, Any]) -> str:
    """The ways at each number of epochs as one table in Markdown, what was compared, and where our time goes."""
    first = next(iter(found.values()))
    lines = ["", f"{first['processor']}: {first['study']['cells']} cells, {first['study']['exposures']} exposures"]
    lines += [rows_table([row_words(row) for row in way_rows(found)]), ""]
    for one in found.values():
        study = one["study"]
        every = " that keep all exposures" if study["epochs"] > FULL["n_epochs"] else ""
        lines.append(
            f"{study['epochs']} epochs: compared in the {study['compared']} cells of {COMPARED_PHOTONS:g} photons and "
            f"more{every}; ours: " + ", ".join(f"{name} {value:.3g}" for name, value in one["ours"].items())
        )
    return "\n".join([*lines, ""])


def way_rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Give a row of figures for each way at each number of epochs, the first round by itself."""
    return [
        {
            "epochs": one["study"]["epochs"],
            "way": name,
            "first_s": seconds[0],
            "later_s": seconds[1:],
            "ratio": warm_ratio(one["seconds"], name)[0],
            "n_rounds": warm_ratio(one["seconds"], name)[1],
            **one["differences"].get(name, {}),
        }
        for one in found.values()
        for name, seconds in one["seconds"].items()
    ]


def row_words(row: Mapping[str, Any]) -> dict[str, object]:
    """Write a row of figures for people; a way that was run once has the ratio of that round."""
    return {
        "epochs": row["epochs"],
        "way": row["way"],
        "first round, s": f"{row['first_s']:.1f}",
        "later rounds, s": ", ".join(f"{seconds:.1f}" for seconds in row["later_s"]),
        "ratio, median": f"{row['ratio']:.2f}",
        "of rounds": row["n_rounds"] or "the first alone",
        "largest difference, in cell": f"{row['largest']:.1e}, {row['cell']}" if "cell" in row else "",
    }


def prepare(folder: Path, changes: Mapping[str, object], snakemake: Path | None) -> Bench:
    """Make the study, its exposures, and the same for the others."""
    # The others reconstruct once, for a fixed number of epochs.
    study = write_demo(folder / "study.toml", {**changes, "stop": '"epochs"'})
    bench = Bench(study=study, folder=folder, peers_snakemake=snakemake)
    publish(study, bench.template, cells(study))
    bench.peer_cells.mkdir()
    for cell in cells(study):
        write_peer_cell(bench, cell)
    return bench


def write_demo(path: Path, changes: Mapping[str, object]) -> Study:
    """Write the demo with other values of some of its keys, as TOML has them."""
    text = (ROOT / "data" / "demo.toml").read_text()
    for key, value in changes.items():
        text, n_found = re.subn(rf"^{key} = .*", f"{key} = {value}", text, flags=re.MULTILINE)
        assert n_found == 1, key
    path.write_text(text)
    return Study.from_toml(path)


def publish(study: Study, layout: RunLayout, some_cells: Iterable[Cell]) -> None:
    """Make the exposures and the selections that some cells of a study read."""
    some_cells = tuple(some_cells)
    prepare_scan(study, layout)
    for dose, split in {(cell.dose, cell.split) for cell in some_cells}:
        expose_split(study, dose, split, layout)
    for view, split in {(cell.view, cell.split) for cell in some_cells}:
        select_view(study, view, split, layout)


def write_peer_cell(bench: Bench, cell: Cell) -> None:
    """Write what a cell's reconstruction needs as an NPZ."""
    inputs = open_inputs(bench.study, bench.template, cell)
    exposures = inputs.read()
    shape, origin = object_frame(exposures.positions_px, bench.study.source.probe_shape_px)  # type: ignore[union-attr]
    np.savez_compressed(
        bench.peer_cells / npz_name(cell),
        counts=exposures.counts,
        positions_px=exposures.positions_px - np.add(origin, np.floor_divide(shape, 2)),
        probe=exposures.probe_guess,
        object_shape_px=shape,
        n_epochs=bench.study.recipe.n_epochs,
        batch_size=bench.study.recipe.exposures_in_batch(len(exposures.counts)),
        seed=bench.study.seeds.grouping,
    )


def npz_name(cell: Cell) -> str:
    """File name of a cell."""
    return f"{cell.name.replace('/', '-')}.npz"


def n_kept(bench: Bench) -> int:
    """Exposures of all cells together."""
    total = 0
    for path in bench.peer_cells.iterdir():
        with np.load(path) as cell:
            total += len(cell["positions_px"])
    return total


def snakemake_program(cache: Path) -> Path:
    """Make the environment of Snakemake if there is none, and name its program."""
    program = cache / "snakemake" / "bin" / "snakemake"
    if not program.exists():
        cache.mkdir(exist_ok=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(cache / "snakemake")], check=True)
        install = [str(program.with_name("python")), "-m", "pip", "install", "--quiet", SNAKEMAKE]
        subprocess.run(install, check=True)
    return program


def run_peer(bench: Bench, name: str) -> float:
    """Let one of the other ways reconstruct all cells; seconds of its process."""
    out = bench.folder / name.replace(" ", "-")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    bench.results[name] = out
    programs = {"one process per cell": "one_by_one.py", "plain loop": "plain_loop.py", "naive dask": "naive_dask.py"}
    if name in programs:
        command = [sys.executable, str(PEERS / programs[name]), str(bench.peer_cells), str(out)]
    else:
        assert bench.peers_snakemake is not None
        command = [str(bench.peers_snakemake), "-j2", "--snakefile", str(PEERS / "Snakefile"), "--quiet", "all"]
        command += ["--directory", str(out), "--nolock", "--config", f"cells={bench.peer_cells}", f"out={out}"]
        command += [f"python={sys.executable}", f"program={PEERS / 'reconstruct_cell.py'}"]
    return run_process(command, bench.folder / "peer.log")


def run_ours(bench: Bench) -> float:
    """Run the study as a user does; seconds of its process."""
    layout = RunLayout(bench.folder / "run")
    shutil.rmtree(layout.root, ignore_errors=True)
    shutil.copytree(bench.template.root, layout.root)
    bench.results[OURS] = layout.root
    began = datetime.now(UTC)
    command = [sys.executable, "-m", "fly64dask", "run", str(bench.study_file), "--out", str(layout.root)]
    seconds = run_process(command, bench.folder / "ours.log")
    bench.our_runs.append(shares(layout, bench.study, began, seconds))
    return seconds


def run_process(command: list[str], log: Path) -> float:
    """Wall time of a process; ends the benchmark if it fails."""
    started = time.perf_counter()
    with log.open("wb") as stream:
        done = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{log.read_text()[-4000:]}")
    return seconds


def command_seconds(*arguments: str) -> float:
    """Wall time of a fly64dask command that prints."""
    command = [sys.executable, "-m", "fly64dask", *arguments]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def shares(layout: RunLayout, study: Study, began: datetime, seconds: float) -> dict[str, float]:
    """What a run of ours did with its time, by the records of its cells."""
    records = [our_record(layout, cell) for cell in cells(study)]
    starts = [datetime.fromisoformat(record.started_at) for record in records]
    ends = [datetime.fromisoformat(record.finished_at) for record in records]
    phase = (max(ends) - min(starts)).total_seconds()
    # As many workers as cores, see cluster.connect.
    n_workers = min(len(os.sched_getaffinity(0)), len(records))
    busy = sum(record.seconds for record in records)
    return {
        "first_cell_s": (min(starts) - began).total_seconds(),
        "cells_s": phase,
        "end_s": seconds - (max(ends) - began).total_seconds(),
        "busy_percent": 100 * busy / (n_workers * phase),
        "busy_whole_run_percent": 100 * busy / (n_workers * seconds),
    }


def our_record(layout: RunLayout, cell: Cell) -> CellRecord:
    """A cell's record, which says that it was done, and by the fastest steps of its device."""
    record = read_record(layout, cell)
    fastest = ACCELERATED if record and (record.device or "").startswith("cuda") else COMPILED
    if record is None or record.state != "completed" or not (record.acceleration or "").startswith(fastest):
        raise SystemExit(f"{cell.name}: nothing to compare: {record and (record.error or record.acceleration)}")
    return record


def compared(study: Study) -> list[Cell]:
    """Give the cells whose results are compared: where rounding is not amplified.

    At less than `COMPARED_PHOTONS` last digits decide how noise is followed. Beyond ten epochs so they do where few
    exposures are kept: after 50, pixels are 4e-3 apart in dense cells, and 5e-3 where beams do not touch.
    """
    is_long = study.recipe.n_epochs > FULL["n_epochs"]
    bright = [cell for cell in cells(study) if not isinstance(cell.dose, str) and cell.dose >= COMPARED_PHOTONS]
    return [cell for cell in bright if not is_long or cell.view == "baseline"]


def difference(bench: Bench, out: Path) -> dict[str, Any]:
    """Largest difference of a way's objects, probes and losses from ours and its cell; ends the benchmark if large."""
    apart_by, layout = {}, RunLayout(bench.results[OURS])
    for cell in compared(bench.study):
        group = open_group(layout.reconstruction_group(cell), ReconstructionAttributes)
        ours = {name: group.read(name) for name in ("object_recon", "probe_recon", "loss")}
        with np.load(out / npz_name(cell)) as theirs:
            # Theirs is in pty-chi's units, whose transform is not normalised; ours in sqrt(photons).
            probe = theirs["probe"] * np.sqrt(ours["probe_recon"].shape[-2] * ours["probe_recon"].shape[-1])
            apart_by[cell.name] = max(
                apart(ours["object_recon"], theirs["object"], 1.0),
                apart(ours["probe_recon"], probe, float(np.abs(ours["probe_recon"]).max())),
                apart(ours["loss"], theirs["loss"], float(ours["loss"].min())),
            )
    largest = max(apart_by, key=apart_by.__getitem__)
    if not apart_by[largest] <= TOLERANCE:
        raise SystemExit(f"{largest}: {out.name} differs by {apart_by[largest]:.1e}, allowed are {TOLERANCE:g}")
    return {"largest": apart_by[largest], "cell": largest}


def apart(ours: NDArray[Any], theirs: NDArray[Any], scale: float) -> float:
    """Largest difference of two arrays, in units of a scale; infinite if they do not fit."""
    return float(np.abs(ours - theirs).max()) / scale if ours.shape == theirs.shape else float("inf")


if __name__ == "__main__":
    main()
