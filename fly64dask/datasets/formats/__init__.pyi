from .containers.damage import refuse_beyond_memory as refuse_beyond_memory
from .detect import read_scan_file as read_scan_file
from .file_digest import file_sha256 as file_sha256
from .object_probe_pair import read_pair as read_pair
from .objects import (
    BYTES_A_PIXEL as BYTES_A_PIXEL,
    ForeignObject as ForeignObject,
    find_object as find_object,
    read_object as read_object,
)
from .options import ReadOptions as ReadOptions
from .patterns import ArrayPatterns as ArrayPatterns, Patterns as Patterns
from .position_file import read_positions as read_positions
from .readers.named import read_options as read_options
from .scan_file import ScanFile as ScanFile
