"""What a GPU has to do for this project: proven and measured by one command, on a bare machine, within eight minutes.

    python scripts/gpu_proof.py [--only SECTION ...] [--json FILE]
    python scripts/gpu_proof.py --smoke        # on the CPU and small: that it runs; no figure of it is one of a GPU

Every section is a process of its own, so that none takes another with it; those that time nothing run
side by side. The exit code is 0 only if every chosen section ran to its end and all that it expects
holds.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any
from unittest import mock

from fly64dask.base import KEEP_MEMORY, SINGLE_THREAD, installed_gpus
from fly64dask.cells import Caller, CellRequest, new_run_id, open_inputs, run_cell
from fly64dask.monitoring import LiveCell
from fly64dask.reconstruction import LSQML, Exposures
from fly64dask.records import read_record
from fly64dask.scan import illuminated_area, illumination_map
from fly64dask.store import ReconstructionAttributes, RunLayout, open_group
from fly64dask.study import Cell, Limits, Study, cells

sys.path.insert(0, str(Path(__file__).with_name("bench")))
import gpu
from matrix import apart, our_record, publish, run_process, write_demo
from measuring import ROOT, Bar, Notes, bars_table, machine, machine_line, rows_table, seconds_of, write_measurement

LIMIT_S = 460.0
TOLERANCE = 1e-4  # of objects after 25 epochs of single precision, as bench/engine.py has it
SLOTS = (1, 2, 4, 8)
# The demo in small, for the CPU.
TINY = {"n_exposures": 60, "n_epochs": 2, "doses_photons": "[1e4]", "stop": '"epochs"'}


def main() -> None:
    """Run the chosen sections and print what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=f"of {', '.join(SECTIONS)}")
    parser.add_argument("--smoke", action="store_true", help="on the CPU, with tiny sizes")
    parser.add_argument("--json", type=Path, help="write all figures there too")
    parser.add_argument("--section", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.section:
        name, path = arguments.section
        sys.exit(run_section(name, Notes(Path(path), "cpu" if arguments.smoke else "cuda", arguments.smoke)))
    facts = machine() | {"gpus_in_full": gpus_in_full()}
    if not facts["gpus"] and not arguments.smoke:
        raise SystemExit("no GPU here (NVIDIA's driver lists none): nothing was proven; --smoke shows that this runs")
    print(machine_line(facts), *facts["gpus_in_full"], sep="\n", flush=True)
    found: dict[str, dict[str, Any]] = {}
    deadline = time.monotonic() + LIMIT_S
    chosen = [name for name in SECTIONS if name in (arguments.only or SECTIONS)]
    together = [name for name in chosen if name in TIMELESS]
    with tempfile.TemporaryDirectory() as folder:
        for group in [together, *([name] for name in chosen if name not in together)]:
            begun = {name: begin(name, Path(folder), smoke=arguments.smoke) for name in group}
            for name, process in begun.items():
                found[name] = end(name, process, Path(folder), deadline)
                if arguments.json:
                    write_measurement(arguments.json, facts, {"sections": found})
    failed = [name for name, one in found.items() if not one["holds"]]
    print(f"\n{len(found) - len(failed)} of {len(found)} sections hold; not: {', '.join(failed) or 'none'}")
    sys.exit(bool(failed))


def gpus_in_full() -> list[str]:
    """Name, driver and memory of each GPU."""
    if not installed_gpus():
        return []
    import pynvml

    pynvml.nvmlInit()
    driver = pynvml.nvmlSystemGetDriverVersion()
    pynvml.nvmlShutdown()
    return [
        f"{device.name}, driver {driver}, "
        + (f"{device.memory_bytes / 2**20:.0f} MiB" if device.memory_bytes else "memory unknown")
        for device in installed_gpus()
    ]


def begin(name: str, folder: Path, *, smoke: bool) -> subprocess.Popen[bytes]:
    """Start a section as a process of its own, with the environment of a worker."""
    command = [sys.executable, __file__, "--section", name, str(folder / name), *(["--smoke"] if smoke else [])]
    with (folder / f"{name}.log").open("wb") as log:
        environment = os.environ | SINGLE_THREAD | KEEP_MEMORY
        return subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)


