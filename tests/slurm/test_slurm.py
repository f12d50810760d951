"""Runs on a real Slurm of two nodes: whatever happens to jobs, the manifest is full and no job is left."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import tiny
from browser import chromium, opened_browser
from command_line import Command, run_command
from faulty_engine import EPOCH_S, FOLDER
from slurm_lab import NODES, missing_daemons, slurm_lab

from fly64dask.deploy.slurm.commands import how_it_ended
from fly64dask.records import read_run_study
from fly64dask.runs import verify_run
from fly64dask.store import RunLayout

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.slurm]

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


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    missing = missing_daemons()
    if missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs Slurm: {', '.join(missing)} not found")
        pytest.skip(f"no Slurm here: {', '.join(missing)} not found")
    with slurm_lab(tmp_path_factory.mktemp("slurm") / "lab") as conf:
        yield {"SLURM_CONF": str(conf)}


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
        (folder / "faults.json").write_text("{}")
        self.environment = {
            **os.environ,
            **lab,
            FOLDER: str(folder),
            EPOCH_S: "0.1",
            "PYTHONPATH": f"{SUPPORT}:{ROOT}",
            "JAX_PLATFORMS": "cpu",
        }

    def allow(self, max_jobs: int) -> None:
        """Let it have so many worker jobs. One to begin with: a second takes as long to start as some cells to run."""
        self.cluster.write_text(SITE.format(max_jobs=max_jobs))

    def call(self, *command: object, check: bool = True) -> str:
        done = subprocess.run(
            [*map(str, command)], env=self.environment, capture_output=True, text=True, check=False, timeout=300
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

    def jobs(self, states: str = "all") -> list[str]:
        return self.call("squeue", "--noheader", "--me", f"--states={states}", "--format=%i %T %j").splitlines()

    def left(self) -> list[str]:
        """Jobs that wait or run; one that was cancelled takes a moment to go."""
        within(30, lambda: not self.call("squeue", "--noheader", "--me"))
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

    def running_worker(self) -> str:
        """Id of a worker job whose cell is under way."""
        found = []

        def look() -> bool:
            for line in self.jobs("running"):
                job_id, _, name = line.split()
                logs = list(self.out.glob("journal/**/*.log"))
                if "-worker-" in name and any(path.read_text().count(" started ") for path in logs):
                    found.append(job_id)
            return bool(found)

        assert within(180, look) == []
        time.sleep(1.0)  # into an epoch
        return found[0]


def within(seconds: float, done) -> list[str] | None:
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


@pytest.fixture
def site(tmp_path, lab):
    made = Site(tmp_path, lab)
    yield made
    made.clear()


@pytest.fixture(scope="module")
def demo(tmp_path_factory, lab):
    """The demo, submitted, and what a browser saw of it."""
    folder = tmp_path_factory.mktemp("demo")
    site = Site(folder, lab)
    site.allow(2)
    chromium()
    try:
        yield shown_demo(site, tmp_path_factory.mktemp("profile"))
    finally:
        site.clear()


def shown_demo(site: Site, profile: Path) -> dict[str, object]:
    pictures = Path(os.environ.get("FLY64DASK_ARTIFACTS", site.folder))
    # So many epochs that it runs while both pages are looked at, and no more.
    text = re.sub(r"n_epochs = \d+", "n_epochs = 20", (ROOT / "data" / "demo.toml").read_text())
    site.study.write_text(re.sub("stop = .*", 'stop = "epochs"', text))
    done = site.fly64dask(
        *("submit", site.study, "--out", site.out, "--cluster", site.cluster, "--device", "cpu"), "--json"
    )
    assert done.returncode == 0, done.stderr
    job_id = json.loads(done.stdout)["job_id"]
    assert within(300, lambda: site.records()) == []
    address = f"http://127.0.0.1:{json.loads((site.out / 'dashboard.json').read_text())['port']}"
    with opened_browser(profile) as page:
        page.open(f"{address}/fly64", width=1280, height=620)
        page.wait_for("document.querySelectorAll('#matrix td').length === 18")
        looks = [page.evaluate(STATES)]
        page.wait_for(f"{STATES} !== {json.dumps(looks[0])}", seconds=120)
        looks.append(page.evaluate(STATES))
        page.screenshot(pictures / "slurm-fly64.png")
        errors = list(page.console_errors)
        page.open(f"{address}/status", width=1400, height=900)
        page.wait_for("window.Bokeh && Bokeh.documents.length && Bokeh.documents[0].is_idle", seconds=120)
        page.screenshot(pictures / "slurm-status.png")
    assert within(600, lambda: ended(site, job_id)) == []
    return {"site": site, "job_id": job_id, "looks": looks, "errors": errors, "pictures": pictures}


STATES = "[...document.querySelectorAll('#matrix td')].map((td) => td.className).join(' ')"


def test_submit_runs_the_demo_to_18_records(demo):
    assert [row["state"] for row in demo["site"].rows().values()] == ["completed"] * 18
    assert "ExitCode=0:0" in demo["site"].call("scontrol", "show", "job", demo["job_id"])
    assert demo["site"].left() == []


def test_submit_uses_both_nodes_and_a_gpu_for_each_worker(demo):
    listing = demo["site"].call("squeue", "--noheader", "--me", "--states=all", "--format=%j %N %b").splitlines()
    workers = [line.split()[1:] for line in listing if line.startswith(f"demo-worker-{job_tag(demo['site'].out)}")]
    assert {node for node, _ in workers} == {"n0", "n1"}
    assert {gres for _, gres in workers} == {"gres:gpu:1"}


def test_page_shows_the_18_cells_and_how_they_change(demo):
    before, after = demo["looks"]
    assert len(before.split()) >= 18
    assert before != after
    assert demo["errors"] == []
    assert {path.name for path in demo["pictures"].glob("slurm-*.png")} == {"slurm-fly64.png", "slurm-status.png"}


def job_tag(out: Path) -> str:
    return hashlib.sha256(str(out).encode()).hexdigest()[:8]


def test_run_replaces_a_busy_worker_that_was_cancelled(site):
    site.study.write_text(STUDY.replace("n_epochs = 20", "n_epochs = 40"))
    process = site.start()
    victim = site.running_worker()
    before = site.records()
    site.call("scancel", victim)
    assert process.wait(timeout=300) == 1
    assert_whole(site)
    assert {path: site.records()[path] for path in before} == before
    assert site.left() == []


def test_run_replaces_a_job_that_was_cancelled_while_it_waited(site):
    blockers = take_every_gpu(site)
    process = site.start()
    assert within(180, lambda: len(site.jobs("pending")) == 1) == []
    (waiting,) = site.jobs("pending")
    site.call("scancel", waiting.split()[0])
    assert within(180, lambda: site.jobs("pending") not in ([], [waiting])) == []
    site.call("scancel", *blockers)
    assert process.wait(timeout=300) == 1
    assert_whole(site)
    assert site.left() == []


def take_every_gpu(site: Site) -> list[str]:
    """Leave room for no worker job: gives the jobs that hold the GPU of each node."""
    hold = ("sbatch", "--parsable", "--gres=gpu:1", "--nodes=1", "--output=/dev/null", "--wrap=sleep 3000")
    jobs = [site.call(*hold).strip() for _ in NODES]
    assert within(180, lambda: len(site.jobs("running")) == len(NODES)) == []
    return jobs


def failing_sbatch(site: Site, n_times: int) -> None:
    """Put a command before Slurm's that fails for the first n jobs, counted on disk."""
    folder = site.folder / "bin"
    folder.mkdir()
    (folder / "sbatch").write_text(
        "#!/bin/sh\n"
        f'for word; do [ "$word" = --test-only ] && exec {shutil.which("sbatch")} "$@"; done\n'
        f"echo call >> {site.folder}/calls\n"
        f"if [ $(wc -l < {site.folder}/calls) -le {n_times} ]; then\n"
        "  echo 'sbatch: error: Batch job submission failed: Socket timed out' >&2; exit 1\n"
        "fi\n"
        f'exec {shutil.which("sbatch")} "$@"\n'
    )
    (folder / "sbatch").chmod(0o755)
    site.environment["PATH"] = f"{folder}:{site.environment['PATH']}"


