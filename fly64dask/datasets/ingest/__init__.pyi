from .checks.exposures import find_bright as find_bright, find_dark as find_dark
from .checks.stored import damages_of_store as damages_of_store
from .into_store import ingest_file as ingest_file, ingest_scan as ingest_scan
from .options import IngestOptions as IngestOptions
