"""Cluster files: every key checked, and the job scripts that sites with different rules get. No Slurm is needed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny
from command_line import run_command
from finished_runs import as_if_computed_on, made_once, make_six_cells
from tiny import tiny_study

from fly64dask.base import InputError, ResourceError
from fly64dask.datasets import read_inputs
from fly64dask.deploy.slurm import is_cluster_file, preview
from fly64dask.deploy.slurm.jobscript import controller_script, worker_script
from fly64dask.deploy.slurm.names import RunJobs, role_of
from fly64dask.deploy.slurm.preflight import refuse_small_jobs
from fly64dask.deploy.slurm.site import parse_slurm_file, read_slurm_file
from fly64dask.scheduling import plan_cells
from fly64dask.store import RunLayout
from fly64dask.study import Recipe, cells

ROOT = Path(__file__).resolve().parents[2]
LAYOUT = RunLayout(Path("/data/runs/demo"))
JOBS = RunJobs(layout=LAYOUT, study="demo")
LEAST = 'schema_version = 1\n[workers]\nwalltime = "01:00:00"\nmemory = "4GB"\nmax_jobs = 4\n'


def script(more: str = "", workers: str = "") -> list[str]:
    """Lines of a worker's job script."""
    site = parse_slurm_file(LEAST + workers + more, origin="site.toml")
    return worker_script(site, site.pools[0], JOBS).splitlines()


def test_worker_job_is_one_process_with_one_thread():
    text = "\n".join(script())
    assert "#SBATCH -n 1\n" in text
    assert "#SBATCH --nodes=1\n" in text
    assert " --nthreads 1 " in text
    assert "--nworkers" not in text


def test_worker_job_does_not_come_back_by_itself():
    assert "#SBATCH --no-requeue" in script()


def test_worker_job_asks_for_no_gpu_by_default():
    text = "\n".join(script())
    assert "gres" not in text
    assert "--resources" not in text


@pytest.mark.parametrize("directive", ["--gres=gpu:1", "--gpus=1", "--gres=gpu:a100:1"])
def test_worker_job_asks_for_a_gpu_as_the_site_wants_it(directive):
    lines = script(workers=f'gpus = 1\ngpu_directive = "{directive}"\n')
    assert f"#SBATCH {directive}" in lines
    assert "--resources GPU=1" in lines[-1]


def test_worker_job_names_queue_account_walltime_memory_and_cpus():
    lines = script(workers='queue = "short"\naccount = "proj1"\ncpus = 3\n')
    wanted = {"-p short", "-A proj1", "-t 01:00:00", "--mem=4G", "--cpus-per-task=3"}
    assert {f"#SBATCH {option}" for option in wanted} <= set(lines)


def test_worker_job_leaves_out_what_a_site_forbids():
    lines = script(workers='skip_directives = ["--mem"]\n')
    assert not any("--mem=" in line for line in lines if line.startswith("#SBATCH"))


def test_worker_job_has_the_sites_own_directives():
    assert "#SBATCH --qos=normal" in script(workers='extra_directives = ["--qos=normal"]\n')


def test_worker_job_sets_up_the_environment_before_python_starts():
    lines = script('[environment]\nsetup = ["module load cuda/12.4"]\npython = "/opt/py/bin/python"\n')
    assert lines.index("module load cuda/12.4") < len(lines) - 1
    assert lines[-1].startswith("/opt/py/bin/python -m distributed.cli.dask_worker")


def test_worker_job_forgets_proxies_if_the_site_says_so():
    assert any(line.startswith("unset http_proxy") for line in script("[environment]\nunset_proxies = true\n"))
    assert not any("proxy" in line for line in script())


def test_worker_job_uses_the_sites_interface_and_scratch():
    lines = script('[network]\ninterface = "ib0"\n[directories]\nscratch = "$TMPDIR"\nlogs = "/scratch/logs"\n')
    assert "--interface ib0" in lines[-1]
    assert '--local-directory "$TMPDIR"' in lines[-1]
    assert any("--output=/scratch/logs/" in line for line in lines)


def test_logs_of_a_run_directory_with_space_and_percent_sign_are_one_word_to_slurm():
    jobs = RunJobs(layout=RunLayout(Path("/data/my run/dose%20a")), study="my demo")
    site = parse_slurm_file(LEAST, origin="site.toml")
    text = worker_script(site, site.pools[0], jobs)
    assert "#SBATCH --output='/data/my run/dose%%20a/slurm/logs/my_demo-worker-" in text
    assert " --tls-ca-file '/data/my run/dose%20a/.tls/ca.pem' " in text