# 8 cells, none of which is degenerate: `all` keeps about 30 exposures, `few` some 10.
EIGHT = "".join(line for line in STUDY.splitlines(keepends=True) if '"one"' not in line).replace("[1e5]", "[1e4, 1e5]")


def commands_without(folder: Path, *names: str) -> Path:
    """Fill a folder with the commands of this machine but some."""
    folder.mkdir()
    for path in (*Path("/usr/bin").iterdir(), *Path("/bin").iterdir()):
        if path.name not in names and not (folder / path.name).exists():
            (folder / path.name).symlink_to(path)
    return folder


def awkward_commands(site: Site, *, most_jobs: int) -> None:
    """Give the site's commands a limit of jobs, two empty answers of `squeue`, and neither `scontrol` nor `sacct`.

    Each call of sbatch that is refused, and each answer of squeue, is a line on disk.
    """
    folder = commands_without(site.folder / "bin", "scontrol", "sacct", "sbatch", "squeue")
    (folder / "sbatch").write_text(
        "#!/bin/sh\n"
        f'for word; do [ "$word" = --test-only ] && exec {shutil.which("sbatch")} "$@"; done\n'
        f"if [ $({shutil.which('squeue')} --noheader --me --array | wc -l) -ge {most_jobs} ]; then\n"
        f"  echo refused >> {site.folder}/refused\n"
        "  echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2\n"
        "  echo 'sbatch: error: Batch job submission failed: Job violates accounting/QOS policy' >&2; exit 1\n"
        "fi\n"
        f'exec {shutil.which("sbatch")} "$@"\n'
    )
    (folder / "squeue").write_text(
        "#!/bin/sh\n"
        f'case "$*" in *--me*) echo look >> {site.folder}/looks;; esac\n'
        f"n=$(wc -l < {site.folder}/looks)\n"
        'case "$*" in *--me*) [ "$n" = 5 ] || [ "$n" = 6 ] && exit 0;; esac\n'
        f'exec {shutil.which("squeue")} "$@"\n'
    )
    (site.folder / "looks").touch()
    for name in ("sbatch", "squeue"):
        (folder / name).chmod(0o755)
    site.environment["PATH"] = str(folder)


