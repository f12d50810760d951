from .data001 import (
    read_pair as read_pair,
    write_data001 as write_data001,
)
from .detect import (
    read_scan as read_scan,
)
from .objects import (
    find_object as find_object,
    read_object as read_object,
)
from .scan_file import (
    RawScan as RawScan,
    ReadOptions as ReadOptions,
    file_sha256 as file_sha256,
)
