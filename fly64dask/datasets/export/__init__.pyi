from .data001 import ScanToWrite as ScanToWrite, write_data001 as write_data001
from .scan import export_scan as export_scan
