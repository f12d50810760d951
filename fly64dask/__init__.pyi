from . import metrics as metrics
from .base import (
    DegenerateScanError as DegenerateScanError,
    FailureKind as FailureKind,
    Fly64Error as Fly64Error,
    GpuMissingError as GpuMissingError,
    InputError as InputError,
    IntegrityError as IntegrityError,
    NoReconstructionError as NoReconstructionError,
    NotFiniteError as NotFiniteError,
    NotSelectableError as NotSelectableError,
    ResourceError as ResourceError,
    StorageError as StorageError,
)
from .deploy import (
    Placement as Placement,
)
from .reconstruction import (
    Exposures as Exposures,
    Reconstruction as Reconstruction,
)
from .runs import (
    CellView as CellView,
    Run as Run,
    Runs as Runs,
    RunSummary as RunSummary,
    find_runs as find_runs,
    merge_runs as merge_runs,
    open_run as open_run,
    open_runs as open_runs,
    reconstruct as reconstruct,
    run_study as run_study,
)
from .study import (
    Filters as Filters,
    Recipe as Recipe,
    Study as Study,
    Target as Target,
)

__version__: str
