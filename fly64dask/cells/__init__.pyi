from .attempt import (
    Attempt as Attempt,
)
from .cancellation import (
    RunId as RunId,
    new_run_id as new_run_id,
    stop_earlier_runs as stop_earlier_runs,
    stop_run as stop_run,
)
from .cell import (
    Rerun as Rerun,
    commit_lost as commit_lost,
    is_killer as is_killer,
    run_cell as run_cell,
)
from .inputs import (
    CellInputs as CellInputs,
    cell_key as cell_key,
)
from .preload import (
    engine_modules as engine_modules,
)