def test_a_run_directory_whose_name_slurm_reads_otherwise_is_refused():
    """A backslash in a name of `--output` means to Slurm that no percent sign in it has a meaning, and is left out."""
    jobs = RunJobs(layout=RunLayout(Path("/data/back\\slash")), study="demo")
    site = parse_slurm_file(LEAST, origin="site.toml")
    with pytest.raises(InputError, match=r"slurm cannot write logs into .*another run directory"):
        worker_script(site, site.pools[0], jobs)


def test_jobs_are_named_after_the_study_and_found_by_the_directory_whatever_it_is_called():
    name = RunJobs(layout=LAYOUT, study="dose-5 (a)").name("worker")
    assert name.startswith("dose_5__a_-worker-")
    assert role_of(name, LAYOUT) == "worker"
    assert role_of(name, RunLayout(Path("/data/runs/other"))) is None
    assert role_of("somebody-elses", LAYOUT) is None


def test_worker_jobs_of_a_controller_are_named_after_it_and_found_with_those_of_others():
    name = RunJobs(layout=LAYOUT, study="demo", controller="4711").name("worker")
    assert name == f"{JOBS.name('worker')}-4711"
    assert role_of(name, LAYOUT) == "worker"


def test_worker_is_named_as_its_job():
    assert " --name $SLURM_JOB_ID " in script()[-1]


def test_worker_dashboard_stays_on_loopback():
    assert "--dashboard-address 127.0.0.1:0" in script()[-1]


@pytest.mark.process
@pytest.mark.parametrize(
    ("answer", "goes_on"),
    [
        ("echo RUNNING", True),
        ("echo COMPLETED", False),
        ("echo PENDING", False),  # it was queued again, and starts jobs of its own
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", False),
        ("echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1", True),
        ("exit 0", True),
        ("echo 'squeue: command not found' >&2; exit 127", True),
    ],
)
def test_worker_job_ends_if_the_runs_controller_is_gone(tmp_path, monkeypatch, answer, goes_on):
    monkeypatch.setenv("FLY64DASK_CONTROLLER_JOB", "4711")
    (tmp_path / "squeue").write_text(f'#!/bin/sh\n[ "$4" = --jobs=4711 ] || exit 9\n{answer}\n')
    (tmp_path / "squeue").chmod(0o755)
    (python := tmp_path / "python").write_text("#!/bin/sh\necho began\n")
    python.chmod(0o755)
    text = "\n".join(script(f'[environment]\npython = "{python}"\n'))
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_ID": "5"}
    done = subprocess.run(["bash", "-c", text], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "began\n" if goes_on else "the run has ended\n")


@pytest.mark.parametrize("file", ["slurm.toml", "slurm-cpu.toml", "slurm-pools.toml"])
def test_example_cluster_files_can_be_read(file):
    assert read_slurm_file(ROOT / "cluster" / file).pools[0].max_jobs > 1


def test_example_cluster_file_explains_every_key():
    text = (ROOT / "cluster" / "slurm.toml").read_text()
    schema = parse_slurm_file(LEAST, origin="site.toml").model_json_schema()
    keys = {name for part in schema["$defs"].values() for name in part["properties"]}
    assert [key for key in keys if f"{key} = " not in text] == []


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (("max_jobs = 4", "max_job = 4"), "did you mean 'max_jobs'"),
        (('"01:00:00"', '"60"'), "workers.walltime = '60': needed is \"HH:MM:SS\""),
        (('"01:00:00"', "3600"), "workers.walltime = 3600"),
        (('"4GB"', '"4"'), "workers.memory = '4': needed is a size"),
        (("max_jobs = 4", "max_jobs = 0"), "workers.max_jobs = 0"),
        (("max_jobs = 4", "max_jobs = 4\ngpus = 2"), "workers.gpus = 2"),
        (("max_jobs = 4", 'max_jobs = 4\nqueue = "a b"'), "workers.queue = 'a b'"),
        (("max_jobs = 4", 'max_jobs = 4\nextra_directives = ["qos"]'), "workers.extra_directives[0] = 'qos'"),
    ],
)
def test_parse_slurm_file_names_a_wrong_key(change, wanted):
    with pytest.raises(InputError) as caught:
        parse_slurm_file(LEAST.replace(*change), origin="site.toml")
    assert wanted in str(caught.value)
    assert "cluster/slurm.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("directive", "is_refused"),
    [("--clusters=other", True), ("-M other", True), ("-Jmine", True), ("--wait", True), ("--wait-all-nodes=1", False)],
)
def test_parse_slurm_file_refuses_directives_by_which_a_run_would_lose_its_jobs(directive, is_refused):
    text = f'{LEAST}extra_directives = ["--qos=normal", "{directive}"]\n'
    if is_refused:
        with pytest.raises(InputError, match=f"extra_directives has '{directive}'"):
            parse_slurm_file(text, origin="site.toml")
    else:
        assert parse_slurm_file(text, origin="site.toml").pools[0].extra_directives[1] == directive


