"""Runs whose workers are jobs of a real Slurm: whatever happens to these, the manifest is full and no job is left."""

from __future__ import annotations

import json
import shutil
import socket
import ssl

import psutil
import pytest
from faulty_engine import FOLDER
from slurm_site import EIGHT, FOUR, SITE, Site, commands_without, ended, take_every_gpu, within

from fly64dask.deploy.slurm.batch.commands import how_it_ended
from fly64dask.deploy.slurm.job_server import ADDRESS
from fly64dask.records import read_run_study
from fly64dask.runs import verify_run
from fly64dask.store import RunLayout

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.slurm]


def awkward_commands(site: Site, *, most_jobs: int) -> None:
    """Give the site's commands a limit of jobs, two empty answers of `squeue`, and neither `scontrol` nor `sacct`.

    Each call of sbatch that is refused, and each answer of squeue, is a line on disk.
    """
    folder = site.lack("scontrol", "sacct", "sbatch", "squeue")
    (folder / "sbatch").write_text(
        "#!/bin/sh\n"
        f'for word; do [ "$word" = --test-only ] && exec {shutil.which("sbatch")} "$@"; done\n'
        f"n=$({shutil.which('squeue')} --noheader --me --array --states=PENDING,RUNNING | wc -l)\n"
        f'if [ "$n" -ge {most_jobs} ]; then\n'
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


@pytest.fixture(scope="module")
def limited(tmp_path_factory, lab):
    """A finished run on a site without `scontrol` and `sacct` that allows 3 of 16 jobs, whose queue is silent twice and
    whose partition is drained while the wall time of a worker ends.

    Slurm ends jobs up to half a minute after their time is over. The cells last much longer: a job that ends is
    replaced only if more cells are left than the other jobs have.
    """
    site = Site(tmp_path_factory.mktemp("limited"), lab)
    site.study.write_text(EIGHT.replace("n_epochs = 20", "n_epochs = 400"))
    site.allow(16)
    awkward_commands(site, most_jobs=3)
    try:
        process = site.start()
        victim = site.running_worker()
        assert within(60, lambda: "no more than 3 worker jobs" in site.said()) == []
        site.call("scontrol", "update", "partitionname=debug", "state=DRAIN")
        site.call("scontrol", "update", f"jobid={victim}", "endtime=now+2")
        assert within(120, lambda: f"worker job {victim} ended (TIMEOUT" in site.said()) == []
        assert within(120, lambda: "inactive or drain" in site.said()) == []
        assert within(240, lambda: site.records()) == []
        before = site.records()
        site.call("scontrol", "update", "partitionname=debug", "state=UP")
        code = process.wait(timeout=400)
        yield {"site": site, "code": code, "victim": victim, "before": before}
    finally:
        site.call("scontrol", "update", "partitionname=debug", "state=UP", check=False)
        site.clear()


def assert_all_completed(run: dict[str, object], n_cells: int) -> None:
    """The run has ended with exit code 0 and a full manifest, no job is left, and no finished cell was run again."""
    site = run["site"]
    assert run["code"] == 0, site.said()
    assert [row["state"] for row in site.rows().values()] == ["completed"] * n_cells
    layout = RunLayout(site.out)
    assert verify_run(read_run_study(layout), layout) == ()
    assert site.left() == []
    assert run["before"]
    assert run["before"].items() <= site.records().items()


def test_run_is_whole_without_scontrol_and_sacct_with_a_limit_empty_answers_and_a_drained_partition(limited):
    assert_all_completed(limited, 8)


def test_cells_go_on_from_their_checkpoints_after_the_wall_time(limited):
    site = limited["site"]
    assert (
        site.call("squeue", "--noheader", "--states=all", f"--jobs={limited['victim']}", "--format=%T") == "TIMEOUT\n"
    )
    assert f"worker job {limited['victim']} ended (TIMEOUT" in site.said()
    journals = [path.read_text().splitlines() for path in site.out.glob("journal/**/*.log")]
    starts = [[line for line in lines if " started " in line] for lines in journals]
    again = [lines for lines in starts if len(lines) > 1]
    assert again
    assert all("checkpoint=-" in lines[0] and "checkpoint=-" not in lines[-1] for lines in again)


def test_run_goes_on_with_the_jobs_that_a_site_grants(limited):
    assert "the site takes no more than 3 worker jobs now" in limited["site"].said()
    # One try at a time, and the next one later and later.
    assert 1 <= len((limited["site"].folder / "refused").read_text().splitlines()) < 15


@pytest.fixture(scope="module")
def pools(tmp_path_factory, lab):
    """A finished run without `scontrol` on two pools of jobs with two slots. Others held the GPUs until the second
    pool, an array without GPUs, had done what fits there; its first job was cancelled while both of its cells ran."""
    site = Site(tmp_path_factory.mktemp("pools"), lab)
    site.study.write_text(EIGHT.replace("n_epochs = 20", "n_epochs = 60"))
    head, _, text = SITE.format(max_jobs=1).replace("1500MB", "4GB").partition("[workers]")
    pool, _, rest = text.partition("[controller]")
    gpu = pool.replace("gpus = 1", 'name = "gpu"\ngpus = 1\ncpus = 2\nslots = 2')
    cpu = pool.replace("gpus = 1", 'name = "cpu"\ncpus = 2\nslots = 2\nmax_exposures = 20\nsubmit = "array"')
    site.cluster.write_text(f"{head}[[workers]]{gpu}[[workers]]{cpu}[controller]{rest}")
    site.lack("scontrol")
    try:
        blockers = take_every_gpu(site)
        site.tell({"*": 30})
        process = site.start()
        site.running_worker("-cpu-")
        assert within(240, lambda: len(site.begun()) == 2) == []
        servers = engine_servers(site)
        site.tell({"*": 30, site.begun()[0]: None})
        assert within(240, lambda: site.records() and len(site.begun()) == 3) == []
        before, victim = site.records(), site.running_worker("-cpu-")
        site.call("scancel", victim)
        site.tell({})
        assert within(240, lambda: len(site.records()) == 4) == []
        of_cpu = site.records()
        site.call("scancel", *blockers)
        code = process.wait(timeout=300)
        yield {"site": site, "code": code, "before": before, "of_cpu": of_cpu, "victim": victim, "servers": servers}
    finally:
        site.clear()


def engine_servers(site: Site) -> dict[str, list[str]]:
    """Addresses of the engine servers that the workers of each job use, by the job's id."""
    found: dict[str, list[str]] = {}
    for process in psutil.process_iter():
        try:
            environment = process.environ() if "spawn_main" in " ".join(process.cmdline()) else {}
        except psutil.Error:
            continue
        if environment.get(FOLDER) == str(site.folder) and ADDRESS in environment:
            found.setdefault(environment["SLURM_JOB_ID"], []).append(environment[ADDRESS])
    return found


def test_run_is_whole_without_scontrol_when_a_job_of_an_array_was_cancelled(pools):
    assert_all_completed(pools, 8)
    assert f"pool cpu: worker job {pools['victim']} ended (CANCELLED" in pools["site"].said()


def test_small_cells_go_to_a_pool_without_gpus_while_they_would_wait_for_one(pools):
    assert len(pools["of_cpu"]) == 4
    assert all("/few/" in path for path in pools["of_cpu"])
    calls = {path.name: path.read_text() for path in pools["site"].folder.glob("dose_*") if path.is_file()}
    jobs_of = {pool: {name.split("-")[1] for name, text in calls.items() if f"tiny-{pool}-" in text} for pool in POOLS}
    assert jobs_of == {"gpu": {"all"}, "cpu": {"few"}}


POOLS = ("gpu", "cpu")


def test_workers_of_a_job_with_two_slots_share_one_engine_server(pools):
    assert pools["servers"]
    assert {len(addresses) for addresses in pools["servers"].values()} == {2}
    assert {len(set(addresses)) for addresses in pools["servers"].values()} == {1}


def failing_sbatch(site: Site, n_times: int, *absent: str) -> None:
    """Take some commands away, and give an `sbatch` that fails for the first n jobs, counted on disk."""
    folder = site.lack("sbatch", *absent)
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
        with socket.create_connection((ip, port), timeout=60) as plain, context.wrap_socket(plain) as link:
            link.recv(1)
    except ssl.SSLError as error:
        return "certificate required" in str(error)
    return False


@pytest.fixture(scope="module")
def awkward(tmp_path_factory, lab):
    """A finished run without `sacct` in an awkward directory, on an interface that others can reach, and what listened
    there: its first job could not be submitted, the next was cancelled while it waited, and then a busy worker was. The
    cells wait for all this. The user has defaults for own calls, with which Slurm lists jobs that have ended, and asks
    before it cancels."""
    site = Site(tmp_path_factory.mktemp("awkward"), lab)
    site.study.write_text(FOUR.replace("n_epochs = 20", "n_epochs = 40"))
    site.out = site.folder / "my run's" / "dose%20a"
    site.environment |= {"SQUEUE_STATES": "all", "SCANCEL_INTERACTIVE": "true", "SBATCH_PARTITION": "absent"}
    site.cluster.write_text(site.cluster.read_text().replace('"lo"', f'"{beyond_loopback()}"'))
    failing_sbatch(site, 1, "sacct")
    try:
        blockers = take_every_gpu(site)
        site.tell({"*": 20})
        process = site.start()
        assert within(180, lambda: site.jobs("pending")) == []
        waiting = site.jobs("pending")
        site.call("scancel", waiting[0].split()[0])
        assert within(180, lambda: site.jobs("pending") not in ([], waiting)) == []
        site.call("scancel", *blockers)
        site.running_worker()
        sockets = listening(site)
        dashboard = ("127.0.0.1", json.loads((site.out / "dashboard.json").read_text())["port"])
        refused = {one: refuses_without_certificate(*one) for one in sockets if not one[0].startswith("127.")}
        site.tell({"*": 20, site.begun()[0]: None})
        assert within(180, lambda: site.records() and len(site.begun()) == 2) == []
        before, victim = site.records(), site.running_worker()
        site.call("scancel", victim)
        site.tell({})
        code = process.wait(timeout=300)
        cancelled = [waiting[0].split()[0], victim]
        yield {
            **{"site": site, "code": code, "before": before, "cancelled": cancelled},
            **{"sockets": sockets, "dashboard": dashboard, "refused": refused},
        }
    finally:
        site.clear()


def test_run_is_whole_without_sacct_in_a_directory_with_a_space_a_quote_and_a_percent_sign(awkward):
    assert_all_completed(awkward, 4)
    assert list(awkward["site"].out.glob("slurm/logs/tiny-worker-*.log"))


def test_run_submits_again_after_sbatch_failed(awkward):
    assert "Socket timed out" in awkward["site"].said()
    assert len((awkward["site"].folder / "calls").read_text().splitlines()) >= 4


def test_run_replaces_jobs_that_were_cancelled_while_they_waited_or_worked(awkward):
    waiting, busy = awkward["cancelled"]
    assert f"job {waiting} ended before its worker reached the run (CANCELLED" in awkward["site"].said()
    assert f"worker job {busy} ended (CANCELLED" in awkward["site"].said()


def test_nothing_but_tls_listens_beyond_loopback_and_it_refuses_who_has_no_certificate(awkward):
    if beyond_loopback() == "lo":
        pytest.skip("this machine has no IPv4 address beyond loopback")
    assert awkward["dashboard"] in awkward["sockets"]
    # The scheduler, and of each worker the process and the nanny that watches it.
    assert len(awkward["refused"]) >= 3
    assert set(awkward["refused"].values()) == {True}


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
