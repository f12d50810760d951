from .passes import (
    CompiledPasses as CompiledPasses,
    Corners as Corners,
    Measured as Measured,
)
from .update_kernels import (
    add_at_corners as add_at_corners,
)