@pytest.fixture(scope="module")
def limited(tmp_path_factory, lab):
    """A finished run on a site that allows 3 of 16 jobs, whose queue is silent twice, whose partition is drained in the
    middle while a worker is lost, and which has neither `scontrol` nor `sacct`."""
    site = Site(tmp_path_factory.mktemp("limited"), lab)
    site.study.write_text(EIGHT.replace("n_epochs = 20", "n_epochs = 200"))
    site.allow(16)
    whole_path = site.environment["PATH"]
    awkward_commands(site, most_jobs=3)
    try:
        process = site.start()
        site.environment["PATH"] = whole_path  # of the test's own commands
        victim = site.running_worker()
        assert within(240, lambda: site.records()) == []
        before = site.records()
        site.call("scontrol", "update", "partitionname=debug", "state=DRAIN")
        site.call("scancel", victim)
        assert within(120, lambda: "inactive or drain" in (site.folder / "stderr").read_text()) == []
        site.call("scontrol", "update", "partitionname=debug", "state=UP")
        code = process.wait(timeout=400)
        yield {"site": site, "code": code, "before": before, "stderr": (site.folder / "stderr").read_text()}
    finally:
        site.call("scontrol", "update", "partitionname=debug", "state=UP", check=False)
        site.clear()


def test_run_is_whole_on_a_site_with_a_limit_empty_answers_and_a_drained_partition(limited):
    assert limited["code"] == 0, limited["stderr"]
    assert [row["state"] for row in limited["site"].rows().values()] == ["completed"] * 8
    assert limited["site"].left() == []


def test_run_runs_no_finished_cell_again_when_workers_are_lost_on_a_drained_partition(limited):
    assert limited["before"].items() <= limited["site"].records().items()


