"""Runs on a real Slurm that keeps accounts, with limits of how many jobs a user may have."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Iterator

import pytest
from slurm_accounts import missing_programs
from slurm_lab import missing_daemons, slurm_lab
from slurm_site import FOUR, Site, within

from fly64dask.deploy.slurm.batch.commands import how_it_ended
from fly64dask.records import read_run_study
from fly64dask.runs import verify_run
from fly64dask.store import RunLayout

pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.slurm]


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[dict[str, str]]:
    """A Slurm of two nodes that keeps accounts."""
    missing = missing_daemons() + missing_programs()
    if missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs Slurm with accounts: {', '.join(missing)} not found")
        pytest.skip(f"no Slurm with accounts here: {', '.join(missing)} not found")
    with slurm_lab(tmp_path_factory.mktemp("accounts") / "lab", has_accounts=True) as conf:
        yield {"SLURM_CONF": str(conf)}


def limit_jobs(site: Site, n_jobs: int) -> None:
    """Let the user have so many jobs, which are counted from then on."""
    site.call("sacctmgr", "-i", "modify", "user", getpass.getuser(), "set", f"MaxSubmitJobs={n_jobs}")
    show = ("scontrol", "show", "assoc_mgr", f"users={getpass.getuser()}", "flags=assoc")
    assert within(60, lambda: re.search(rf"MaxSubmitJobs={n_jobs}\(", site.call(*show))) == []


@pytest.fixture(scope="module")
def limited(tmp_path_factory, lab):
    """A finished run that began while other jobs of its user filled the limit, and then had two of four places; one of
    its workers was cancelled. Its site, its exit code, what it had said before it had a place, and that worker."""
    site = Site(tmp_path_factory.mktemp("limited"), lab)
    site.allow(4)
    site.study.write_text(FOUR.replace("n_epochs = 20", "n_epochs = 100"))
    try:
        hold = ("sbatch", "--parsable", "--output=/dev/null", "--wrap=sleep 3000")
        others = [site.call(*hold).strip() for _ in range(2)]
        limit_jobs(site, 2)
        site.tell({"*": 50})  # the cells wait for what happens to their workers
        process = site.start()
        assert within(120, lambda: site.folder.joinpath("stderr").exists() and "it is asked again" in site.said()) == []
        before = site.said()
        site.call("scancel", *others)
        victim = site.running_worker()
        assert within(60, lambda: "no more than 2 worker jobs" in site.said()) == []
        site.call("scancel", victim)
        site.tell({})
        code = process.wait(timeout=300)
        yield {"site": site, "code": code, "before": before, "victim": victim}
    finally:
        site.clear()


def test_a_run_waits_while_other_jobs_of_the_user_fill_a_limit_and_then_goes_on_with_what_is_granted(limited):
    site = limited["site"]
    assert "AssocMaxSubmitJobLimit" in limited["before"]
    assert "failure" not in limited["before"]
    assert limited["code"] == 0, site.said()
    assert [row["state"] for row in site.rows().values()] == ["completed"] * 4
    layout = RunLayout(site.out)
    assert verify_run(read_run_study(layout), layout) == ()
    assert site.left() == []


def test_accounting_tells_how_a_job_ended(limited, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", limited["site"].environment["SLURM_CONF"])
    assert f"worker job {limited['victim']} ended (CANCELLED" in limited["site"].said()
    assert re.fullmatch(r"CANCELLED by \d+, exit code 0:\d+", how_it_ended(limited["victim"]))


@pytest.mark.parametrize(("limit", "key"), [("MaxWall=00:05:00", "walltime"), ("MaxTRESPerJob=mem=1000", "memory")])
def test_submit_names_the_key_that_exceeds_a_limit_of_a_qos(site, limit, key):
    site.call("sacctmgr", "-i", "add", "qos", f"tight_{key}", "flags=DenyOnLimit", limit)
    site.call("sacctmgr", "-i", "modify", "user", getpass.getuser(), "set", f"qos+=tight_{key}")
    text = site.cluster.read_text().replace("gpus = 1", f'gpus = 1\nextra_directives = ["--qos=tight_{key}"]')
    site.cluster.write_text(text)
    words = ("submit", site.study, "--out", site.out, "--cluster", site.cluster)
    said = []
    assert (
        within(60, lambda: f"correct {key} in [workers]" in (said.append(site.fly64dask(*words).stderr) or said[-1]))
        == []
    )
    assert "accounting/QOS policy" in said[-1]
    assert site.jobs("pending,running") == []
