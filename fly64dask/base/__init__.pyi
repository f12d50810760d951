from .background import (
    repeated as repeated,
)
from .errors import (
    BAD_DEVICE as BAD_DEVICE,
    NO_DESCRIPTORS as NO_DESCRIPTORS,
    NO_PLACE as NO_PLACE,
    NO_RIGHT as NO_RIGHT,
    NO_ROOM as NO_ROOM,
    NO_SPACE as NO_SPACE,
    AbandonedError as AbandonedError,
    DegenerateScanError as DegenerateScanError,
    FailureKind as FailureKind,
    Fly64Error as Fly64Error,
    GpuMissingError as GpuMissingError,
    InputError as InputError,
    IntegrityError as IntegrityError,
    NoReconstructionError as NoReconstructionError,
    NoRoomError as NoRoomError,
    NotFiniteError as NotFiniteError,
    NotSelectableError as NotSelectableError,
    ResourceError as ResourceError,
    StorageError as StorageError,
    describe as describe,
    failure_kind as failure_kind,
    printable as printable,
)
from .extras import (
    how_to_install as how_to_install,
)
from .failures import (
    Failure as Failure,
    result_or_failure as result_or_failure,
)
from .geometry import (
    Geometry as Geometry,
    Particle as Particle,
    PixelSizeNm as PixelSizeNm,
    in_nm as in_nm,
    mean_side_nm as mean_side_nm,
)
from .glossary import (
    GLOSSARY as GLOSSARY,
)
from .loading import (
    kept_for_good as kept_for_good,
    load_for_good as load_for_good,
)
from .machine import (
    KEEP_MEMORY as KEEP_MEMORY,
    SINGLE_THREAD as SINGLE_THREAD,
    gpu_memory_bytes as gpu_memory_bytes,
    installed_gpus as installed_gpus,
    leave_quickly as leave_quickly,
    leave_thoroughly as leave_thoroughly,
    memory_left_bytes as memory_left_bytes,
    visible_gpus as visible_gpus,
)
from .provenance import (
    FIRST_EDITION as FIRST_EDITION,
    NOT_INSTALLED as NOT_INSTALLED,
    edition_of as edition_of,
    host_name as host_name,
    installed_version as installed_version,
    is_of_edition as is_of_edition,
    software_versions as software_versions,
    utc_now as utc_now,
)
from .quantities import (
    UNIT_OF_RECORD as UNIT_OF_RECORD,
    Better as Better,
    Quantities as Quantities,
    Quantity as Quantity,
    quantities_of as quantities_of,
)
from .schema import (
    Frozen as Frozen,
    build_records as build_records,
    compact_json as compact_json,
    digest as digest,
    meanings_of as meanings_of,
)
from .version import (
    EDITIONS as EDITIONS,
    HALF_SETS as HALF_SETS,
    METRICS as METRICS,
    RECONSTRUCTION as RECONSTRUCTION,
)
from .words import (
    counted as counted,
    counted_of as counted_of,
)
