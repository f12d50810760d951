from .context import (
    DERIVED_FIELDS as DERIVED_FIELDS,
    RowContext as RowContext,
)
from .currency import (
    StudyNow as StudyNow,
)
from .floors import (
    PHOTON_LIMITED_RATIO as PHOTON_LIMITED_RATIO,
    STILL_FALLING as STILL_FALLING,
    RelativeError as RelativeError,
    relative_error as relative_error,
)
from .reference import (
    ReferenceNow as ReferenceNow,
    ReferenceRecord as ReferenceRecord,
)
