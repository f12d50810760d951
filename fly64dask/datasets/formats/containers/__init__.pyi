from .content import (
    SUPPORTED as SUPPORTED,
    Kind as Kind,
    kind_of as kind_of,
)
from .damage import (
    UNREADABLE as UNREADABLE,
    listed as listed,
    refuse_beyond_memory as refuse_beyond_memory,
)
from .frames import (
    empad_patterns as empad_patterns,
    mib_patterns as mib_patterns,
)
from .hdf5 import (
    Hdf5File as Hdf5File,
)
from .named_arrays import (
    NamedArrays as NamedArrays,
    as_number as as_number,
    coordinates as coordinates,
    number as number,
    points as points,
    reading as reading,
    text as text,
)
from .npz import NpzFile as NpzFile
from .npz_members import (
    Member as Member,
    load_arrays as load_arrays,
    take as take,
)
from .opening import (
    open_arrays as open_arrays,
)
