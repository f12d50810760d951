from .cleaning import (
    CLEANED_KINDS as CLEANED_KINDS,
    CleanedKind as CleanedKind,
    Cleaning as Cleaning,
    clean_run as clean_run,
    plan_cleaning as plan_cleaning,
)
from .cleaning_at_store import (
    CleaningAtStore as CleaningAtStore,
    clean_at_store as clean_at_store,
    plan_cleaning_at_store as plan_cleaning_at_store,
)
from .listing import (
    RunSummary as RunSummary,
    find_runs as find_runs,
)
from .merging import merge_runs as merge_runs
from .runs import (
    Runs as Runs,
    open_runs as open_runs,
    run_or_runs as run_or_runs,
)
