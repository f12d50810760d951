"""Submits a run: a controller job that holds scheduler and driver, after all that can be checked before."""

from __future__ import annotations

import getpass
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from fly64dask.base import Fly64Error, InputError, host_name, utc_now
from fly64dask.datasets import ScanInputs
from fly64dask.deploy.slurm.batch import NoAnswerError, refuse_without, submit_script
from fly64dask.deploy.slurm.controller import SubmittedController, find_controller
from fly64dask.deploy.slurm.jobscript import controller_script, worker_script
from fly64dask.deploy.slurm.names import CONTROLLER, RunJobs
from fly64dask.deploy.slurm.preflight import refuse_bad_script, refuse_small_jobs
from fly64dask.deploy.slurm.site import SlurmFile, read_slurm_file
from fly64dask.scheduling import plan_cells
from fly64dask.store import RunLayout, held_file, publish_text, storing, write_document
from fly64dask.study import Cell, Filters, Study


def submit_run(
    study: Study,
    inputs: ScanInputs,
    cells_to_run: Sequence[Cell],
    layout: RunLayout,
    cluster_file: Path,
    options: Sequence[str],
    *,
    filters: Filters,
    allow_missing: bool,
) -> SubmittedController:
    """Submit a controller job for a run; returns at once.

    Parameters
    ----------
    study : Study
        The study, its paths resolved; a copy goes into the run directory.
    inputs : ScanInputs
        Of the study.
    cells_to_run : sequence of Cell
        Cells that will run.
    layout : RunLayout
        The run directory; made if missing, continued if not.
    cluster_file : Path
        How the site wants its jobs; a copy goes into the run directory.
    options : sequence of str
        Further words of `fly64dask run`: filters, device.
    filters : Filters
        The cells that are asked for, those too that are done.
    allow_missing : bool
        Whether cells that cannot be selected count as no failure.

    Returns
    -------
    SubmittedController

    Raises
    ------
    InputError
        If the run has a controller already or is just being submitted, or the cluster file cannot be used.
    ResourceError
        If a cell needs more memory than a job has, or Slurm refuses a job.

    Notes
    -----
    What is refused leaves nothing behind. Where Slurm does not answer, a job may be queued, and its files stay.
    """
    site = read_slurm_file(cluster_file)
    refuse_without()
    scripts = preview(study, inputs, cells_to_run, layout, cluster_file, options)
    for name, section in (*((pool.name, site.section(pool)) for pool in site.pools), (CONTROLLER, "[controller]")):
        _refuse_script(cluster_file, scripts[name], section=section)
    with _held_folder(layout) as new_folders:
        with _as_before_if_refused(layout, new_folders):
            _refuse_second(layout)
            write_document(layout.submitted_study, study)
            publish_text(layout.submitted_cluster_file, cluster_file.read_text(encoding="utf-8"))
            publish_text(layout.controller_script, scripts[CONTROLLER])
            job_id = submit_script(layout.controller_script)
        # From here on the job needs the files, whatever goes wrong.
        submission = SubmittedController(
            job_id=job_id,
            submitted_at=utc_now(),
            host=host_name(),
            user=getpass.getuser(),
            command=_command(site, layout, options),
            filters=filters,
            allow_missing=allow_missing,
        )
        write_document(layout.submission_file, submission)
    return submission


def preview(
    study: Study,
    inputs: ScanInputs,
    cells_to_run: Sequence[Cell],
    layout: RunLayout,
    cluster_file: Path,
    options: Sequence[str],
) -> dict[str, str]:
    """Check a submission as far as that goes without Slurm, and give the scripts of its `controller` and of each pool.

    It takes what `submit_run` takes, and raises the same errors about the cluster file and the memory of jobs.
    """
    site = read_slurm_file(cluster_file)
    if site.system != "slurm":
        raise InputError(
            f"cluster file {cluster_file}: a controller job is for Slurm, found system = {site.system!r}",
            remedy=f"use `fly64dask run ... --cluster {cluster_file}` in a session on a login node that stays open",
        )
    refuse_small_jobs(site, cluster_file, plan_cells(study, inputs, cells_to_run), study.recipe)
    jobs = RunJobs(layout=layout, study=study.name)
    device = study.recipe.device
    return {
        CONTROLLER: controller_script(site, cluster_file, jobs, _command(site, layout, options)),
        **{pool.name: worker_script(site, pool, jobs, device=device) for pool in site.pools},
    }


def _refuse_script(cluster_file: Path, text: str, *, section: str) -> None:
    """Raise ResourceError if Slurm would refuse a script; it is asked from a folder that is gone then."""
    with tempfile.TemporaryDirectory(prefix="fly64dask-") as folder:
        script = Path(folder) / "job.sbatch"
        script.write_text(text, encoding="utf-8")
        refuse_bad_script(cluster_file, script, section=section, shown="`fly64dask submit ... --dry-run` prints it")


@contextmanager
def _held_folder(layout: RunLayout) -> Iterator[Sequence[Path]]:
    """Hold the folder of what is submitted, made if missing; gives the folders that were made, the deepest first."""
    folders = (layout.slurm_logs, *layout.slurm_logs.parents)
    new = [folder for folder in folders if not folder.exists()]
    with storing(layout.slurm_logs):
        layout.slurm_logs.mkdir(parents=True, exist_ok=True)
    with held_file(layout.submission_lock, what=f"submit to {layout.root}"):
        yield new


@contextmanager
def _as_before_if_refused(layout: RunLayout, new_folders: Sequence[Path]) -> Iterator[None]:
    """Put back what an error leaves of a submission, and remove new folders, unless a job may have been queued."""
    files = (layout.submitted_study, layout.submitted_cluster_file, layout.controller_script)
    before = {path: path.read_bytes() for path in files if path.exists()}
    try:
        yield
    except Fly64Error as error:
        if not isinstance(error, NoAnswerError):
            _put_back(files, before)
        if layout.slurm in new_folders and not any(path.exists() for path in files):
            layout.submission_lock.unlink()
            _remove_empty(new_folders)
        raise


def _put_back(files: Sequence[Path], before: Mapping[Path, bytes]) -> None:
    for path in files:
        if path in before:
            publish_text(path, before[path].decode())
        else:
            path.unlink(missing_ok=True)


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # something has been put there meanwhile
            folder.rmdir()


def _command(site: SlurmFile, layout: RunLayout, options: Sequence[str]) -> tuple[str, ...]:
    python = site.environment.python or sys.executable
    files = (str(layout.submitted_study), "--out", str(layout.root), "--cluster", str(layout.submitted_cluster_file))
    return (python, "-u", "-m", "fly64dask", "run", *files, *options)


def _refuse_second(layout: RunLayout) -> None:
    job = find_controller(layout)
    if job is not None:
        raise InputError(
            f"run {layout.root}: its controller job {job.job_id} is {job.words} already",
            remedy="follow it with `fly64dask attach`, or end it with `fly64dask cancel`",
        )
