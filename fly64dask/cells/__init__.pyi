from .cancellation import (
    RunId as RunId,
    is_stopped as is_stopped,
    new_run_id as new_run_id,
    stop_earlier_runs as stop_earlier_runs,
    stop_run as stop_run,
)
from .cell import (
    Caller as Caller,
    is_killer as is_killer,
    run_cell as run_cell,
)
from .commit import (
    commit_lost as commit_lost,
)
from .engine_call import (
    EngineCall as EngineCall,
)
from .inputs import (
    CellInputs as CellInputs,
    open_inputs as open_inputs,
    shared_inputs as shared_inputs,
)
from .preload import (
    engine_modules as engine_modules,
    leaves_nothing as leaves_nothing,
    loading_engine as loading_engine,
)
from .request import (
    CellRequest as CellRequest,
    Rerun as Rerun,
)
from .room import (
    RoomWait as RoomWait,
)
