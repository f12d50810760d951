"""Installs the wheel as each kind of user would, outside the checkout, uses it, and prints sizes and times as a table.

It builds the wheel, makes an environment for each kind in a temporary folder, and runs its commands there. With names
of kinds only these are tried: `cpu` before `viewer`, which looks at the run that `cpu` has made. It needs pip with a
package index, and for `cpu` a build of torch for CPUs that pip finds (`--torch`). The exit code is not 0 if a command
does not do what it shall, or a kind is larger than it may be. `make figures FIGURES=install` puts the table into
docs/how-to/install.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ONE_CELL = ("--dose", "1e4", "--view", "dense", "--split", "train", "--device", "cpu", "--workers", "1")
LOOKS = (
    (0, "status", "runs/mine"),
    (0, "limits", "runs/mine"),
    (0, "report", "runs/mine"),
    (0, "table", "runs/mine", "--out", "mine.csv"),
    (0, "verify", "runs/mine"),
    (0, "runs", "runs"),
)
RUNS = (
    (0, "new", "mine.toml"),
    (0, "run", "mine.toml", "--out", "runs/mine", "--dry-run"),
    (0, "run", "mine.toml", "--out", "runs/mine", *ONE_CELL),
    *LOOKS,
    (0, "doctor"),
)
Words = tuple[int | str, ...]  # the exit code that a command shall have, and its arguments


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of user: what pip is asked for, in this order, the commands that shall work then, and the largest size."""

    what: str
    installs: Sequence[tuple[str, ...]]
    commands: Sequence[Words]
    most_megabytes: float = float("inf")


@dataclass(kw_only=True)
class Found:
    """What an installation was found to be."""

    megabytes: float = 0.0
    n_packages: int = 0
    install_s: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)


def kinds_of(wheel: Path, torch: str) -> dict[str, Kind]:
    """Say what each kind of user installs, the one first whose run the others look at."""
    return {
        "cpu": Kind(
            what="run on a CPU, ingest scans",
            installs=[(f"{wheel}[run,ingest]",), (torch,), ("--no-deps", "ptychi")],
            commands=RUNS,
            most_megabytes=2000,
        ),
        "viewer": Kind(
            what="look at runs, write studies",
            installs=[(str(wheel),)],
            commands=((0, "new", "other.toml"), *LOOKS, (2, "run", "other.toml", "--out", "runs/other")),
            most_megabytes=400,
        ),
        "full": Kind(what="all of it, for GPUs too", installs=[(f"{wheel}[all]",)], commands=RUNS),
    }


def main() -> None:
    """Try the kinds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="kind", help="cpu, viewer or full; all if none is given")
    parser.add_argument("--torch", default="torch==2.13.0+cpu", help="what pip is asked for on a CPU [%(default)s]")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fly64dask-install-") as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", name], cwd=ROOT, check=True)
        (wheel,) = folder.glob("*.whl")
        kinds = kinds_of(wheel, options.torch)
        lines = [
            "| kind | for | packages | MB | pip install | `fly64dask --help` | `status` | `run` of one cell |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for kind in options.kinds or kinds:
            print(f"== {kind}", flush=True)
            found = try_kind(kinds[kind], folder / kind, folder)
            run = f"{found.seconds['run']:.0f} s" if kind != "viewer" else "refused, with what to install"
            size = f"{found.n_packages} | {found.megabytes:.0f} | {found.install_s:.0f} s"
            quick = f"{found.seconds['--help']:.2f} s | {found.seconds['status']:.2f} s"
            lines.append(f"| {kind} | {kinds[kind].what} | {size} | {quick} | {run} |")
            shutil.rmtree(folder / kind)
    print("\n".join(lines))


def try_kind(kind: Kind, environment: Path, work: Path) -> Found:
    """Make an environment, install into it, and run the commands in a folder beside it."""
    found = Found()
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    packages = next((environment / "lib").glob("python*/site-packages"))
    own_bytes, own = _bytes_of(packages), len([*packages.glob("*.dist-info")])
    start = time.monotonic()
    for words in kind.installs:
        print("pip install", *words, flush=True)
        subprocess.run([environment / "bin" / "python", "-m", "pip", "install", "--quiet", *words], check=True)
    found.install_s = time.monotonic() - start
    found.megabytes = (_bytes_of(packages) - own_bytes) / 1e6
    found.n_packages = len([*packages.glob("*.dist-info")]) - own
    if found.megabytes > kind.most_megabytes:
        sys.exit(f"{environment.name}: {found.megabytes:.0f} MB installed, at most {kind.most_megabytes} MB needed")
    (work / "mine.toml").unlink(missing_ok=True)
    if any(words[1] == "doctor" for words in kind.commands):
        shutil.rmtree(work / "runs", ignore_errors=True)
    for code, *arguments in ((0, "--help"), (0, "--help"), *kind.commands):
        found.seconds[str(arguments[0])] = _run(environment / "bin" / "fly64dask", code, arguments, work)
    return found


def _run(program: Path, code: int | str, arguments: Sequence[int | str], work: Path) -> float:
    """Run a command, check its exit code and, where it refuses, that it says what to install; gives its seconds."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    start = time.monotonic()
    done = subprocess.run(
        [program, *map(str, arguments)], cwd=work, env=environment, capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - start
    print(f"fly64dask {' '.join(map(str, arguments))}: exit {done.returncode}, {seconds:.2f} s", flush=True)
    if done.returncode != code or (code == 2 and "pip install 'fly64dask[engine]'" not in done.stderr):
        sys.exit(f"needed exit {code}\n{done.stdout}\n{done.stderr}")
    return seconds


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


if __name__ == "__main__":
    main()
