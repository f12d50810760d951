from .cell_view import (
    CellView as CellView,
)
from .labelled import (
    RUN as RUN,
    cell_columns as cell_columns,
    flat_cell as flat_cell,
    run_table as run_table,
)
from .run import (
    Run as Run,
    open_run as open_run,
)
