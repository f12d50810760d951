"""Retake the pictures of the demo that the pages show: while it runs, its report, its figures; or that of a scan.

python scripts/retake_pictures.py runs/pictures                   # the demo, two minutes on two cores
python scripts/retake_pictures.py runs/pictures --star siemens-star-small.npz.bz2

A run that is in the folder already is used as it is, and its page of a run under way is not taken again. Look at each
picture before you keep it: this only takes them. `make figures` runs this and the scripts of the other pictures.
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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
DATA = ROOT / "data"
CELLS_BEFORE_PAGES = 9  # of the demo's 18: half of its page is done then
SETTLE_S = 3.0  # until a page of a run has drawn its first numbers
# What is true of a page once it can be taken.
READY = {
    "fly64": "document.querySelectorAll('#matrix td').length > 0",
    "status": "window.Bokeh && Bokeh.documents.length > 0",
    "report": "document.body && document.body.dataset.ready === 'yes'",
}
FIGURES = {"demo.png": "phases.png", "limits.png": "limits.png"}


def main() -> int:
    """Run what the pictures show, and take them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="directory of the runs")
    parser.add_argument(
        "--star", type=Path, help="scan of data/star.toml: take the picture of its phases, and none of the demo"
    )
    arguments = parser.parse_args()
    if arguments.star:
        draw_star(arguments.folder / "star", arguments.star)
        return 0
    demo = arguments.folder / "demo"
    if (demo / "reconstruction_manifest.json").exists():
        print(f"{demo} was finished: fly64.png and dask-status.png stay as they are")
    else:
        run_demo(demo)
    take_report(demo)
    for picture, figure in FIGURES.items():
        shutil.copyfile(demo / "figures" / figure, PICTURES / picture)
    print(f"pictures: {PICTURES}")
    return 0


def run_demo(run: Path) -> None:
    """Run the demo and take its pages half way."""
    command = [sys.executable, "-m", "fly64dask", "run", str(DATA / "demo.toml"), "--out", str(run)]
    addresses: dict[str, str] = {}
    n_done, has_taken = 0, False
    # Addresses and ended cells are messages of the standard error.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            name, _, address = line.strip().partition(": ")
            addresses[name] = address
            n_done += line.startswith("✔")
            if n_done == CELLS_BEFORE_PAGES and not has_taken:
                has_taken = True
                take(addresses["matrix"], "fly64.png", READY["fly64"], width=1280, height=640, settle_s=SETTLE_S)
                take(
                    addresses["dashboard"],
                    "dask-status.png",
                    READY["status"],
                    width=1240,
                    height=800,
                    settle_s=SETTLE_S,
                )
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
    sys.path.insert(0, str(ROOT / "tests" / "support"))
    browser = importlib.import_module("browser")
    with tempfile.TemporaryDirectory() as profile, browser.opened_browser(Path(profile)) as page:
        page.open(address, width=width, height=height)
        page.wait_for(ready)
        time.sleep(settle_s)
        page.screenshot(PICTURES / picture)


def python(*arguments: str) -> None:
    """Run a program of this Python from the repository's root; what fails ends the script."""
    subprocess.run([sys.executable, *arguments], check=True, cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main())
