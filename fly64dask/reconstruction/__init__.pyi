from .best_epoch import (
    BestEpoch as BestEpoch,
    EpochEstimate as EpochEstimate,
)
from .checkpoint import (
    ENDS_AT as ENDS_AT,
    CheckpointFile as CheckpointFile,
    job_ends_at as job_ends_at,
)
from .convergence import (
    late_loss_fall as late_loss_fall,
)
from .half_sets import (
    HalfSetEstimator as HalfSetEstimator,
    compare_halves as compare_halves,
    shared_area as shared_area,
)
from .interface import (
    ACCELERATED as ACCELERATED,
    COMPILED as COMPILED,
    LSQML as LSQML,
    Exposures as Exposures,
    Progress as Progress,
    Reconstruction as Reconstruction,
    StoppingFacts as StoppingFacts,
    load_engine as load_engine,
    refuse_dark as refuse_dark,
)
from .orientation import (
    TRIAL_EPOCHS as TRIAL_EPOCHS,
    TRIAL_EXPOSURES as TRIAL_EXPOSURES,
    Trial as Trial,
    advise as advise,
    middle_exposures as middle_exposures,
    try_orientations as try_orientations,
)