def test_run_goes_on_with_the_jobs_that_a_site_grants(limited):
    assert "the site takes no more than 3 worker jobs now" in limited["stderr"]
    # One try at a time, and the next one later and later.
    assert 1 <= len((limited["site"].folder / "refused").read_text().splitlines()) < 15


def test_small_cells_go_to_a_pool_without_gpus_while_they_would_wait_for_one(site):
    blockers = take_every_gpu(site)
    site.study.write_text(EIGHT)
    pool = SITE.partition("[workers]")[2].partition("[controller]")[0].format(max_jobs=2)
    cpu = pool.replace("gpus = 1", 'name = "cpu"\ncpus = 2\nslots = 2\nmax_exposures = 20\nsubmit = "array"')
    pools = f'[[workers]]\nname = "gpu"{pool}[[workers]]{cpu.replace("1500MB", "4GB")}'
    site.cluster.write_text(SITE.format(max_jobs=2).replace(f"[workers]{pool}", pools))
    process = site.start()
    assert within(240, lambda: len(site.records()) == 4) == []
    assert all("/few/" in path for path in site.records())
    site.call("scancel", *blockers)
    assert process.wait(timeout=300) == 0, (site.folder / "stderr").read_text()
    calls = {path.name: path.read_text().split()[1] for path in site.folder.glob("dose_*") if path.is_file()}
    assert {name.split("-")[1] for name, job in calls.items() if job.startswith("tiny-gpu-")} == {"all"}
    assert {name.split("-")[1] for name, job in calls.items() if job.startswith("tiny-cpu-")} == {"few"}
    assert site.left() == []


@pytest.mark.parametrize("absent", [(), ("sacct",), ("scontrol",), ("sacct", "scontrol")], ids=",".join)
def test_how_a_job_ended_is_known_on_a_site_without_some_of_its_commands(site, failed_job, monkeypatch, absent):
    monkeypatch.setenv("SLURM_CONF", site.environment["SLURM_CONF"])
    monkeypatch.setenv("PATH", str(commands_without(site.folder / "bin", *absent)))
    assert how_it_ended(failed_job) == "FAILED, NonZeroExitCode, exit code 7:0"


@pytest.fixture(scope="module")
def failed_job(tmp_path_factory, lab):
    """The id of a job that has ended with exit code 7."""
    site = Site(tmp_path_factory.mktemp("failed"), lab)
    job_id = site.call("sbatch", "--parsable", "--output=/dev/null", "--wrap=exit 7").strip()
    assert within(60, lambda: ended(site, job_id)) == []
    return job_id


def test_run_gives_up_with_what_slurm_said_when_sbatch_fails_always(site):
    failing_sbatch(site, 1000)
    done = site.fly64dask("run", site.study, "--out", site.out, "--cluster", site.cluster)
    assert done.returncode == 2
    assert "3 worker jobs in a row failed" in done.stderr
    assert "Socket timed out" in done.stderr
    assert f"correct [workers] or [environment] of {site.cluster}" in done.stderr


def test_run_gives_up_when_workers_die_in_their_prologue(site):
    site.cluster.write_text(site.cluster.read_text() + '[environment]\nsetup = ["exit 7"]\n')
    done = site.fly64dask("run", site.study, "--out", site.out, "--cluster", site.cluster)
    assert done.returncode == 2
    assert "ended before its worker reached the run (FAILED, NonZeroExitCode, exit code 7:0)" in done.stderr
    assert "[environment]" in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("gpus = 1", 'gpus = 1\nqueue = "absent"', "queue in [workers]"),
        ("gpus = 1", 'gpus = 1\ngpu_directive = "--gres=gpu:9"', "gpu_directive in [workers]"),
        ('memory = "1500MB"', 'memory = "900GB"', "memory or cpus or gpu_directive in [workers]"),
    ],
)
def test_submit_names_the_key_that_slurm_refuses_and_queues_nothing(site, old, new, wanted):
    site.cluster.write_text(site.cluster.read_text().replace(old, new))
    done = site.fly64dask("submit", site.study, "--out", site.out, "--cluster", site.cluster)
    assert done.returncode == 2
    assert f"{wanted} of {site.cluster}" in done.stderr
    assert site.jobs("pending,running") == []


