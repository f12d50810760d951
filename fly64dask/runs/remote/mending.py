"""Makes again what is damaged of a run at an object store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fly64dask.monitoring import Notify, ignore_event, ignore_line
from fly64dask.reconstruction import LSQML
from fly64dask.runs.groups import groups_of
from fly64dask.runs.remote.mirror import Patience, run_at_store
from fly64dask.runs.verify import Damage
from fly64dask.store import METADATA_NAME, RunLayout
from fly64dask.study import Study

if TYPE_CHECKING:
    from fly64dask.deploy import Placement


def repair_at_store(
    study: Study,
    url: str,
    fetched: RunLayout,
    damages: Sequence[Damage],
    placement: Placement | None = None,
    *,
    engine: str = LSQML,
    notify: Notify = ignore_event,
    say: Callable[[str], None] = ignore_line,
    patience: Patience | None = None,
) -> None:
    """Simulate or thin again what is damaged of the exposures, run again the damaged cells, write the tables.

    Parameters
    ----------
    study : Study
        The run's study.
    url : str
        The run.
    fetched : RunLayout
        The directory of `fetched_run`, whose block lasts; it is repaired, and with it the store.
    damages : sequence of Damage
        From `fetched_run`.
    placement, engine, notify, say
        As of `repair_run`.
    patience : Patience, optional
        As of `run_at_store`.

    Notes
    -----
    A damaged group or table is deleted first, and then there again when it is whole. A damaged attempt at a cell stays
    as it is, as nothing at a store is written twice; the cell gets one more.
    """
    from fly64dask.runs.repair import repair_run  # Dask takes a second to load

    with run_at_store(url, study.name, say=say, patience=patience, layout=fetched) as mirror:
        paths = [fetched.root / damage.path for damage in damages]
        broken = [group for group in groups_of(study, fetched) if any(path.is_relative_to(group) for path in paths)]
        tables = [path for path in paths if path.suffix == ".json" and not path.is_relative_to(fetched.store)]
        mirror.forget([*(group / METADATA_NAME for group in broken), *tables])
        repair_run(
            study,
            fetched,
            damages,
            placement,
            engine=engine,
            notify=mirror.watching(notify, say),
            say=say,
        )
