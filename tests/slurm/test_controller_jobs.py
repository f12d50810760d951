"""Submitted runs on a real Slurm: a controller job, what happens to it, and the commands that follow and end it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from browser import chromium, opened_browser
from slurm_site import ROOT, STUDY, Site, assert_whole, ended, take_every_gpu, within

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.slurm]


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


def test_submit_refuses_a_run_that_has_a_controller_and_status_says_what_its_jobs_wait_for(site):
    take_every_gpu(site)  # no worker can start
    arguments = ("submit", site.study, "--out", site.out, "--cluster", site.cluster)
    assert site.fly64dask(*arguments).returncode == 0
    looks = []
    assert (
        within(60, lambda: "(Resources)" in (looks.append(site.fly64dask("status", site.out).stdout) or looks[-1]))
        == []
    )
    assert "pending" in looks[0]  # the matrix, before the run has begun
    assert looks[-1].endswith("worker jobs: 1 pending (Resources)\n")
    second = site.fly64dask(*arguments)
    assert second.returncode == 2
    assert "its controller job" in second.stderr
    assert site.fly64dask("cancel", site.out).returncode == 0


def test_of_two_submits_in_the_same_moment_one_is_refused(site):
    take_every_gpu(site)  # no worker is needed
    words = ("submit", site.study, "--out", site.out, "--cluster", site.cluster, "--device", "cpu")
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(lambda _: site.fly64dask(*words), range(2)))
    assert sorted(done.returncode for done in both) == [0, 2], [done.stderr for done in both]
    assert sum("-controller-" in line for line in site.jobs("pending,running")) == 1
    assert site.fly64dask("cancel", site.out).returncode == 0


def test_a_second_controller_is_refused_and_leaves_the_workers_of_the_first_alone(site):
    submitted(site, n_epochs=1000)
    workers = worker_jobs(site)
    second = site.call("sbatch", "--parsable", site.out / "slurm" / "controller.sbatch").strip()
    assert within(120, lambda: ended(site, second)) == []
    assert "another run is using it" in (site.out / "slurm" / "logs" / f"controller-{second}.log").read_text()
    assert len(workers) == 1
    assert worker_jobs(site) == workers
    assert site.fly64dask("cancel", site.out).returncode == 0


def worker_jobs(site: Site) -> list[str]:
    return [line for line in site.jobs("running") if "-worker-" in line]


def submitted(site: Site, n_epochs: int = 100) -> str:
    """Submit it with pty-chi, cells of a second or two; gives the controller's job once the first one has ended."""
    site.study.write_text(STUDY.replace("n_epochs = 20", f"n_epochs = {n_epochs}"))
    done = site.fly64dask(
        "submit", site.study, "--out", site.out, "--cluster", site.cluster, "--device", "cpu", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert within(300, lambda: site.records()) == []
    return str(json.loads(done.stdout)["job_id"])


def driver_of(site: Site) -> psutil.Process:
    found = [
        process
        for process in psutil.process_iter(["cmdline", "ppid"])
        if "fly64dask" in (words := process.info["cmdline"] or []) and "run" in words and str(site.out) in words
    ]
    # What it starts has its command line for a moment.
    numbers = {process.pid for process in found}
    (driver,) = [process for process in found if process.info["ppid"] not in numbers]
    return driver


@pytest.fixture(scope="module")
def disturbed_controller(tmp_path_factory, lab):
    """A finished run, submitted where there is no `scontrol`: its driver was killed, and then its controller job was
    told that its wall time ends. Its site, its first job, and what was committed each time."""
    site = Site(tmp_path_factory.mktemp("disturbed"), lab)
    site.lack("scontrol")
    try:
        job_id = submitted(site, n_epochs=200)
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
    assert (first.returncode, "1 cell to run" in first.stdout) == (0, True), first.stderr
    followed = site.fly64dask("attach", site.out, "--interval", 0.5)
    assert followed.returncode == 0, followed.stderr
    assert "ssh -N" in followed.stdout
    assert " -J " not in followed.stdout  # the login node is the node here
    assert "None" not in followed.stdout
    assert "dose_100000/all/train completed" in followed.stdout
    again = site.fly64dask(*words)
    assert (again.returncode, again.stdout) == (0, "nothing is left to do: the cell is done\n")
    assert site.jobs("pending,running") == []
    looked = site.fly64dask("attach", site.out)
    assert looked.returncode == 0, looked.stderr
    assert "before   dose_100000/all/train completed" in looked.stdout


def test_attach_counts_the_cells_that_were_submitted_of_a_matrix_too_large_to_show(site):
    site.study.write_text("repeats = 600\n" + STUDY)
    words = ("submit", site.study, "--out", site.out, "--cluster", site.cluster, "--view", "all", "--split", "train")
    first = site.fly64dask(*words, "--repeat", 3)
    assert (first.returncode, "1 cell to run" in first.stdout) == (0, True), first.stderr
    followed = site.fly64dask("attach", site.out, "--interval", 0.5)
    assert followed.returncode == 0, followed.stderr
    assert "1 completed" in followed.stdout
    assert "pending" not in followed.stdout.splitlines()[-1]


def test_cancel_ends_controller_and_workers(site):
    submitted(site, n_epochs=300)
    done = site.fly64dask("cancel", site.out)
    assert done.returncode == 0, done.stderr
    assert "none is left" in done.stdout
    assert site.left() == []
    (log,) = site.out.glob("slurm/logs/controller-*.log")
    assert "stopping: " in log.read_text()
    assert "stopped at once" not in log.read_text()
    assert not (site.out / ".tls").exists()
    # What runs has a minute to write down that it was interrupted, which is no failure.
    for record in map(json.loads, site.records().values()):
        assert (record["state"] == "interrupted") == (record.get("failure_kind") == "interrupted")
    assert site.fly64dask("attach", site.out).returncode == 2


def test_scancel_of_the_controller_ends_the_run_in_order(site):
    job_id = submitted(site, n_epochs=1000)
    site.running_worker()
    site.call("scancel", job_id)
    assert within(180, lambda: ended(site, job_id)) == []
    assert site.left() == []
    log = (site.out / "slurm" / "logs" / f"controller-{job_id}.log").read_text()
    assert "stopping: " in log
    assert "stopped at once" not in log
    assert "interrupted" in {row["state"] for row in site.rows().values()}
    left = [path.name for path in (site.out / ".tls", site.out / "live", site.out / "dashboard.json") if path.exists()]
    assert left == []


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
    first = site.call(*submit, environment=site.environment).splitlines()
    assert [line.split(":")[0] for line in first] == ["first", "second"]
    assert all("submitted: job" in line for line in first)
    assert site.call(*submit, environment=site.environment).splitlines() == ["first: under way", "second: under way"]
    for name in ("first", "second"):
        assert site.fly64dask("cancel", runs / name).returncode == 0