def test_submit_refuses_a_run_that_has_a_controller(site):
    take_every_gpu(site)  # no worker is needed
    arguments = ("submit", site.study, "--out", site.out, "--cluster", site.cluster)
    assert site.fly64dask(*arguments).returncode == 0
    second = site.fly64dask(*arguments)
    assert second.returncode == 2
    assert "controller job" in second.stderr
    assert site.fly64dask("cancel", site.out).returncode == 0


def test_cells_go_on_after_the_wall_time(site):
    """Slurm ends jobs up to half a minute after their time is over; no cell of 50 s is done by then."""
    text = STUDY.replace("n_epochs = 20", "n_epochs = 500")
    text = "".join(line for line in text.splitlines(keepends=True) if "threshold_px" not in line)
    site.study.write_text(text.replace("overlap = ", 'split = "none"\noverlap = '))
    process = site.start()
    site.call("scontrol", "update", f"jobid={site.running_worker()}", "endtime=now+2")
    assert process.wait(timeout=800) == 0
    assert [row["state"] for row in site.rows().values()] == ["completed"]
    assert "TIMEOUT" in site.call("squeue", "--noheader", "--me", "--states=all", "--format=%T")
    for journal in site.out.glob("journal/**/*.log"):
        starts = [line for line in journal.read_text().splitlines() if " started " in line]
        assert "checkpoint=-" in starts[0]
        assert "checkpoint=-" not in starts[-1]
    assert site.left() == []