def end(name: str, process: subprocess.Popen[bytes], folder: Path, deadline: float) -> dict[str, Any]:
    """Wait for a section until the deadline, end what is left of it, and print what it found."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(max(1.0, deadline - time.monotonic()))
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    found = json.loads((folder / name).read_text()) if (folder / name).exists() else {"rows": [], "bars": []}
    holds = code == 0 and all(bar["is_met"] for bar in found["bars"])
    print(f"\n## {name}: {'holds' if holds else 'DOES NOT HOLD'} ({found.get('seconds', 0):.0f} s, exit code {code})")
    print(rows_table(found["rows"]), "", sep="\n")
    names = {field.name for field in fields(Bar)}
    bars = [Bar(**{key: value for key, value in bar.items() if key in names}) for bar in found["bars"]]
    print(f"{sum(bar.is_met for bar in bars)} of {len(bars)} expectations hold")
    if missed := [bar for bar in bars if not bar.is_met]:
        print(bars_table(missed))
    if not holds:
        print((folder / f"{name}.log").read_text(errors="replace")[-6000:])
    sys.stdout.flush()
    return found | {"holds": holds, "exit_code": code}


def run_section(name: str, notes: Notes) -> int:
    """Run a section in this process; gives 0 if it came to its end."""
    module, _, function = SECTIONS[name].partition(":")
    began = time.perf_counter()
    error = None
    if module == "gpu_engine":
        gpu.load_engine()
    try:
        with tempfile.TemporaryDirectory() as folder:
            getattr(importlib.import_module(module), function)(notes, Path(folder))
    except (Exception, SystemExit) as caught:
        traceback.print_exc()
        error = f"{type(caught).__name__}: {caught}"
    notes.write(seconds=time.perf_counter() - began, error=error)
    return 0 if error is None else 1


def failures(notes: Notes, folder: Path) -> None:
    """Expect degenerate scans, NaN and a missing GPU to end by name."""
    study = Study.from_toml(ROOT / "data" / "toy.toml").with_recipe(device=notes.device)
    lenient, elsewhere = study.with_recipe(on_degenerate="guarded"), study.with_recipe(device="cuda")
    layout = RunLayout(folder / "run")
    cell_of = {view.name: Cell(dose=1e5, view=view.name, split="train") for view in study.views}
    publish(study, layout, cell_of.values())
    for what, asked, view, engine, expected in (
        ("8 exposures", study, "baseline", LSQML, {None}),
        ("one exposure", study, "sparse", LSQML, {"degenerate_scan"}),
        ("one exposure, guarded", lenient, "sparse", LSQML, {None}),
        (
            "one exposure, pty-chi as it is",
            lenient,
            "sparse",
            "gpu_engine:unguarded",
            {"not_finite", "singular_matrix"},
        ),
        ("a probe of NaN", study, "dense", "gpu_engine:blinded", {"not_finite"}),
        ("no GPU visible", elsewhere, "dense", LSQML, {"gpu_missing"}),
    ):
        with mock.patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": ""} if asked is elsewhere else {}):
            found = run_one(asked, cell_of[view], layout, engine)
        notes.row(cell=what, **found)
        notes.holds(f"{what}: ends as {' or '.join(str(kind) for kind in expected)}", found["kind"] in expected)
        notes.holds(f"{what}: ran on {notes.device}", found["kind"] is not None or notes.device in found["device"])


def run_one(study: Study, cell: Cell, layout: RunLayout, engine: str = LSQML) -> dict[str, Any]:
    """Run a cell in a child of this process, as a worker does; gives what its record says."""
    request = CellRequest(study=study, cell=cell, run_id=new_run_id(layout), engine=engine)
    seconds = seconds_of(lambda: run_cell(request, Caller()))
    record = read_record(layout, cell)
    assert record is not None
    kind = None if record.failure_kind is None else str(record.failure_kind)
    return {"kind": kind, "device": record.device, "seconds": seconds, "said": (record.error or "")[:160]}


def full_card(notes: Notes, folder: Path) -> None:
    """Expect a cell that finds the card full to have a record that says so, and to be done when it is run again."""
    n = 60 if notes.smoke else 4000
    changes = TINY | {"n_exposures": n, "batch_size": n, "n_epochs": 3, "device": f'"{notes.device}"'}
    study, layout = write_demo(folder / "study.toml", changes), RunLayout(folder / "run")
    cell = Cell(dose=1e4, view="baseline", split="train")
    publish(study, layout, [cell])
    # On the CPU a limit of the study stands in for the card.
    poor = study.model_copy(update={"limits": Limits(memory_bytes=10**8)}) if notes.smoke else study
    for what, left_bytes in (("no room for CUDA itself", 1.5e8), ("no room for a minibatch", 1.1e9)):
        with filled(notes.device, left_bytes):
            found = run_one(poor, cell, layout)
        notes.row(card=what, **found)
        notes.holds(f"{what}: ends as out_of_memory", found["kind"] == "out_of_memory")
        if notes.smoke:
            break
    found = run_one(study, cell, layout)
    notes.row(card="free again", **found)
    notes.holds("free again: completed", found["kind"] is None)


@contextmanager
def filled(device: str, left_bytes: float) -> Iterator[None]:
    """Take all of a card's memory but so much while the block lasts; nothing on the CPU."""
    if device == "cpu":
        yield
        return
    import torch

    free_bytes, _ = torch.cuda.mem_get_info()
    hog = torch.empty(int(free_bytes - left_bytes), dtype=torch.uint8, device=device)
    try:
        yield
    finally:
        del hog
        torch.cuda.empty_cache()


