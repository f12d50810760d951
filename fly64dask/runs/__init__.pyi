from .arrays import (
    reconstruct as reconstruct,
)
from .comparisons import (
    Convention as Convention,
    MethodScore as MethodScore,
    RunComparison as RunComparison,
    compare_run as compare_run,
)
from .opened import (
    CellView as CellView,
    Run as Run,
    open_run as open_run,
)
from .places import (
    read_place as read_place,
    run_place as run_place,
)
from .remote import (
    Copied as Copied,
    bring_cell as bring_cell,
    cache_layout as cache_layout,
    cached_study as cached_study,
    fetched_run as fetched_run,
    has_run as has_run,
    pull_run as pull_run,
    push_run as push_run,
    repair_at_store as repair_at_store,
)
from .repair import (
    damaged_cells as damaged_cells,
    repair_run as repair_run,
)
from .rerun import (
    PlannedRerun as PlannedRerun,
    plan_failed as plan_failed,
    run_planned as run_planned,
)
from .rounds import (
    NextRound as NextRound,
    continued_study as continued_study,
    next_round as next_round,
)
from .run import (
    run_study as run_study,
)
from .several import (
    CleanedKind as CleanedKind,
    Cleaning as Cleaning,
    Runs as Runs,
    RunSummary as RunSummary,
    clean_at_store as clean_at_store,
    clean_run as clean_run,
    find_runs as find_runs,
    merge_runs as merge_runs,
    open_runs as open_runs,
    plan_cleaning as plan_cleaning,
    plan_cleaning_at_store as plan_cleaning_at_store,
    run_or_runs as run_or_runs,
)
from .verify import (
    Damage as Damage,
    verify_run as verify_run,
)
