"""Cluster files: every key checked, and the job scripts that sites with different rules get. No Slurm is needed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tiny import tiny_study

from fly64dask.base import InputError, ResourceError
from fly64dask.datasets import read_inputs
from fly64dask.deploy.slurm import is_cluster_file, tunnel_command
from fly64dask.deploy.slurm.cluster import read_slurm_file, refuse_small_jobs, worker_script
from fly64dask.deploy.slurm.controller import controller_script
from fly64dask.deploy.slurm.site_file import line_of, parse_slurm_file
from fly64dask.scheduling import plan_cells
from fly64dask.store import RunLayout
from fly64dask.study import cells

ROOT = Path(__file__).resolve().parents[2]
LAYOUT = RunLayout(Path("/data/runs/demo"))
LEAST = 'schema_version = 1\n[workers]\nwalltime = "01:00:00"\nmemory = "4GB"\nmax_jobs = 4\n'


def script(more: str = "", workers: str = "") -> list[str]:
    """Lines of a worker's job script."""
    return worker_script(parse_slurm_file(LEAST + workers + more, origin="site.toml"), LAYOUT).splitlines()


@pytest.fixture(autouse=True)
def no_directories_are_made(monkeypatch):
    # dask-jobqueue makes the folder of logs as it writes a script.
    monkeypatch.setattr("os.makedirs", lambda *arguments, **options: None)


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
    last = script('[network]\ninterface = "ib0"\n[directories]\nscratch = "$TMPDIR"\nlogs = "/scratch/logs"\n')
    assert "--interface ib0" in last[-1]
    assert "--local-directory $TMPDIR" in last[-1]
    assert any("/scratch/logs/" in line for line in last)


def test_worker_dashboard_stays_on_loopback():
    assert "--dashboard-address 127.0.0.1:0" in script()[-1]


def test_worker_job_ends_if_the_runs_controller_is_gone(monkeypatch):
    monkeypatch.setenv("FLY64DASK_CONTROLLER_JOB", "4711")
    assert any("--jobs=4711" in line and "exit 0" in line for line in script())


@pytest.mark.parametrize("file", ["slurm.toml", "slurm-cpu.toml"])
def test_example_cluster_files_can_be_read(file):
    assert read_slurm_file(ROOT / "cluster" / file).workers.max_jobs > 1


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


def test_line_of_finds_a_key_in_its_own_table():
    text = 'schema_version = 1\n[workers]\nqueue = "a"\n[controller]\nqueue = "b"\n'
    assert line_of(text, "controller", "queue") == 5
    assert line_of(text, "controller", "memory") == 4
    assert line_of(text, "network", "interface") is None


@pytest.mark.parametrize(
    ("where", "is_file"), [("cluster/slurm.toml", True), ("local", False), ("tcp://127.0.0.1:8786", False)]
)
def test_is_cluster_file_tells_files_from_addresses(where, is_file):
    assert is_cluster_file(where) is is_file


def site_file(folder: Path, more: str = "") -> Path:
    path = folder / "site.toml"
    path.write_text(LEAST + more)
    return path


def test_refuse_small_jobs_names_cell_need_and_line(tmp_path):
    study = tiny_study()
    path = site_file(tmp_path)
    path.write_text(path.read_text().replace('"4GB"', '"200MB"'))
    plan = plan_cells(study, read_inputs(study), cells(study))
    with pytest.raises(ResourceError, match=r"needs about 0\.9 GB, a job has 0\.2 GB.*line 4, \[workers\] memory"):
        refuse_small_jobs(read_slurm_file(path), path, plan, device="cpu")


def test_refuse_small_jobs_refuses_more_threads_than_cpus(tmp_path):
    path = site_file(tmp_path)
    with pytest.raises(InputError, match=r"workers have 1 CPUs.*compute on 2 threads.*\[workers\].*cpus = 2"):
        refuse_small_jobs(read_slurm_file(path), path, (), device="cpu", n_threads=2)


def test_refuse_small_jobs_refuses_cuda_on_jobs_without_gpu(tmp_path):
    path = site_file(tmp_path)
    with pytest.raises(InputError, match="workers have no GPU"):
        refuse_small_jobs(read_slurm_file(path), path, [], device="cuda")


def controller(folder: Path, more: str = "") -> str:
    path = site_file(folder, more)
    (folder / "controller.sbatch").write_text((ROOT / "cluster" / "controller.sbatch").read_text())
    return controller_script(read_slurm_file(path), path, LAYOUT, ["--view", "sparse"])


def test_controller_script_is_a_shell_script_with_every_place_filled(tmp_path):
    text = controller(tmp_path)
    assert re.findall("@[A-Z]+@", text) == []
    done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_controller_script_runs_what_was_submitted(tmp_path):
    text = controller(tmp_path)
    assert "fly64dask run /data/runs/demo/slurm/study.json --out /data/runs/demo" in text
    assert "--view sparse" in text


def test_controller_takes_queue_and_account_of_workers_if_it_has_none(tmp_path):
    path = site_file(tmp_path, 'queue = "gpu"\naccount = "proj1"\n[controller]\nqueue = "cpu"\n')
    (tmp_path / "controller.sbatch").write_text((ROOT / "cluster" / "controller.sbatch").read_text())
    text = controller_script(read_slurm_file(path), path, LAYOUT, [])
    assert "#SBATCH --partition=cpu\n" in text
    assert "#SBATCH --account=proj1\n" in text


def test_controller_script_names_a_missing_template(tmp_path):
    path = site_file(tmp_path)
    with pytest.raises(InputError, match=r"controller\.sbatch"):
        controller_script(read_slurm_file(path), path, LAYOUT, [])


def test_tunnel_command_goes_through_the_login_node(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "me")
    assert tunnel_command("node7", 41234, login="login1") == "ssh -N -J me@login1 -L 8787:127.0.0.1:41234 me@node7"