def slots(notes: Notes, folder: Path) -> None:
    """Time the demo by local workers that share one GPU; see who gets which device."""
    study = write_demo(folder / "study.toml", (TINY if notes.smoke else {}) | {"device": f'"{notes.device}"'})
    wanted, first = cells(study), RunLayout(folder / "1")
    if notes.device == "cuda":
        notes.holds("each of 3 workers has the device that was named, by its UUID", pinned(3))
    for k in (1,) if notes.smoke else SLOTS:
        way = f"slots {k}"
        layout = first if k == 1 else RunLayout(folder / way)
        seconds = run_process(run_command(folder, layout, notes.device, k), folder / "run.log")
        records = [our_record(layout, cell) for cell in wanted]
        notes.row(way=way, **rate(seconds, len(wanted)), **gpu.parts_of_cells(layout, records))
        on_device = all(notes.device in (record.device or "") for record in records)
        notes.holds(f"{way}: all cells on {notes.device}", on_device)
        apart_by = max(apart(stored(study, first, cell), stored(study, layout, cell), 1.0) for cell in wanted)
        notes.most(f"{way}: objects against those of 1 slot", apart_by, TOLERANCE)
    crowd = [*run_command(folder, RunLayout(folder / "crowd"), notes.device, 1), "--slots-per-gpu", "9999"]
    done = subprocess.run(crowd, capture_output=True, text=True, check=False)
    notes.holds("9999 slots are refused with a reason", done.returncode != 0 and "slots-per-gpu" in done.stderr)


def rate(seconds: float, n_cells: int) -> dict[str, float]:
    """Seconds of a way, and its cells in an hour."""
    return {"seconds": seconds, "cells_per_hour": 3600 * n_cells / seconds}


