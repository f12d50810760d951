from .costs import (
    ENGINE_BYTES as ENGINE_BYTES,
    expected_lengths as expected_lengths,
    expected_work as expected_work,
    predicted_memory_bytes as predicted_memory_bytes,
)
from .forecast import (
    Forecast as Forecast,
    forecast_run as forecast_run,
    with_work as with_work,
)
from .graph import (
    GraphBuilder as GraphBuilder,
    GraphOptions as GraphOptions,
)
from .packing import (
    CONTEXT_BYTES as CONTEXT_BYTES,
    cores_hint as cores_hint,
    find_misfit as find_misfit,
    gpu_of_worker as gpu_of_worker,
    n_local_workers as n_local_workers,
    refuse_crowded as refuse_crowded,
    refuse_idle_slots as refuse_idle_slots,
)
from .plan import (
    PlannedCell as PlannedCell,
    plan_cells as plan_cells,
)
from .submission import (
    answered as answered,
)
from .supply import (
    WorkerSupply as WorkerSupply,
    external_workers as external_workers,
)
from .windows import (
    run_windows as run_windows,
)
