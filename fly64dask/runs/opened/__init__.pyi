from .cell_view import (
    CellView as CellView,
)
from .labelled import (
    flat_cell as flat_cell,
    run_table as run_table,
)
from .run import (
    Run as Run,
    open_run as open_run,
)