def submitted(site: Site) -> str:
    """Submit it with pty-chi, cells of a second or two; gives the controller's job once the first one has ended."""
    site.study.write_text(STUDY.replace("n_epochs = 20", "n_epochs = 100"))
    done = site.fly64dask(
        "submit", site.study, "--out", site.out, "--cluster", site.cluster, "--device", "cpu", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert within(300, lambda: site.records()) == []
    return str(json.loads(done.stdout)["job_id"])


def driver_of(site: Site) -> psutil.Process:
    (found,) = [
        process
        for process in psutil.process_iter(["cmdline"])
        if "fly64dask" in (words := process.info["cmdline"] or []) and "run" in words and str(site.out) in words
    ]
    return found


def ended(site: Site, job_id: str) -> bool:
    state = site.call("squeue", "--noheader", "--states=all", f"--jobs={job_id}", "--format=%T").strip()
    return state in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")


@pytest.fixture(scope="module")
def disturbed_controller(tmp_path_factory, lab):
    """A finished run, submitted where there is no `scontrol`: its driver was killed, and then its controller job was
    told that its wall time ends. Its site, its first job, and what was committed each time."""
    site = Site(tmp_path_factory.mktemp("disturbed"), lab)
    whole_path = site.environment["PATH"]
    site.environment["PATH"] = str(commands_without(site.folder / "bin", "scontrol"))
    try:
        job_id = submitted(site)
        site.environment["PATH"] = whole_path  # of the test's own commands
        at_kill = site.records()
        driver_of(site).send_signal(signal.SIGKILL)
        assert within(300, lambda: len(site.records()) > len(at_kill)) == []
        at_end = site.records()
        site.call("scancel", "--batch", "--signal=USR1", job_id)  # as Slurm does two minutes before
        assert within(120, lambda: ended(site, job_id)) == []
        assert within(300, lambda: not site.jobs("pending,running,completing")) == []
        yield {"site": site, "job_id": job_id, "at_kill": at_kill, "at_end": at_end}
    finally:
        site.clear()


def test_a_controller_whose_driver_was_killed_goes_on(disturbed_controller):
    site, job_id = disturbed_controller["site"], disturbed_controller["job_id"]
    log = (site.out / "slurm" / "logs" / f"controller-{job_id}.log").read_text()
    assert [code for code in re.findall(r"exit code (\d+)", log) if code == "137"] == ["137"]
    assert disturbed_controller["at_kill"].items() <= disturbed_controller["at_end"].items()


def test_a_controller_whose_wall_time_ends_hands_over_where_there_is_no_scontrol(disturbed_controller):
    site = disturbed_controller["site"]
    assert_whole(site)
    assert disturbed_controller["at_end"].items() <= site.records().items()
    assert len(list(site.out.glob("slurm/logs/controller-*.log"))) == 2


def test_a_controller_that_was_killed_and_requeued_goes_on(site):
    job_id = submitted(site)
    before = site.records()
    driver = driver_of(site)
    shell = driver.parent()
    shell.kill()
    driver.kill()
    site.call("scontrol", "requeue", job_id)
    # Slurm holds a requeued job for two minutes, in which the node ends what is left of it; that is sooner over.
    assert within(180, lambda: any(line.split()[:2] == [job_id, "PENDING"] for line in site.jobs("pending"))) == []
    assert within(120, lambda: not has_step(job_id)) == []
    time.sleep(3)  # the node's clock of seconds tells the new start from the old one
    site.call("scontrol", "update", f"jobid={job_id}", "starttime=now")
    assert within(300, lambda: ended(site, job_id)) == []
    assert_whole(site)
    assert {path: site.records()[path] for path in before} == before
    assert site.left() == []


def has_step(job_id: str) -> bool:
    """Whether a node still has a process of a job."""
    titles = (" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
    return any(title.startswith(f"slurmstepd: [{job_id}.") for title in titles)


# One cell, and a target that no dose reaches: a round adds one at a decade above.
ADAPTIVE = "".join(line for line in STUDY.splitlines(keepends=True) if "threshold_px" not in line).replace(
    "overlap = ",
    'split = "none"\ntargets = [{phase_error_rad = 1e-9}]\nadaptive = {max_cells = 1}\noverlap = ',
)


def test_rounds_of_an_adaptive_study_run_in_the_submitted_controller(site):
    site.study.write_text(ADAPTIVE)
    words = ("submit", site.study, "--out", site.out, "--cluster", site.cluster, "--device", "cpu")
    done = site.fly64dask(*words)
    assert done.returncode == 0, done.stderr
    assert "rounds follow" in done.stdout
    followed = site.fly64dask("attach", site.out, "--interval", 0.5)
    assert followed.returncode == 0, followed.stderr
    assert {place: row["state"] for place, row in site.rows().items()} == {
        (1e5, "all", "whole"): "completed",
        (1e6, "all", "whole"): "completed",
    }
    assert "dose_1000000/all/whole" in followed.stdout
    assert site.left() == []


def test_attach_judges_the_cells_that_were_submitted_and_submit_starts_nothing_where_none_is_left(site):
    words = ("submit", site.study, "--out", site.out, "--cluster", site.cluster, "--view", "all", "--split", "train")
    first = site.fly64dask(*words)
    assert (first.returncode, "1 cells to run" in first.stdout) == (0, True), first.stderr
    followed = site.fly64dask("attach", site.out, "--interval", 0.5)
    assert followed.returncode == 0, followed.stderr
    assert "ssh -N" in followed.stdout
    assert " -J " not in followed.stdout  # the login node is the node here
    assert "None" not in followed.stdout
    assert "dose_100000/all/train completed" in followed.stdout
    again = site.fly64dask(*words)
    assert (again.returncode, again.stdout) == (0, "nothing is left to do: all 1 cells are done\n")
    assert site.jobs("pending,running") == []
    looked = site.fly64dask("attach", site.out)
    assert looked.returncode == 0, looked.stderr
    assert "before   dose_100000/all/train completed" in looked.stdout


def test_cancel_ends_controller_and_workers(site):
    submitted(site)
    done = site.fly64dask("cancel", site.out)
    assert done.returncode == 0, done.stderr
    assert "none is left" in done.stdout
    assert site.left() == []
    # What runs has a minute to write down that it was interrupted, which is no failure.
    for record in map(json.loads, site.records().values()):
        assert (record["state"] == "interrupted") == (record.get("failure_kind") == "interrupted")
    assert site.fly64dask("attach", site.out).returncode == 2


def beyond_loopback() -> str:
    """Name of an interface of this machine that others can reach; loopback where there is none."""
    for name, addresses in psutil.net_if_addrs().items():
        for address in addresses:
            if address.family == socket.AF_INET and not address.address.startswith("127."):
                return name
    return "lo"


def listening(site: Site) -> set[tuple[str, int]]:
    """Addresses on which the driver of a site's run and the workers of its jobs listen."""
    assert site.process is not None
    found = set()
    for process in psutil.process_iter():
        try:
            words = " ".join(process.cmdline())
            environment = process.environ() if "dask_worker" in words or "spawn_main" in words else {}
            if process.pid == site.process.pid or environment.get(FOLDER) == str(site.folder):
                connections = process.net_connections("tcp")
                found |= {tuple(one.laddr) for one in connections if one.status == psutil.CONN_LISTEN}
        except psutil.Error:
            continue
    return found


def refuses_without_certificate(ip: str, port: int) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((ip, port), timeout=10) as plain, context.wrap_socket(plain) as link:
            link.recv(1)
    except ssl.SSLError as error:
        return "certificate required" in str(error)
    return False


@pytest.fixture(scope="module")
def awkward(tmp_path_factory, lab):
    """A finished run in an awkward directory, on an interface that others can reach, whose first two jobs could not be
    submitted; its site, and what listened while it ran."""
    site = Site(tmp_path_factory.mktemp("awkward"), lab)
    site.out = site.folder / "my run" / "dose%20a"
    site.cluster.write_text(site.cluster.read_text().replace('"lo"', f'"{beyond_loopback()}"'))
    failing_sbatch(site, 2)
    try:
        process = site.start()
        site.running_worker()
        sockets = listening(site)
        dashboard = ("127.0.0.1", json.loads((site.out / "dashboard.json").read_text())["port"])
        refused = {one: refuses_without_certificate(*one) for one in sockets if not one[0].startswith("127.")}
        assert process.wait(timeout=300) == 1
        yield {"site": site, "sockets": sockets, "dashboard": dashboard, "refused": refused}
    finally:
        site.clear()


def test_run_takes_a_directory_with_a_space_and_a_percent_sign(awkward):
    assert_whole(awkward["site"])
    assert list(awkward["site"].out.glob("slurm/logs/tiny-worker-*.log"))


def test_run_submits_again_after_sbatch_failed(awkward):
    assert_whole(awkward["site"])
    assert len((awkward["site"].folder / "calls").read_text().splitlines()) >= 3


def test_nothing_but_tls_listens_beyond_loopback_and_it_refuses_who_has_no_certificate(awkward):
    if beyond_loopback() == "lo":
        pytest.skip("this machine has no IPv4 address beyond loopback")
    assert awkward["dashboard"] in awkward["sockets"]
    # The scheduler, and of each worker the process and the nanny that watches it.
    assert len(awkward["refused"]) >= 3
    assert set(awkward["refused"].values()) == {True}


def test_submit_matrix_submits_every_study_of_a_folder_and_leaves_alone_what_runs(site):
    take_every_gpu(site)  # no worker is needed
    studies, runs = site.folder / "studies", site.folder / "runs"
    studies.mkdir()
    for name in ("first", "second"):
        (studies / f"{name}.toml").write_text(STUDY.replace('"tiny"', f'"{name}"'))
    site.environment["FLY64DASK"] = str(site.folder / "fly64dask")
    (site.folder / "fly64dask").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fly64dask "$@"\n')
    (site.folder / "fly64dask").chmod(0o755)
    submit = (ROOT / "scripts" / "submit_matrix.sh", studies, runs, site.cluster, "--device", "cpu")
    first = site.call(*submit).splitlines()
    assert [line.split(":")[0] for line in first] == ["first", "second"]
    assert all("submitted: job" in line for line in first)
    assert site.call(*submit).splitlines() == ["first: under way", "second: under way"]
    for name in ("first", "second"):
        assert site.fly64dask("cancel", runs / name).returncode == 0
