"""Installs the wheel as each kind of user would, outside the checkout, uses it, and says sizes and times.

python scripts/check_install.py --json docs/measurements/install.json

It builds the wheel, makes an environment for each kind in a temporary folder, and runs its commands there. With names
of kinds only these are tried: `cpu` before `viewer`, which looks at the run that `cpu` has made. It needs pip with a
package index, and for `cpu` a build of torch for CPUs that pip finds (`--torch`). The exit code is not 0 if a command
does not do what it shall, or a kind is larger than it may be. `make figures FIGURES="install --measure"` runs this and
puts the table into docs/how-to/install.md.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).with_name("bench")))
from measuring import machine, rows_table, tell

ADOPT = 36  # PR_SET_CHILD_SUBREAPER of prctl(2): what a command leaves behind becomes a child of this process
ROOT = Path(__file__).resolve().parents[1]
ONE_CELL = ("--dose", "1e4", "--view", "dense", "--split", "train", "--device", "cpu", "--workers", "1")
LOOKS = (
    (0, "status", "runs/mine"),
    (0, "limits", "runs/mine"),
    (0, "report", "runs/mine"),
    (0, "table", "runs/mine", "--out", "mine.csv", "--force"),
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
    most_mb: float | None = None


def kinds_of(wheel: Path, torch: str) -> dict[str, Kind]:
    """Say what each kind of user installs, the one first whose run the others look at."""
    return {
        "cpu": Kind(
            what="run on a CPU, ingest scans",
            installs=[(f"{wheel}[run,ingest]",), (torch,), ("--no-deps", "ptychi")],
            commands=RUNS,
            most_mb=2000,
        ),
        "viewer": Kind(
            what="look at runs, write studies",
            installs=[(str(wheel),)],
            commands=((0, "new", "other.toml"), *LOOKS, (2, "run", "other.toml", "--out", "runs/other")),
            most_mb=400,
        ),
        "full": Kind(what="all of it, for GPUs too", installs=[(f"{wheel}[all]",)], commands=RUNS),
    }


def main() -> None:
    """Try the kinds, and say what each takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="kind", help="cpu, viewer or full; all if none is given")
    parser.add_argument("--torch", default="torch==2.13.0+cpu", help="what pip is asked for on a CPU [%(default)s]")
    parser.add_argument("--json", type=Path, help="file for the figures")
    options = parser.parse_args()
    ctypes.CDLL(None).prctl(ADOPT, 1, 0, 0, 0)
    facts, rows = machine(), []
    with tempfile.TemporaryDirectory(prefix="fly64dask-install-") as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", name], cwd=ROOT, check=True)
        (wheel,) = folder.glob("*.whl")
        kinds = kinds_of(wheel, options.torch)
        for kind in options.kinds or kinds:
            print(f"== {kind}", flush=True)
            rows.append({"kind": kind, "what": kinds[kind].what, **try_kind(kinds[kind], folder / kind, folder)})
            shutil.rmtree(folder / kind)
    tell(facts, {"kinds": rows}, rows_table(rows), (), options.json)


def try_kind(kind: Kind, environment: Path, work: Path) -> dict[str, Any]:
    """Make an environment, install into it, and run the commands in a folder beside it; gives sizes and times."""
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    packages = next((environment / "lib").glob("python*/site-packages"))
    own_bytes, own = _bytes_of(packages), len([*packages.glob("*.dist-info")])
    begun_s = _children_cpu_s()
    for words in kind.installs:
        print("pip install", *words, flush=True)
        subprocess.run([environment / "bin" / "python", "-m", "pip", "install", "--quiet", *words], check=True)
    found: dict[str, Any] = {
        "n_packages": len([*packages.glob("*.dist-info")]) - own,
        "mb": (_bytes_of(packages) - own_bytes) / 1e6,
        "most_mb": kind.most_mb,
        "install_s": _children_cpu_s() - begun_s,
    }
    if kind.most_mb and found["mb"] > kind.most_mb:
        sys.exit(f"{environment.name}: {found['mb']:.0f} MB installed, at most {kind.most_mb} MB needed")
    (work / "mine.toml").unlink(missing_ok=True)
    if any(words[1] == "doctor" for words in kind.commands):
        shutil.rmtree(work / "runs", ignore_errors=True)
    for code, *arguments in ((0, "--help"), (0, "--help"), *kind.commands):
        seconds = _run(environment / "bin" / "fly64dask", code, arguments, work)
        if code == 0:
            found[f"{str(arguments[0]).strip('-')}_s"] = seconds
    return found


def _run(program: Path, code: int | str, arguments: Sequence[int | str], work: Path) -> float:
    """Run a command, check its exit code and, where it refuses, that it says what to install; gives its CPU seconds."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    begun_s = _children_cpu_s()
    done = subprocess.run(
        [program, *map(str, arguments)], cwd=work, env=environment, capture_output=True, text=True, check=False
    )
    seconds = _children_cpu_s() - begun_s
    print(f"fly64dask {' '.join(map(str, arguments))}: exit {done.returncode}, {seconds:.2f} s of CPU", flush=True)
    if done.returncode != code or (code == 2 and "pip install 'fly64dask[engine]'" not in done.stderr):
        sys.exit(f"needed exit {code}\n{done.stdout}\n{done.stderr}")
    return seconds


def _children_cpu_s() -> float:
    """CPU time of all that was started, once it has ended: other work on the machine adds little to it."""
    with suppress(ChildProcessError):  # none is left
        while True:
            os.wait()  # for those that a command leaves to end by themselves
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


if __name__ == "__main__":
    main()
