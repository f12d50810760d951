from .attempts import (
    STUDY_KEY as STUDY_KEY,
    Copied as Copied,
    at_once as at_once,
    attempts_at_store as attempts_at_store,
)
from .cache import (
    LOOK_RETRY_S as LOOK_RETRY_S,
    bring as bring,
    cache_layout as cache_layout,
    cached_run as cached_run,
    fetched_run as fetched_run,
    has_run as has_run,
    held_cache as held_cache,
)
from .incoming import Taking as Taking
from .mending import repair_at_store as repair_at_store
from .mirror import Patience as Patience, run_at_store as run_at_store
from .one_cell import bring_cell as bring_cell, cached_study as cached_study
from .pull import pull_from as pull_from, pull_run as pull_run
from .push import push_run as push_run, push_to as push_to