def pinned(n: int) -> bool:
    """Find out whether workers that share a GPU are told which, here by its UUID, and offer it as a resource."""
    from fly64dask.deploy import connect

    uuid = installed_gpus()[0].uuid
    with (
        mock.patch.dict(os.environ, {"CUDA_VISIBLE_DEVICES": uuid}),
        connect("local", device="cuda", n_workers=None, n_cells=n, slots_per_gpu=n) as client,
    ):
        told = client.run(os.environ.get, "CUDA_VISIBLE_DEVICES")
        offered = [worker["resources"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
    return list(told.values()) == [uuid] * n and offered == [{"GPU": 1}] * n


def run_command(folder: Path, layout: RunLayout, device: str, k: int) -> list[str]:
    """`fly64dask run` of a folder's study with so many slots of the GPU, or workers of the CPU."""
    command = [sys.executable, "-m", "fly64dask", "run", str(folder / "study.toml"), "--out", str(layout.root)]
    return [*command, "--slots-per-gpu" if device == "cuda" else "--workers", str(k)]


def stored(study: Study, layout: RunLayout, cell: Cell) -> Any:
    """The object that a cell has stored, (1, n): its illuminated pixels."""
    group = open_group(layout.reconstruction_group(cell), ReconstructionAttributes)
    exposures = open_inputs(study, layout, cell).read()
    return illuminated(group.read("object_recon"), group.attributes.object_origin_px, exposures)


def illuminated(object_recon: Any, origin_px: tuple[int, int], exposures: Exposures) -> Any:
    """The illuminated pixels of an object, (1, n)."""
    shape = (object_recon.shape[1], object_recon.shape[2])
    return object_recon[
        :, illuminated_area(illumination_map(exposures.probe_guess, exposures.positions_px, shape, origin_px))
    ]


def killed(notes: Notes, folder: Path) -> None:
    """Kill a worker that computes: expect the run to end well, with the objects that each cell has by itself."""
    gpu.load_engine()
    from fly64dask.reconstruction.lsqml import reconstruct

    # Cells write once a second how far they are: shorter ones would end before anybody sees them run.
    size = {"n_exposures": 60, "n_epochs": 400} if notes.smoke else {"n_exposures": 640, "n_epochs": 1000}
    changes = TINY | size | {"device": f'"{notes.device}"'}
    study, layout = write_demo(folder / "study.toml", changes), RunLayout(folder / "run")
    with (folder / "said").open("wb") as said:
        some = ["--view", "baseline"] if notes.smoke else []
        process = subprocess.Popen([*run_command(folder, layout, notes.device, 2), *some], stdout=said, stderr=said)
    while (pid := busy_worker(layout)) is None and process.poll() is None:
        time.sleep(0.02)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    code = process.wait()
    print((folder / "said").read_text())
    wanted = [cell for cell in cells(study) if cell.view == "baseline" or not notes.smoke]
    starts = {cell: layout.journal_file(cell).read_text().count(" started ") for cell in wanted}
    notes.row(cells=len(starts), started_again=sum(n > 1 for n in starts.values()), exit_code=code)
    notes.holds("the run ends with exit code 0", code == 0)
    notes.holds("a running cell was started again", any(n > 1 for n in starts.values()))
    for cell, n_starts in starts.items():
        exposures, device = open_inputs(study, layout, cell).read(), our_record(layout, cell).device
        alone = reconstruct(exposures, study.recipe, seed=study.seeds.grouping, progress=lambda epoch, loss: None)
        apart_by = apart(
            stored(study, layout, cell), illuminated(alone.object_recon, alone.object_origin_px, exposures), 1.0
        )
        notes.row(cell=cell.name, starts=n_starts, device=device, apart=apart_by)
        notes.most(f"{cell.name} against the engine alone", apart_by, TOLERANCE)


def busy_worker(layout: RunLayout) -> int | None:
    """The process that supervises a cell of which an epoch is done; None if there is none."""
    for path in layout.live.rglob("*.json"):
        with suppress(OSError, ValueError):
            found = LiveCell.model_validate_json(path.read_text())
            if found.epoch:
                return found.pid
    return None


SECTIONS = {
    "agreement": "gpu_engine:agreement",
    "unmodified": "gpu_engine:unmodified",
    "checkpoints": "gpu_engine:checkpoints",
    "failures": "gpu_proof:failures",
    "killed": "gpu_proof:killed",
    "packed": "gpu:packed",
    "epochs": "gpu_engine:epochs",
    "slots": "gpu_proof:slots",
    "memory": "gpu_engine:memory",
    "full-card": "gpu_proof:full_card",
}
TIMELESS = ("agreement", "unmodified", "checkpoints", "failures", "killed")


if __name__ == "__main__":
    main()
