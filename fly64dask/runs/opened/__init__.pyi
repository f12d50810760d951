from .cell_view import (
    CellView as CellView,
)
from .labelled import (
    DIMENSIONS as DIMENSIONS,
    FURTHER_DIMENSIONS as FURTHER_DIMENSIONS,
    flat_cells as flat_cells,
)
from .run import (
    Run as Run,
    open_run as open_run,
)
