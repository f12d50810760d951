"""PBS with the same cluster file: job scripts, and what its commands are asked. No PBS is needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fly64dask.base import InputError, ResourceError
from fly64dask.deploy.slurm.batch import pbs
from fly64dask.deploy.slurm.jobscript import worker_script
from fly64dask.deploy.slurm.names import RunJobs
from fly64dask.deploy.slurm.site import parse_slurm_file
from fly64dask.deploy.slurm.submission import preview
from fly64dask.store import RunLayout

LAYOUT = RunLayout(Path("/data/runs/demo"))
JOBS = RunJobs(layout=LAYOUT, study="demo")
LEAST = """schema_version = 1
system = "pbs"
[workers]
walltime = "1-02:03:04"
memory = "4GiB"
cpus = 2
max_jobs = 4
"""


def script(workers: str = "", jobs: RunJobs = JOBS) -> list[str]:
    site = parse_slurm_file(LEAST + workers, origin="site.toml")
    return worker_script(site, site.pools[0], jobs).splitlines()


def test_worker_job_asks_for_one_chunk_with_its_cpus_memory_and_gpu():
    lines = script('gpus = 1\nqueue = "workq"\naccount = "proj1"\n')
    wanted = {"-q workq", "-A proj1", "-l select=1:ncpus=2:mem=4096mb:ngpus=1", "-l walltime=26:03:04", "-r n", "-j oe"}
    assert {f"#PBS {option}" for option in wanted} <= set(lines)
    assert f"#PBS -N {JOBS.name('worker')}" in lines
    assert "#PBS -o /data/runs/demo/slurm/logs/" in lines
    assert not any("SBATCH" in line or "squeue" in line for line in lines)


def test_worker_is_named_as_its_job_and_knows_when_that_ends():
    lines = script()
    assert " --name ${PBS_JOBID%%.*} --nthreads 1 " in lines[-1]
    assert f"export FLY64DASK_ENDS_AT=\"$(date -d '+{26 * 3600 + 184} seconds' +%FT%T)\"" in lines


def test_worker_job_leaves_out_what_a_site_forbids():
    lines = script('skip_directives = ["-l select"]\nextra_directives = ["-l select=1:system=polaris"]\n')
    assert [line for line in lines if "select" in line] == ["#PBS -l select=1:system=polaris"]


def test_worker_job_refuses_a_folder_of_logs_that_pbs_reads_otherwise():
    with pytest.raises(InputError, match=r"cannot write logs into '/data/my run/slurm/logs'.*\[directories\] logs"):
        script(jobs=RunJobs(layout=RunLayout(Path("/data/my run")), study="demo"))


def test_arrays_and_controller_jobs_are_for_slurm(tmp_path):
    with pytest.raises(InputError, match="arrays are for Slurm"):
        script('submit = "array"\n')
    (tmp_path / "site.toml").write_text(LEAST)
    with pytest.raises(
        InputError, match=r"a controller job is for Slurm.*fly64dask run .* in a session on a login node"
    ):
        preview(None, None, (), LAYOUT, tmp_path / "site.toml", ())


@pytest.fixture
def answers(tmp_path, monkeypatch):
    """Put commands with given answers, as OpenPBS's own print them, on the path."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def put(**scripts: str) -> None:
        for name, text in scripts.items():
            command = tmp_path / name
            command.write_text(f"#!/bin/sh\n{text}\n")
            command.chmod(0o755)

    return put


def listed(**states: str) -> str:
    """As `qstat -f -F json` prints jobs, here those of this run."""
    rows = {
        f"{number}.pbs-1": {"Job_Name": JOBS.name("worker"), "job_state": state, "comment": "Not Running"}
        for number, state in ((name.removeprefix("j"), state) for name, state in states.items())
    }
    rows["99.pbs-1"] = {"Job_Name": "somebody-elses", "job_state": "R"}
    return f"echo '{json.dumps({'timestamp': 1, 'Jobs': rows})}'"


@pytest.mark.process
def test_submit_script_gives_the_number_of_the_job(answers, tmp_path):
    answers(qsub="echo 4711.pbs-1")
    assert pbs.submit_script(tmp_path / "script") == "4711"


@pytest.mark.process
def test_submit_script_says_what_pbs_said(answers, tmp_path):
    answers(qsub="echo 'qsub: would exceed queue generic per-user limit' >&2; exit 38")
    with pytest.raises(ResourceError, match="ended with 38: qsub: would exceed queue generic per-user limit"):
        pbs.submit_script(tmp_path / "script")


@pytest.mark.process
def test_jobs_of_lists_the_runs_own_that_wait_or_run(answers):
    answers(qselect="echo 1.pbs-1 2.pbs-1 3.pbs-1 99.pbs-1", qstat=listed(j1="Q", j2="R", j3="F"))
    assert {job_id: (job.role, job.state) for job_id, job in pbs.jobs_of(LAYOUT).items()} == {
        "1": ("worker", "PENDING"),
        "2": ("worker", "RUNNING"),
    }


@pytest.mark.process
def test_jobs_of_does_not_take_silence_for_an_empty_list(answers):
    answers(qselect="echo 'Connection refused' >&2; exit 1")
    with pytest.raises(ResourceError, match="Connection refused"):
        pbs.jobs_of(LAYOUT)


@pytest.mark.process
@pytest.mark.parametrize(
    ("answer", "ending"),
    [
        (json.dumps({"Jobs": {"7.pbs-1": {"job_state": "F", "Exit_status": 271}}}), "exit code 271"),
        (json.dumps({"Jobs": {"7.pbs-1": {"job_state": "R"}}}), None),
    ],
)
def test_how_it_ended_goes_by_the_history_of_jobs(answers, answer, ending):
    answers(qstat=f"echo '{answer}'")
    assert pbs.how_it_ended("7") == ending


@pytest.mark.process
def test_how_it_ended_tells_a_forgotten_job_from_silence(answers):
    answers(qstat="echo 'qstat: Unknown Job Id 7.pbs-1' >&2; exit 153")
    assert pbs.how_it_ended("7") == "unknown to PBS by now"
    answers(qstat="echo 'cannot connect to server' >&2; exit 1")
    with pytest.raises(ResourceError, match="cannot connect to server"):
        pbs.how_it_ended("7")
