from .data001 import ScanToWrite as ScanToWrite, write_data001 as write_data001
from .reconstruction import (
    CellGroups as CellGroups,
    FileFormat as FileFormat,
    ReconstructionToWrite as ReconstructionToWrite,
    export_reconstruction as export_reconstruction,
)
from .scan import export_scan as export_scan
