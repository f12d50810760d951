"""What the reconciler of worker jobs decides. No Slurm is needed: what it observes is written down."""

from __future__ import annotations

import pytest

from fly64dask.base import ResourceError
from fly64dask.deploy.slurm.batch.commands import BatchJob
from fly64dask.deploy.slurm.decisions import (
    Cancel,
    Desired,
    GiveUp,
    History,
    Observation,
    Say,
    Submit,
    decide,
)
from fly64dask.deploy.slurm.reconciler import Reconciler, pools_words
from fly64dask.deploy.slurm.site import Patience, parse_slurm_file
from fly64dask.store import RunLayout

ONE_POOL = 'schema_version = 1\n[workers]\nwalltime = "01:00:00"\nmemory = "4GB"\nmax_jobs = 1\n'
NEW = History(started_s=0.0)
PATIENCE = Patience(failures_in_a_row=3, retry_s=10, first_worker_s=None)


def desired(n_jobs: int = 2, **patience: object) -> Desired:
    return Desired(n_jobs=n_jobs, patience=PATIENCE.model_copy(update=patience), remedy="read the log")


def jobs(**states: str) -> dict[str, BatchJob]:
    """Jobs by id, from `j1="PENDING"`."""
    return {
        job_id: BatchJob(job_id=job_id, role="worker", state=state, reason="Priority")
        for job_id, state in states.items()
    }


def follow(wish: Desired, *observations: Observation) -> tuple[History, list[list[object]]]:
    """Decide on observations one after the other; gives what was decided on each."""
    history, decisions = NEW, []
    for observed in observations:
        history, actions = decide(wish, history, observed)
        decisions.append(list(actions))
    return history, decisions


def without_words(actions: list[object]) -> list[object]:
    return [action for action in actions if not isinstance(action, Say)]


def words(actions: list[object]) -> str:
    return "\n".join(action.line for action in actions if isinstance(action, Say))


STARTED = Observation(clock_s=3, submitted=("j1", "j2"), jobs=jobs(j1="RUNNING", j2="PENDING"))
BOTH = frozenset({"j1", "j2"})
AT_WORK = Observation(clock_s=6, jobs=jobs(j1="RUNNING", j2="RUNNING"), connected=BOTH, busy=BOTH)


def granting(wish: Desired, n_looks: int) -> list[int]:
    """Jobs that each look submits where Slurm takes them all; they wait in the queue."""
    history, queued, submitted, numbers = NEW, jobs(), (), []
    for look in range(n_looks):
        observed = Observation(clock_s=3.0 * look, jobs=queued, submitted=submitted)
        history, actions = decide(wish, history, observed)
        n = sum(action.n_jobs for action in actions if isinstance(action, Submit))
        submitted = tuple(f"look{look}-{number}" for number in range(n))
        queued = {**queued, **jobs(**dict.fromkeys(submitted, "PENDING"))}
        numbers.append(n)
    return numbers


def test_decide_submits_one_job_and_then_twice_as_many_each_time_as_slurm_took():
    assert granting(desired(16), 7) == [1, 2, 4, 8, 1, 0, 0]


def test_decide_leaves_alone_what_is_as_wanted():
    _, decisions = follow(desired(2), STARTED, AT_WORK)
    assert [without_words(actions) for actions in decisions] == [[], []]


def test_decide_submits_many_jobs_in_portions():
    numbers = granting(desired(10_000), 30)
    assert numbers[:7] == [1, 2, 4, 8, 16, 32, 50]
    assert max(numbers) == 50


# A site that grants two of the jobs that are wanted; they wait in its queue.
AT_LIMIT = Observation(clock_s=3, submitted=("j1",), jobs=jobs(j1="PENDING", j2="PENDING"), refusal="QOSMaxSubmitJob")


def at_limit(clock_s: float, **more: object) -> Observation:
    return Observation(clock_s=clock_s, jobs=AT_LIMIT.jobs, **more)


def test_decide_does_not_give_up_at_a_limit_of_the_site_while_its_jobs_wait():
    asked = [at_limit(400.0 * n, refusal="QOSMaxSubmitJob") for n in range(1, 20)]
    history, decisions = follow(desired(16), AT_LIMIT, *asked)
    assert [without_words(actions) for actions in decisions] == [[]] * 20
    assert history.n_failures == 0
    assert "the site takes no more than 2 worker jobs now (QOSMaxSubmitJob); the run goes on with these" in words(
        decisions[0]
    )
    assert not any("takes no more" in words(actions) for actions in decisions[1:])


def test_decide_does_not_count_a_refusal_as_a_failure_while_jobs_of_other_pools_are_there():
    history, _ = follow(desired(2), Observation(clock_s=0, refusal="QOSMaxSubmitJob", n_others=3))
    assert history.n_failures == 0


