"""Reads and writes the files of a run directory that are of no cell: its study, its dashboard, what was cleaned."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from fly64dask.base import Frozen, InputError, IntegrityError, counted, digest, host_name, utc_now
from fly64dask.store import RunLayout, read_document, replaced_file, write_document
from fly64dask.study import Study

# A run says every few seconds how its worker jobs are; what is older than this has its age beside it.
WORKER_JOBS_S = 60.0
# Inode and time of the last change, ns: files of a run are replaced, never written to again.
FileVersion = tuple[int, int]


def read_study(path: Path) -> Study:
    """Read a study from a TOML file, or from the JSON file in which a run directory keeps it.

    Parameters
    ----------
    path : Path
        The file. In a TOML file a relative path of the source starts at the file's own directory.

    Raises
    ------
    InputError
        If the file cannot be read or is not a study.
    IntegrityError
        If the JSON file is damaged.
    """
    if path.suffix == ".json":
        return read_document(path, Study, remedy="give the study's TOML file")
    return Study.from_toml(path)


def study_digest(study: Study) -> str:
    """Compute the digest by which a manifest names its study: without what rounds add, which comes before its cells."""
    return digest(study.model_dump(mode="json", exclude={"added"}))


def read_run_study(layout: RunLayout) -> Study:
    """Read the study that a run directory was last used with.

    Parameters
    ----------
    layout : RunLayout
        The run.

    Raises
    ------
    InputError
        If it is no run directory.
    IntegrityError
        If its study is damaged.
    """
    try:
        return read_document(layout.study_file, Study, remedy="run the study again: its file is written anew")
    except FileNotFoundError as error:
        remedy = "give a directory that `fly64dask run STUDY --out RUN` made"
        if any(path.exists() for path in (layout.manifest_file, layout.store, layout.snapshots)):
            remedy = "its other files are there: run the study again, its file is written anew and finished cells stay"
        below = sorted(path.parent.name for path in layout.root.glob(f"*/{layout.study_file.name}"))
        if below:
            remedy = f"give one of the runs in it, such as {layout.root / below[0]}; `fly64dask runs` lists them"
        raise InputError(f"open run {layout.root}: no {layout.study_file.name} there", remedy=remedy) from error


def version_of(path: Path) -> FileVersion | None:
    """Give the version of a file, which costs no read of it; None if it is not there or cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_ino, status.st_mtime_ns)


def newer_run_study(layout: RunLayout, study: Study, version: FileVersion | None) -> tuple[Study, FileVersion | None]:
    """Read a run's study if its file is of another version; gives the study as it is known, and its version.

    The known one stays where the run is about to begin, or its study is damaged.
    """
    now = version_of(layout.study_file)
    if now is None or now == version:
        return study, version
    try:
        return read_run_study(layout), now
    except (IntegrityError, InputError):
        return study, version


def write_run_study(layout: RunLayout, study: Study) -> None:
    """Store the resolved study with the run."""
    write_document(layout.study_file, study)


class Dashboard(Frozen):
    """The address of the dashboard of a run under way: a port of a machine's loopback."""

    host: str
    port: int
    since: str


def write_dashboard(layout: RunLayout, port: int) -> None:
    """Say where the dashboard of this process's run is."""
    write_document(layout.dashboard_file, Dashboard(host=host_name(), port=port, since=utc_now()))


def read_dashboard(layout: RunLayout) -> Dashboard | None:
    """Tell where the dashboard of the run under way is; None if there is none, or the file is damaged."""
    try:
        return read_document(layout.dashboard_file, Dashboard, remedy="")
    except (FileNotFoundError, IntegrityError):
        return None


def write_worker_jobs(layout: RunLayout, words: str) -> None:
    """Say how the worker jobs of this process's run are; what the file system refuses is left, as it is for people."""
    with suppress(OSError):
        layout.live.mkdir(exist_ok=True)
        with replaced_file(layout.worker_jobs_file) as draft:
            draft.write_text(words, encoding="utf-8")


def read_worker_jobs(layout: RunLayout) -> str | None:
    """Tell how the worker jobs of a run under way are, and when it said so if that is long ago; None if it has none."""
    path = layout.worker_jobs_file
    try:
        words, age_s = path.read_text(encoding="utf-8"), time.time() - path.stat().st_mtime
    except (OSError, UnicodeDecodeError):
        return None
    return words if age_s < WORKER_JOBS_S else f"{words} (said {age_s / 60:.0f} min ago)"


class Cleaned(Frozen):
    """What was removed of a run's store, as it can be made again: groups of exposures, relative to the run."""

    at: str
    exposures: tuple[str, ...]

    def words(self, layout: RunLayout, url: str | None = None) -> str:
        """Say in words what is missing, since when, and how to make it again; at a URL where the run is there."""
        study, out = (str(layout.study_file), str(layout.root)) if url is None else ("STUDY", url)
        again = shlex.join(["fly64dask", "run", study, "--out", out])
        return (
            f"cleaned on {self.at[:10]}: {counted(len(self.exposures), 'group')} of exposures, such as "
            f"{self.exposures[0]}; `{again}` makes them again and runs no finished cell again"
        )


def read_cleaned(layout: RunLayout) -> Cleaned | None:
    """Tell which exposures were removed and are still missing; None if there are none, or nothing is known of them."""
    try:
        cleaned = read_document(layout.cleaned_file, Cleaned, remedy="")
    except (FileNotFoundError, IntegrityError):
        return None
    missing = tuple(group for group in cleaned.exposures if not (layout.root / group).exists())
    return cleaned.model_copy(update={"exposures": missing}) if missing else None


def note_cleaned(layout: RunLayout, groups: Iterable[Path]) -> None:
    """Note that groups of exposures are about to be removed, beside those that are missing from earlier."""
    before = read_cleaned(layout)
    names = {str(group.relative_to(layout.root)) for group in groups} | set(before.exposures if before else ())
    write_document(layout.cleaned_file, Cleaned(at=utc_now(), exposures=tuple(sorted(names))))
