"""A site with a real Slurm as tests use it: a study, a cluster file, and the commands of a person there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import tiny
from command_line import Command, run_command
from faulty_engine import EPOCH_S, FOLDER, tell
from slurm_lab import NODES

from fly64dask.records import read_run_study
from fly64dask.runs import verify_run
from fly64dask.store import RunLayout

SUPPORT = Path(tiny.__file__).resolve().parent
ROOT = SUPPORT.parents[1]
SITE = """
schema_version = 1
[workers]
walltime = "00:10:00"
memory = "1500MB"
gpus = 1
max_jobs = {max_jobs}
[controller]
memory = "1GB"
[network]
interface = "lo"
[patience]
retry_s = 1
failures_in_a_row = 3
"""
# 4 cells that an engine without torch does in about 2 s each, and 2 that no engine can.
STUDY = tiny.TEXT.replace("n_epochs = 3", "n_epochs = 20").replace("[1e4, 1e5]", "[1e5]")
STUDY = STUDY.replace("[source]", "checkpoints = {min_seconds = 0}\n[source]")
N_CELLS, N_DEGENERATE = 6, 2
# Cells none of which is degenerate: `all` keeps about 30 exposures, `few` some 10.
FOUR = "".join(line for line in STUDY.splitlines(keepends=True) if '"one"' not in line)
EIGHT = FOUR.replace("[1e5]", "[1e4, 1e5]")


class Site:
    """A folder with a study and a cluster file, and the commands of a person there."""

    def __init__(self, folder: Path, lab: dict[str, str]) -> None:
        self.folder = folder
        self.process: Command | None = None
        self.out = folder / "run"
        self.study = folder / "tiny.toml"
        self.study.write_text(STUDY)
        self.cluster = folder / "site.toml"
        self.allow(1)
        shutil.copy(ROOT / "cluster" / "controller.sbatch", folder)
        self.tell({})
        self.whole_environment = {**os.environ, **lab}  # of the test's own commands
        self.environment = {
            **self.whole_environment,
            FOLDER: str(folder),
            EPOCH_S: "0.1",
            "PYTHONPATH": f"{SUPPORT}:{ROOT}",
            "JAX_PLATFORMS": "cpu",
        }

    def allow(self, max_jobs: int) -> None:
        """Let it have so many worker jobs. One to begin with: a second takes as long to start as some cells to run."""
        self.cluster.write_text(SITE.format(max_jobs=max_jobs))

    def lack(self, *names: str) -> Path:
        """Take some commands away from what runs there; gives the folder of those that are left."""
        folder = commands_without(self.folder / "bin", *names)
        self.environment["PATH"] = str(folder)
        return folder

    def tell(self, faults: Mapping[str, str | int | None]) -> None:
        """Say what is to happen to cells from now on, as `faulty_engine` has it."""
        tell(self.folder, faults)

    def begun(self) -> list[str]:
        """Cells that have begun, as their engine knows them."""
        return [path.name for path in self.folder.glob("dose_*") if path.is_file()]

    def call(self, *command: object, check: bool = True, environment: dict[str, str] | None = None) -> str:
        done = subprocess.run(
            [*map(str, command)],
            env=environment or self.whole_environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def fly64dask(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return run_command(*arguments, cwd=Path.cwd(), environment=self.environment, forks_all=False)

    def start(self) -> Command:
        """Run it with the engine of the tests, with the driver here and workers in Slurm jobs."""
        self.process = Command(
            *("run_with_faulty_engine", self.study, self.out, self.cluster),
            stdout=Path(os.devnull),
            stderr=self.folder / "stderr",
            environment=self.environment,
        )
        return self.process

    def said(self) -> str:
        """What the run has said on the terminal."""
        return (self.folder / "stderr").read_text()

    def jobs(self, states: str = "all") -> list[str]:
        return self.call("squeue", "--noheader", "--me", f"--states={states}", "--format=%i %T %j").splitlines()

    def left(self) -> list[str]:
        """Jobs that wait or run; one that was cancelled takes a moment to go."""
        within(180, lambda: not self.call("squeue", "--noheader", "--me"))
        return self.call("squeue", "--noheader", "--me").splitlines()

    def clear(self) -> None:
        """Leave nothing to the next test."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.call("scancel", "--quiet", "--me", check=False)
        assert self.left() == []

    def rows(self) -> dict[tuple[float, str, str], dict[str, object]]:
        manifest = json.loads((self.out / "reconstruction_manifest.json").read_text())
        return {(row["dose"], row["view"], row["split"]): row for row in manifest["execution_results"]}

    def records(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in self.out.glob("dose_*/*/*/record.json")}

    def running_worker(self, name_has: str = "-worker-") -> str:
        """Id of a worker job whose cell is under way."""
        found = []

        def look() -> bool:
            for line in self.jobs("running"):
                job_id, _, name = line.split()
                logs = list(self.out.glob("journal/**/*.log"))
                if name_has in name and any(path.read_text().count(" started ") for path in logs):
                    found.append(job_id)
            return bool(found)

        assert within(180, look) == []
        time.sleep(1.0)  # into an epoch
        return found[0]


def within(seconds: float, done: Callable[[], object]) -> list[str] | None:
    """Wait until something holds; gives an empty list, or None if it does not in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if done():
            return []
        time.sleep(0.2)
    return None


def assert_whole(site: Site) -> None:
    """The full manifest: all cells completed but those that no engine can do."""
    kinds = [row.get("failure_kind") for row in site.rows().values()]
    assert len(kinds) == N_CELLS
    assert sorted(filter(None, kinds)) == ["degenerate_scan"] * N_DEGENERATE
    layout = RunLayout(site.out)
    assert verify_run(read_run_study(layout), layout) == ()


def ended(site: Site, job_id: str) -> bool:
    state = site.call("squeue", "--noheader", "--states=all", f"--jobs={job_id}", "--format=%T").strip()
    return state in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")


def take_every_gpu(site: Site) -> list[str]:
    """Leave room for no worker job: gives the jobs that hold the GPU of each node."""
    hold = ("sbatch", "--parsable", "--gres=gpu:1", "--nodes=1", "--output=/dev/null", "--wrap=sleep 3000")
    jobs = [site.call(*hold).strip() for _ in NODES]
    assert within(180, lambda: len(site.jobs("running")) == len(NODES)) == []
    return jobs


def commands_without(folder: Path, *names: str) -> Path:
    """Fill a folder with the commands of this machine but some."""
    folder.mkdir()
    for path in (*Path("/usr/bin").iterdir(), *Path("/bin").iterdir()):
        if path.name not in names and not (folder / path.name).exists():
            (folder / path.name).symlink_to(path)
    return folder