def test_decide_does_not_give_up_at_a_limit_that_other_runs_of_the_user_fill():
    """Slurm's own words at `MaxSubmitJobs`, which tell a full queue from a job that it will never take."""
    says = (
        "sbatch: error: AssocMaxSubmitJobLimit sbatch: error: Batch job submission failed: Job violates accounting/QOS"
    )
    tries = [Observation(clock_s=400.0 * n, refusal=says) for n in range(20)]
    history, decisions = follow(desired(16), *tries, Observation(clock_s=1e5))
    assert history.n_failures == 0
    assert f"the site takes no worker job now ({says}); it is asked again" in words(decisions[0])
    assert without_words(decisions[-1]) == [Submit(1)]


def test_decide_tries_one_job_beyond_the_limit_after_a_while():
    _, decisions = follow(desired(16), AT_LIMIT, at_limit(12), at_limit(13))
    assert [without_words(actions) for actions in decisions] == [[], [], [Submit(1)]]


def test_decide_fills_the_place_of_a_job_that_ended_at_the_limit_at_once():
    one_ended = Observation(clock_s=6, jobs=jobs(j1="RUNNING"), connected=frozenset({"j1"}), endings={"j2": "TIMEOUT"})
    seen = Observation(clock_s=0, jobs=AT_LIMIT.jobs, submitted=("j1", "j2"), connected=frozenset({"j2"}))
    _, decisions = follow(desired(16), seen, AT_LIMIT, one_ended)
    assert [without_words(actions) for actions in decisions] == [[Submit(2)], [], [Submit(1)]]


THREE = jobs(j1="RUNNING", j2="RUNNING", j3="RUNNING")
OF_THREE = frozenset(THREE)


def test_decide_judges_a_refusal_by_the_jobs_that_there_were_when_it_came():
    """Slurm had three jobs and refused a fourth; one has ended since, so there is room for one at once."""
    before = Observation(clock_s=0, submitted=("j1", "j2", "j3"), jobs=THREE, connected=OF_THREE, busy=OF_THREE)
    left = {job_id: job for job_id, job in THREE.items() if job_id != "j3"}
    after = Observation(
        clock_s=3, jobs=left, connected=frozenset(left), refusal="QOSMaxSubmitJob", endings={"j3": "TIMEOUT"}
    )
    _, (asked, decided) = follow(desired(16), before, after)
    assert without_words(asked) == [Submit(2)]
    assert "the site takes no more than 3 worker jobs now" in words(decided)
    assert without_words(decided) == [Submit(1)]


def test_decide_counts_jobs_that_slurm_took_before_it_refused_one():
    before = Observation(clock_s=0, submitted=("j1",), jobs=jobs(j1="PENDING"))
    after = Observation(clock_s=3, jobs=jobs(j1="PENDING"), submitted=("j2",), refusal="QOSMaxSubmitJob")
    _, decisions = follow(desired(16), before, after)
    assert "the site takes no more than 2 worker jobs now" in words(decisions[1])


def test_decide_does_not_count_a_refusal_as_a_failure_when_the_only_other_job_has_ended_since():
    before = Observation(clock_s=0, submitted=("j1",), jobs=jobs(j1="RUNNING"), connected=frozenset({"j1"}))
    after = Observation(clock_s=3, refusal="QOSMaxSubmitJob", endings={"j1": "TIMEOUT"})
    history, decisions = follow(desired(2), before, after)
    assert history.n_failures == 0
    assert without_words(decisions[1]) == [Submit(1)]


def test_decide_asks_for_more_again_once_slurm_has_taken_a_job_beyond_the_limit():
    three = jobs(j1="PENDING", j2="PENDING", j3="PENDING")
    after = [Observation(clock_s=16, submitted=("j3",), jobs=three), Observation(clock_s=19, jobs=three)]
    history, decisions = follow(desired(16), AT_LIMIT, at_limit(13), *after)
    assert without_words(decisions[2]) == [Submit(2)]
    assert history.granted is None


def test_decide_says_what_the_run_waits_for_once():
    _, decisions = follow(desired(2), Observation(clock_s=0), STARTED, STARTED)
    assert "waiting for a worker; worker jobs: 1 pending (Priority), 1 running (Priority)" in words(decisions[1])
    assert decisions[2] == []


