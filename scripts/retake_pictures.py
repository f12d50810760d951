"""Retake the pictures of the demo that the pages show: its report and figures, its pages while it runs; or of a scan.

python scripts/retake_pictures.py runs/pictures                   # the report of the demo, and its figures
python scripts/retake_pictures.py runs/pictures --pages           # the pages of a demo that runs
python scripts/retake_pictures.py runs/pictures --star siemens-star-small.npz.bz2

A finished run that is in the folder is used as it is; for the pages of a run under way the demo runs again. Look at
each picture before you keep it: this only takes them. `make figures` runs this and the scripts of the other pictures.
"""

from __future__ import annotations

import argparse
import importlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
DATA = ROOT / "data"
# Cells of the demo's 18 that are done when a page is taken: Dask's among the long ones, ours among the short ones.
CELLS_DONE = {"dask-status.png": 3, "fly64.png": 9}
SETTLE_S = 3.0  # until Dask's page has drawn its first numbers
# What is true of a page once it can be taken.
READY = {
    "fly64": "document.querySelectorAll('#matrix td').length > 0",
    "status": "window.Bokeh && Bokeh.documents.length > 0",
    "report": "document.body && document.body.dataset.ready === 'yes'",
}


def main() -> int:
    """Run what the pictures show, and take them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="directory of the runs")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--pages", action="store_true", help="take the pages of a run under way instead of the report")
    what.add_argument("--star", type=Path, help="scan of data/star.toml: take the picture of its phases instead")
    arguments = parser.parse_args()
    if arguments.star:
        draw_star(arguments.folder / "star", arguments.star)
    elif arguments.pages:
        take_pages(arguments.folder / "demo-pages")
    else:
        demo = arguments.folder / "demo"
        python("-m", "fly64dask", "run", str(DATA / "demo.toml"), "--out", str(demo))
        take_report(demo)
        shutil.copyfile(demo / "figures" / "limits.png", PICTURES / "limits.png")
    print(f"pictures: {PICTURES}")
    return 0


def take_pages(run: Path) -> None:
    """Run the demo anew and take its pages half way."""
    shutil.rmtree(run, ignore_errors=True)
    command = [sys.executable, "-m", "fly64dask", "run", str(DATA / "demo.toml"), "--out", str(run)]
    addresses: dict[str, str] = {}
    n_done = 0
    # Addresses and ended cells are messages of the standard error.
    with (
        browser_page() as page,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            name, _, address = line.strip().partition(": ")
            addresses[name] = address
            if not line.startswith("✔"):
                continue
            n_done += 1
            if n_done == CELLS_DONE["dask-status.png"]:
                show(page, addresses["dashboard"], READY["status"], width=1240, height=800)
                time.sleep(SETTLE_S)
                page.screenshot(PICTURES / "dask-status.png")
                show(page, addresses["matrix"], READY["fly64"], width=1280, height=640)
            elif n_done == CELLS_DONE["fly64.png"]:
                page.screenshot(PICTURES / "fly64.png")
    if process.returncode:
        raise SystemExit(f"run the demo in {run}: exit code {process.returncode}")


def take_report(run: Path) -> None:
    """Write the report with its figures, and take its top and its part on one cell."""
    python("-m", "fly64dask", "report", str(run), "--figures", str(run / "figures"))
    report = (run / "report.html").resolve().as_uri()
    # The pages speak of runs/demo, wherever it was run for the pictures.
    summary, path = "document.getElementById('summary').textContent", json.dumps(str(run.resolve()))
    ready = f"{READY['report']} && ({summary} = {summary}.replace({path}, 'runs/demo'))"
    take(report, "report.png", ready, width=1280, height=1560)
    to_cell = "document.getElementById('detail').scrollIntoView() || true"
    take(report, "report-cell.png", f"{ready} && ({to_cell})", width=1280, height=1400, settle_s=1)


def draw_star(run: Path, scan: Path) -> None:
    """Ingest the measured scan, reconstruct it and keep the figure of its phases."""
    with tempfile.TemporaryDirectory() as name:
        shutil.copyfile(DATA / "star.toml", Path(name) / "star.toml")
        ingested = Path(name) / "star.zarr"
        python("-m", "fly64dask", "ingest", str(scan.resolve()), "--out", str(ingested))
        python("-m", "fly64dask", "run", str(Path(name) / "star.toml"), "--out", str(run))
        python("-m", "fly64dask", "report", str(run), "--figures", str(run / "figures"))
    shutil.copyfile(run / "figures" / "phases.png", PICTURES / "star.png")


def take(address: str, picture: str, ready: str, *, width: int, height: int, settle_s: float = 0) -> None:
    """Open a page without a window, wait until an expression of it is true, and keep what it shows; sizes in px."""
    with browser_page() as page:
        show(page, address, ready, width=width, height=height)
        time.sleep(settle_s)
        page.screenshot(PICTURES / picture)


def show(page: Any, address: str, ready: str, *, width: int, height: int) -> None:
    """Go to an address and wait until an expression of its page is true."""
    page.open(address, width=width, height=height)
    page.wait_for(ready)


@contextmanager
def browser_page() -> Iterator[Any]:
    """Give a page of a browser without a window, that of the tests."""
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    browser = importlib.import_module("browser")
    with tempfile.TemporaryDirectory() as profile, browser.opened_browser(Path(profile)) as page:
        yield page


def python(*arguments: str) -> None:
    """Run a program of this Python from the repository's root; what fails ends the script."""
    subprocess.run([sys.executable, *arguments], check=True, cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main())
