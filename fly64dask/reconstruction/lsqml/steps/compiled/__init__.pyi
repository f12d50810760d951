from .passes import (
    CompiledPasses as CompiledPasses,
    Corners as Corners,
    Measured as Measured,
)
from .transforms import (
    Library as Library,
    library_for as library_for,
)
from .update_kernels import (
    add_at_corners as add_at_corners,
)