def test_decide_replaces_a_job_that_ended_after_its_worker_had_connected():
    lost = Observation(
        clock_s=9,
        jobs=jobs(j2="RUNNING"),
        connected=frozenset({"j2"}),
        endings={"j1": "TIMEOUT, TimeLimit, exit code 0:15"},
    )
    history, decisions = follow(desired(2), STARTED, AT_WORK, lost)
    assert without_words(decisions[-1]) == [Submit(1)]
    assert "worker job j1 ended (TIMEOUT, TimeLimit, exit code 0:15)" in words(decisions[-1])
    assert history.n_failures == 0


def test_decide_waits_after_a_job_that_ended_before_its_worker_connected():
    lost = Observation(clock_s=6, jobs=jobs(j2="PENDING"), endings={"j1": "FAILED, exit code 7:0"})
    early = Observation(clock_s=15.9, jobs=jobs(j2="PENDING"))
    late = Observation(clock_s=16, jobs=jobs(j2="PENDING"))
    _, decisions = follow(desired(2), STARTED, lost, early, late)
    assert [without_words(actions) for actions in decisions[1:]] == [[], [], [Submit(1)]]
    assert "job j1 ended before its worker reached the run (FAILED, exit code 7:0); failure 1 in a row" in words(
        decisions[1]
    )


def test_decide_keeps_a_job_that_slurm_does_not_list_for_a_moment():
    """No ending is known of it: then Slurm's list was wrong."""
    unlisted = Observation(clock_s=6)
    again = Observation(clock_s=9, jobs=jobs(j1="RUNNING", j2="PENDING"))
    history, decisions = follow(desired(2), STARTED, unlisted, again)
    assert [without_words(actions) for actions in decisions[1:]] == [[], []]
    assert history.n_failures == 0


def test_decide_never_has_more_jobs_in_the_queue_than_wanted():
    """A job of this run's name that this process has not submitted counts too."""
    _, (first,) = follow(desired(2), Observation(clock_s=0, jobs=jobs(old="PENDING")))
    assert without_words(first) == [Submit(1)]


def refused(clock_s: float, **more: object) -> Observation:
    return Observation(clock_s=clock_s, refusal="Socket timed out", **more)


def test_decide_tries_again_after_a_refusal_and_waits_twice_as_long_each_time():
    times = [0, 5, 10, 15, 34, 35]
    _, decisions = follow(
        desired(1, failures_in_a_row=100),
        *(refused(clock_s) if clock_s in (0, 15) else Observation(clock_s=clock_s) for clock_s in times),
    )
    assert [bool(without_words(actions)) for actions in decisions] == [False, False, True, False, False, True]
    assert "failure 2 in a row, next try in 20 s" in words(decisions[3])


def test_decide_waits_five_minutes_at_most():
    _, decisions = follow(desired(1, failures_in_a_row=10_000), *(refused(n) for n in range(2000)))
    assert words(decisions[-1]).endswith("next try in 300 s")


def test_decide_gives_up_after_failures_in_a_row_without_a_worker():
    _, decisions = follow(desired(1), refused(0), refused(10), refused(30))
    assert [without_words(actions) for actions in decisions[:2]] == [[], []]
    (last,) = without_words(decisions[2])
    assert isinstance(last, GiveUp)
    assert "3 worker jobs in a row failed" in last.problem
    assert "Socket timed out" in last.problem
    assert last.remedy == "read the log"


def test_decide_does_not_give_up_at_a_limit_of_the_site_while_a_worker_is_there():
    more = {"jobs": jobs(j1="RUNNING"), "connected": frozenset({"j1"})}
    started = Observation(clock_s=0, submitted=("j1",), **more)
    _, decisions = follow(desired(2), started, *(refused(1000.0 * n, **more) for n in range(1, 9)))
    assert not any(isinstance(action, GiveUp) for actions in decisions for action in actions)
    assert [words(actions) != "" for actions in decisions] == [False, True, *[False] * 7]


def test_decide_counts_failures_anew_once_another_worker_has_connected():
    connected = Observation(
        clock_s=50, submitted=("j1",), jobs=jobs(j1="RUNNING"), connected=frozenset({"j1"}), busy=frozenset({"j1"})
    )
    history, _ = follow(desired(1), refused(0), refused(10), connected)
    assert history.n_failures == 0


def test_decide_cancels_a_job_whose_worker_stays_silent():
    def running(clock_s: float) -> Observation:
        return Observation(clock_s=clock_s, jobs=jobs(j1="RUNNING", j2="PENDING"))

    _, decisions = follow(desired(2), STARTED, running(603), running(603.1))
    assert without_words(decisions[1]) == []
    assert without_words(decisions[2]) == [Cancel(("j1",))]
    assert "worker job j1 has run for 600 s without a worker in the run" in words(decisions[2])