@pytest.mark.parametrize(
    ("where", "is_file"), [("cluster/slurm.toml", True), ("local", False), ("tcp://127.0.0.1:8786", False)]
)
def test_is_cluster_file_tells_files_from_addresses(where, is_file):
    assert is_cluster_file(where) is is_file


def site_file(folder: Path, more: str = "") -> Path:
    path = folder / "site.toml"
    path.write_text(LEAST + more)
    return path


def recipe(**settings: object) -> Recipe:
    return tiny_study().recipe.model_copy(update=settings)


def test_refuse_small_jobs_names_cell_need_and_line(tmp_path):
    study = tiny_study()
    path = site_file(tmp_path)
    path.write_text(path.read_text().replace('"4GB"', '"200MB"'))
    plan = plan_cells(study, read_inputs(study), cells(study))
    with pytest.raises(
        ResourceError, match=r"needs about 0\.9 GB, a job has 0\.2 GB.*raise memory in \[workers\] of .*site\.toml"
    ):
        refuse_small_jobs(read_slurm_file(path), path, plan, recipe(device="cpu"))


def test_refuse_small_jobs_refuses_more_threads_than_cpus(tmp_path):
    path = site_file(tmp_path)
    with pytest.raises(InputError, match=r"workers have 1 CPU,.*compute on 2 threads.*cpus = 2 in \[workers\]"):
        refuse_small_jobs(read_slurm_file(path), path, (), recipe(threads=2))


def test_refuse_small_jobs_refuses_cuda_on_jobs_without_gpu(tmp_path):
    path = site_file(tmp_path)
    with pytest.raises(InputError, match="workers have no GPU"):
        refuse_small_jobs(read_slurm_file(path), path, [], recipe(device="cuda"))


def controller(folder: Path, more: str = "") -> str:
    path = site_file(folder, more)
    (folder / "controller.sbatch").write_text((ROOT / "cluster" / "controller.sbatch").read_text())
    return controller_script(read_slurm_file(path), path, JOBS, ["fly64dask", "run", "my study.json"])


def test_controller_script_is_a_shell_script_with_every_place_filled(tmp_path):
    text = controller(tmp_path)
    assert "{{" not in text
    done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_preview_runs_what_was_submitted(tmp_path):
    controller(tmp_path)
    study = tiny_study()
    text = preview(study, read_inputs(study), cells(study), LAYOUT, tmp_path / "site.toml", ["--view", "sparse"])
    assert "fly64dask run /data/runs/demo/slurm/study.json --out /data/runs/demo" in text["controller"]
    assert "--view sparse" in text["controller"]
    assert "tls://SCHEDULER" in text["worker"]


