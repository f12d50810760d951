"""Pools of worker jobs: which cells may go where, and how many jobs of each a run has use for. No Slurm is needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tiny import tiny_study

from fly64dask.base import InputError, ResourceError
from fly64dask.datasets import read_inputs
from fly64dask.deploy.slurm.jobscript import controller_script, worker_script
from fly64dask.deploy.slurm.names import RunJobs
from fly64dask.deploy.slurm.pools import PoolUse, device_kinds, fits, jobs_wanted, needed, offered, pool_uses
from fly64dask.deploy.slurm.preflight import refuse_small_jobs
from fly64dask.deploy.slurm.reconciler import job_of
from fly64dask.deploy.slurm.site import parse_slurm_file
from fly64dask.scheduling import plan_cells
from fly64dask.store import RunLayout
from fly64dask.study import cells

POOL = '[[workers]]\nname = "{name}"\nwalltime = "01:00:00"\nmemory = "16GB"\ncpus = 8\nmax_jobs = {max_jobs}\n'
GPU_POOL = POOL.format(name="gpu", max_jobs=2) + 'gpus = 1\ngpu_memory = "40GB"\n'
CPU_POOL = POOL.format(name="cpu", max_jobs=64) + "max_exposures = 20\n"
STUDY = tiny_study()


def site(*pools: str):
    return parse_slurm_file("schema_version = 1\n" + "".join(pools), origin="site.toml")


@pytest.fixture(scope="module")
def plan():
    """Cells that keep some 30 of 60 exposures, about a tenth of these, and one."""
    return plan_cells(STUDY, read_inputs(STUDY), cells(STUDY))


def script(file, name):
    pool = next(pool for pool in file.pools if pool.name == name)
    return worker_script(file, pool, RunJobs(layout=RunLayout(Path("/data/runs/demo")), study="demo"))


def test_a_file_with_one_table_is_a_list_of_one_pool():
    one = site(GPU_POOL.replace("[[workers]]", "[workers]").replace('name = "gpu"\n', ""))
    assert [pool.name for pool in one.pools] == ["worker"]


def test_parse_slurm_file_names_the_key_of_a_wrong_pool():
    with pytest.raises(InputError, match=r"workers\[1\]\.max_jobs = 0, of 'cpu'"):
        site(GPU_POOL, CPU_POOL.replace("max_jobs = 64", "max_jobs = 0"))


@pytest.mark.parametrize("name", ["gpu", "controller"])
def test_parse_slurm_file_refuses_pools_that_nobody_could_tell_apart(name):
    with pytest.raises(InputError, match=f"called '{name}'; give each a name of its own"):
        site(GPU_POOL, CPU_POOL.replace('"cpu"', f'"{name}"'))


@pytest.mark.parametrize(
    ("device", "of_gpu_pool", "of_both"),
    [("auto", {"cuda"}, {"cpu", "cuda"}), ("cuda", {"cuda"}, {"cuda"}), ("cpu", {"cpu"}, {"cpu"})],
)
def test_device_kinds_are_those_on_which_cells_are_computed(device, of_gpu_pool, of_both):
    assert device_kinds(site(GPU_POOL).pools, device) == of_gpu_pool
    assert device_kinds(site(GPU_POOL, CPU_POOL).pools, device) == of_both


def test_cells_with_more_exposures_than_a_pool_takes_never_go_there(plan):
    cpu = site(GPU_POOL, CPU_POOL).pools[1]
    assert {planned.view: fits(planned, cpu, "auto") for planned in plan} == {"all": False, "few": True, "one": True}
    assert max(planned.n_kept for planned in plan if planned.view == "few") <= 20 < plan[0].n_kept


def test_cells_with_more_memory_than_a_slot_has_never_go_there(plan):
    """A process of torch takes 1.1 GB of a GPU, so 1.5 GB in two slots leaves nothing."""
    small = GPU_POOL.replace('"40GB"', '"1500MB"')
    assert fits(plan[0], site(small).pools[0], "auto")
    assert not fits(plan[0], site(small + "slots = 2\n").pools[0], "auto")


def test_cells_of_the_device_cuda_go_to_no_pool_without_gpu(plan):
    file = site(GPU_POOL, CPU_POOL)
    assert [fits(plan[-1], pool, "cuda") for pool in file.pools] == [True, False]


def test_workers_offer_what_cells_need_by_the_same_names(plan):
    """Dask compares the two, so that no cell waits for a resource that nobody has."""
    file = site(GPU_POOL, CPU_POOL)
    names = {name for pool in file.pools for name in offered(pool, "auto")}
    assert set(needed(plan[0], "cuda")) <= names
    assert "--resources MEMORY=38900000000,EXPOSURES=1e+18,GPU=1" in script(file, "gpu")
    assert "--resources MEMORY=15100000000,EXPOSURES=20" in script(file, "cpu")


def test_pool_uses_counts_cells_that_fit_and_those_that_fit_nowhere_else(plan):
    gpu, cpu = pool_uses(site(GPU_POOL, CPU_POOL).pools, plan, "auto")
    n_small = sum(planned.view != "all" for planned in plan)
    assert (gpu.n_fit, gpu.n_only) == (len(plan), len(plan) - n_small)
    assert (cpu.n_fit, cpu.n_only) == (n_small, 0)


def test_pool_uses_refuses_a_cell_that_fits_nowhere(plan):
    with pytest.raises(ResourceError, match=r"cell dose_10000/all/\w+ with \d+ exposures .* fits into no pool \(cpu\)"):
        pool_uses(site(CPU_POOL).pools, plan, "auto")


USES = (
    PoolUse(n_slots=1, max_jobs=4, n_fit=20, n_only=8),
    PoolUse(n_slots=4, max_jobs=64, n_fit=12, n_only=0),
)


@pytest.mark.parametrize(
    ("n_left", "n_running", "expected"),
    [
        (20, (0, 0), [4, 3]),  # nobody has a GPU yet: small cells would wait
        (20, (4, 0), [4, 3]),  # 16 cells would wait for 4 GPUs, 12 of them are small
        (8, (4, 0), [4, 1]),
        (4, (4, 0), [4, 0]),  # none would wait
        (1, (4, 4), [1, 0]),
        (0, (4, 4), [1, 0]),
    ],
)
def test_jobs_wanted_of_the_second_pool_are_for_cells_that_would_wait_for_the_first(n_left, n_running, expected):
    assert jobs_wanted(USES, n_left, n_running) == expected


def test_jobs_wanted_are_for_cells_that_fit_nowhere_else_whatever_the_first_pool_does():
    uses = (USES[0], PoolUse(n_slots=1, max_jobs=3, n_fit=5, n_only=2))
    assert jobs_wanted(uses, 6, (6, 0)) == [4, 2]


def test_jobs_of_a_pool_without_gpu_see_none():
    file = site(GPU_POOL, CPU_POOL)
    assert "export CUDA_VISIBLE_DEVICES=\n" in script(file, "cpu")
    assert "CUDA_VISIBLE_DEVICES" not in script(file, "gpu")


def test_a_job_with_slots_has_a_worker_for_each_that_share_its_memory_and_one_engine_server():
    text = script(site(GPU_POOL + "slots = 4\n"), "gpu")
    assert " --nworkers 4 " in text
    assert " --nthreads 1 " in text
    assert f" --memory-limit {16e9 / 4 / 2**30:.2f}GiB " in text
    assert text.count("--gres=gpu:1") == 1
    assert "--preload-nanny fly64dask.deploy.slurm.job_server --preload fly64dask.deploy.slurm.job_server" in text
    assert "export FLY64DASK_ENGINE_MODULES='" in text


def test_workers_of_an_array_are_named_as_slurm_lists_its_jobs():
    text = script(site(GPU_POOL + 'submit = "array"\n'), "gpu")
    (name,) = re.findall(r"--name (\S+)", text)
    name = name.replace("${SLURM_ARRAY_JOB_ID}", "6").replace("$SLURM_ARRAY_TASK_ID", "0")
    assert job_of(name) == job_of(f"{name}-1") == "6_0"
    with pytest.raises(ValueError, match="invalid literal"):
        int(name)  # of which Dask would make a number: 6_0 is 60


def test_refuse_small_jobs_counts_the_threads_of_all_slots(tmp_path):
    file = site(GPU_POOL + "slots = 4\n")
    recipe = STUDY.recipe.model_copy(update={"threads": 3})
    with pytest.raises(InputError, match=r"3 threads in each of 4 slots.*set cpus = 12"):
        refuse_small_jobs(file, tmp_path / "site.toml", (), recipe)


def test_the_controller_ends_its_workers_of_all_pools(tmp_path):
    (tmp_path / "controller.sbatch").write_text("{{ workers }}\n")
    jobs = RunJobs(layout=RunLayout(tmp_path), study="demo")
    text = controller_script(site(GPU_POOL, CPU_POOL), tmp_path / "site.toml", jobs, [])
    assert text.split() == [f"{jobs.name(pool)}-$FLY64DASK_CONTROLLER_JOB" for pool in ("gpu", "cpu")]