def test_decide_cancels_a_job_whose_worker_has_lost_its_way():
    def alone(clock_s: float) -> Observation:
        return Observation(clock_s=clock_s, jobs=AT_WORK.jobs, connected=frozenset({"j2"}))

    _, decisions = follow(desired(2), STARTED, AT_WORK, alone(700), alone(1300), alone(1301))
    assert [without_words(actions) for actions in decisions[1:]] == [[], [], [], [Cancel(("j1",))]]


def test_decide_lets_go_waiting_jobs_first_then_idle_ones_and_no_busy_one():
    observed = Observation(
        clock_s=3,
        submitted=("busy", "idle", "waits"),
        jobs=jobs(busy="RUNNING", idle="RUNNING", waits="PENDING"),
        connected=frozenset({"busy", "idle"}),
        busy=frozenset({"busy"}),
    )
    assert without_words(follow(desired(2), observed)[1][0]) == [Cancel(("waits",))]
    assert without_words(follow(desired(1), observed)[1][0]) == [Cancel(("waits", "idle"))]
    everyone = frozenset({"busy", "idle", "waits"})
    at_work = Observation(clock_s=3, jobs=observed.jobs, connected=everyone, busy=everyone)
    assert without_words(follow(desired(1), at_work)[1][0]) == []


def test_decide_takes_no_notice_of_how_a_job_ends_that_it_let_go():
    before = Observation(clock_s=3, submitted=("j1", "j2"), jobs=jobs(j1="RUNNING", j2="PENDING"))
    ending = Observation(clock_s=6, jobs=jobs(j1="RUNNING", j2="COMPLETING"))
    after = Observation(clock_s=9, jobs=jobs(j1="RUNNING"))
    history, decisions = follow(desired(1), before, ending, after)
    assert [without_words(actions) for actions in decisions] == [[Cancel(("j2",))], [], []]
    assert history.n_failures == 0


@pytest.mark.parametrize(("clock_s", "gives_up"), [(60.0, False), (60.1, True)])
def test_decide_gives_up_if_no_first_worker_comes_in_time(clock_s, gives_up):
    late = Observation(clock_s=clock_s, jobs=STARTED.jobs)
    _, decisions = follow(desired(2, first_worker_s=60.0), STARTED, late)
    assert any(isinstance(action, GiveUp) for action in decisions[1]) is gives_up


def test_decide_says_nothing_of_a_pool_that_is_not_wanted_and_does_not_wait_for_it():
    _, decisions = follow(desired(0, first_worker_s=60.0), Observation(clock_s=3), Observation(clock_s=1e6))
    assert decisions == [[], []]


def test_decide_waits_for_as_long_as_it_takes_without_a_limit():
    late = Observation(clock_s=1e6, jobs=STARTED.jobs)
    waiting = jobs(j1="PENDING", j2="PENDING")
    _, decisions = follow(desired(2), Observation(clock_s=3, submitted=("j1", "j2"), jobs=waiting), late)
    assert not any(isinstance(action, GiveUp) for actions in decisions for action in actions)


@pytest.mark.parametrize(
    ("observed", "facts", "expected"),
    [
        ({}, {}, "worker jobs: none yet"),
        ({"jobs": jobs(j1="PENDING", j2="PENDING")}, {}, "worker jobs: 2 pending (Priority)"),
        (
            {"jobs": jobs(j1="RUNNING", j2="RUNNING", j3="PENDING"), "connected": frozenset({"j1"})},
            {"granted": 3},
            "worker jobs: 1 at work, 1 pending (Priority), 1 starting, no more than 3 granted by the site now",
        ),
        (
            {},
            {"n_failures": 2, "last_failure": "job 7 ended before its worker reached the run (FAILED)"},
            "worker jobs: last failure: job 7 ended before its worker reached the run (FAILED)",
        ),
    ],
)
def test_pools_words_say_what_worker_jobs_wait_for(observed, facts, expected):
    history = History(started_s=0.0, **facts)
    assert pools_words([history], [Observation(clock_s=9, **observed)]) == expected


@pytest.mark.process
def test_reconcile_gives_the_run_up_when_something_unforeseen_fails(tmp_path, monkeypatch):
    squeue = tmp_path / "squeue"
    squeue.write_text("#!/bin/sh\n")  # no jobs
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    no_scheduler = object()  # it has no workers to ask for
    reconciler = Reconciler(
        no_scheduler,
        None,
        parse_slurm_file(ONE_POOL, origin="site.toml"),
        RunLayout(tmp_path),
        device="cpu",
        plan_of=lambda cells: (),
        n_cells=1,
        remedy="",
        say=print,
    )
    reconciler.check()
    reconciler.reconcile()
    with pytest.raises(ResourceError, match="can no longer be replaced: AttributeError"):
        reconciler.check()