@pytest.mark.process
def test_dry_run_leaves_nothing_behind(tmp_path):
    (tmp_path / "home").mkdir()
    site_file(tmp_path)
    (tmp_path / "controller.sbatch").write_text((ROOT / "cluster" / "controller.sbatch").read_text())
    before = sorted(tmp_path.rglob("*"))
    done = run_command(
        *("submit", ROOT / "data" / "demo.toml", "--out", tmp_path / "runs" / "demo"),
        *("--cluster", tmp_path / "site.toml", "--dry-run"),
        cwd=tmp_path,
        environment={**os.environ, "HOME": str(tmp_path / "home")},
    )
    assert done.returncode == 0, done.stderr
    assert "#SBATCH" in done.stdout
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.process
def test_submit_tells_the_time_of_the_gpus_of_its_pool(tmp_path, tmp_path_factory):
    """A run beside it was computed on a GPU and on CPUs: workers of this one have GPUs."""
    finished = RunLayout(made_once(tmp_path_factory, "six-cells", make_six_cells) / "run")
    as_if_computed_on(finished, tmp_path / "before", "cpu", "cuda (NVIDIA H200)")
    (tmp_path / "tiny.toml").write_text(tiny.TEXT)
    (tmp_path / "controller.sbatch").write_text((ROOT / "cluster" / "controller.sbatch").read_text())
    site = site_file(tmp_path, "gpus = 1\n")
    done = run_command(
        *("submit", tmp_path / "tiny.toml", "--out", tmp_path / "new", "--cluster", site, "--device", "auto"),
        "--dry-run",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    times = [line for line in done.stdout.splitlines() if "at most" in line]
    assert len(times) == 1
    assert re.fullmatch(r"time: at most .* of one GPU \(NVIDIA H200\), from .* in 2 cells of .*/before", times[0])


def test_controller_script_runs_its_command(tmp_path):
    assert "  fly64dask run 'my study.json' &\n" in controller(tmp_path)


@pytest.mark.process
@pytest.mark.parametrize("requeues", [True, False])
def test_controller_hands_over_before_its_wall_time_ends_by_another_job_where_it_cannot_be_requeued(tmp_path, requeues):
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("scancel", "sbatch", *(["scontrol"] if requeues else [])):
        (commands / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/calls\n')
        (commands / name).chmod(0o755)
    for name in ("bash", "date", "hostname", "sleep", "touch"):
        (commands / name).symlink_to(shutil.which(name))
    path = site_file(tmp_path)
    (tmp_path / "controller.sbatch").write_text((ROOT / "cluster" / "controller.sbatch").read_text())
    driver = ["bash", "-c", f"trap 'exit 130' TERM; touch {tmp_path}/runs; while :; do sleep 0.1; done"]
    text = controller_script(read_slurm_file(path), path, JOBS, driver)
    environment = {"PATH": str(commands), "SLURM_JOB_ID": "47"}
    job = subprocess.Popen(["bash", "-c", text], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "runs").exists():
        time.sleep(0.05)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(timeout=120) == 0
    calls = (tmp_path / "calls").read_text().splitlines()
    cancelled = {line for line in calls if line.startswith("scancel")}
    assert cancelled == {f"scancel --quiet --me --name={JOBS.name('worker')}-47"}  # none of another controller
    handed_over = [line for line in calls if line not in cancelled]
    script = f"sbatch --dependency=afterany:47 {LAYOUT.controller_script}"
    assert handed_over == (["scontrol requeue 47"] if requeues else [script])


def test_controller_takes_queue_and_account_of_workers_if_it_has_none(tmp_path):
    path = site_file(tmp_path, 'queue = "gpu"\naccount = "proj1"\n[controller]\nqueue = "cpu"\n')
    (tmp_path / "controller.sbatch").write_text((ROOT / "cluster" / "controller.sbatch").read_text())
    text = controller_script(read_slurm_file(path), path, JOBS, [])
    assert "#SBATCH -p cpu\n" in text
    assert "#SBATCH -A proj1\n" in text


def test_controller_script_names_a_place_that_cannot_be_filled(tmp_path):
    path = site_file(tmp_path)
    (tmp_path / "controller.sbatch").write_text("#!/bin/bash\n{{ directive }}\n")
    with pytest.raises(InputError, match=r"'directive' is undefined.*places are \{\{ directives \}\}"):
        controller_script(read_slurm_file(path), path, JOBS, [])


def test_controller_script_keeps_shell_that_looks_like_a_comment_of_jinja(tmp_path):
    path = site_file(tmp_path)
    (tmp_path / "controller.sbatch").write_text('name=abc\necho "${#name} ${name%%c}"\n')
    text = controller_script(read_slurm_file(path), path, JOBS, [])
    done = subprocess.run(["bash"], input=text, text=True, capture_output=True, check=True)
    assert done.stdout == "3 ab\n"


def test_controller_script_leaves_out_what_a_site_forbids(tmp_path):
    text = controller(tmp_path, '[controller]\nskip_directives = ["--mem", "--requeue"]\n')
    options = [line for line in text.splitlines() if line.startswith("#SBATCH")]
    assert not any("--mem" in line or "--requeue" in line for line in options)
    assert any("--signal" in line for line in options)


def test_controller_script_names_a_missing_template(tmp_path):
    path = site_file(tmp_path)
    with pytest.raises(InputError, match=r"controller\.sbatch"):
        controller_script(read_slurm_file(path), path, JOBS, [])


def test_ctrl_c_stays_what_it_was_when_job_scripts_are_made():
    """dask-jobqueue's import lets it end the process without a word."""
    code = (
        "import signal; before = signal.getsignal(signal.SIGINT)\n"
        "from fly64dask.deploy.slurm.jobscript import _job_classes; _job_classes()\n"
        "raise SystemExit(signal.getsignal(signal.SIGINT) is not before)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
