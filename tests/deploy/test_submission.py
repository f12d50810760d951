"""What a submission leaves where it is refused or not answered, by commands that answer as Slurm's do."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny

from fly64dask.base import Fly64Error, InputError, ResourceError
from fly64dask.datasets import read_inputs
from fly64dask.deploy.slurm import SubmittedController, read_submission, submit_run
from fly64dask.store import RunLayout, held_file
from fly64dask.study import Filters, cells

ROOT = Path(__file__).resolve().parents[2]
STUDY = tiny.tiny_study()
SITE = 'schema_version = 1\n[workers]\nwalltime = "01:00:00"\nmemory = "4GB"\nmax_jobs = 4\n'
TAKES = "echo 4711"
REFUSES = "echo 'sbatch: error: Batch job submission failed: Invalid account' >&2; exit 1"
TESTED_AND_REFUSED = f'case "$*" in *--test-only*) exit 0;; *) {REFUSES};; esac'
TESTED_AND_TIMED_OUT = TESTED_AND_REFUSED.replace("Invalid account", "Socket timed out on send/recv operation")
AWAY = "echo 'squeue: error: Unable to contact slurm controller (connect failure)' >&2; exit 1"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """Put commands with given answers before any of Slurm's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def answer(*, sbatch: str = TAKES, squeue: str = "true") -> None:
        for name, script in {"sbatch": sbatch, "squeue": squeue, "scancel": "true", "sacct": "true"}.items():
            command = folder / name
            command.write_text(f"#!/bin/sh\n{script}\n")
            command.chmod(0o755)

    answer()
    return answer


@pytest.fixture
def cluster_file(tmp_path) -> Path:
    (tmp_path / "controller.sbatch").write_text((ROOT / "cluster" / "controller.sbatch").read_text())
    path = tmp_path / "site.toml"
    path.write_text(SITE)
    return path


def submit(layout: RunLayout, cluster_file: Path, **asked: object) -> SubmittedController:
    study = STUDY.model_copy(update=asked)
    return submit_run(
        *(study, read_inputs(study), cells(study), layout, cluster_file, ()), filters=Filters(), allow_missing=False
    )


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.process
@pytest.mark.parametrize("there", [None, "exposures.zarr"], ids=["new", "continued"])
@pytest.mark.parametrize(
    "answers",
    [{"sbatch": REFUSES}, {"sbatch": TESTED_AND_REFUSED}, {"squeue": AWAY}],
    ids=["by_the_test", "at_the_submission", "no_list_of_jobs"],
)
def test_a_refused_submission_leaves_nothing_behind(slurm, cluster_file, tmp_path, answers, there):
    slurm(**answers)
    root = tmp_path / "runs" / "tiny"
    if there is not None:
        (root / there).mkdir(parents=True)
    with pytest.raises(ResourceError):
        submit(RunLayout(root), cluster_file)
    assert sorted(root.rglob("*")) == ([] if there is None else [root / there])
    assert (tmp_path / "runs").exists() == (there is not None)


@pytest.mark.process
def test_a_refused_submission_leaves_an_earlier_one_as_it_was(slurm, cluster_file, tmp_path):
    layout = RunLayout(tmp_path / "run")
    submit(layout, cluster_file)
    before = files_of(layout.root) | {"slurm/.lock": b""}
    cluster_file.write_text(SITE.replace("4GB", "8GB"))
    slurm(sbatch=TESTED_AND_REFUSED)
    with pytest.raises(ResourceError, match="Invalid account"):
        submit(layout, cluster_file, doses_photons=(1e5,))
    assert files_of(layout.root) | {"slurm/.lock": b""} == before
    assert read_submission(layout).job_id == "4711"


@pytest.mark.process
def test_a_submission_that_is_not_answered_keeps_the_files_that_its_job_may_need(slurm, cluster_file, tmp_path):
    layout = RunLayout(tmp_path / "run")
    slurm(sbatch=TESTED_AND_TIMED_OUT)
    with pytest.raises(ResourceError, match="timed out"):
        submit(layout, cluster_file)
    assert {path.name for path in layout.slurm.iterdir()} >= {"study.json", "cluster.toml", "controller.sbatch", "logs"}
    with pytest.raises(InputError, match="no job was submitted for it"):
        read_submission(layout)


@pytest.mark.process
def test_the_files_of_a_job_that_was_submitted_stay_where_it_cannot_be_noted(slurm, cluster_file, tmp_path):
    layout = RunLayout(tmp_path / "run")
    layout.submission_file.mkdir(parents=True)
    with pytest.raises(Fly64Error, match=r"submission.json: Is a directory"):
        submit(layout, cluster_file)
    assert layout.submitted_study.exists()
    assert layout.controller_script.exists()


@pytest.mark.process
def test_a_refused_script_is_to_be_seen_by_a_dry_run(slurm, cluster_file, tmp_path):
    slurm(sbatch=REFUSES)
    with pytest.raises(ResourceError, match=r"correct account or queue in \[workers\] of .*--dry-run` prints it"):
        submit(RunLayout(tmp_path / "run"), cluster_file)


@pytest.mark.process
def test_a_submission_beside_another_one_leaves_the_others_files_alone(slurm, cluster_file, tmp_path):
    layout = RunLayout(tmp_path / "run")
    layout.slurm.mkdir(parents=True)
    with held_file(layout.submission_lock, what="submit"), pytest.raises(Fly64Error, match="another run is using it"):
        submit(layout, cluster_file)
    assert {path.name for path in layout.slurm.iterdir()} == {".lock", "logs"}
