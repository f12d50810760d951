from .into_store import ingest as ingest, ingest_scan as ingest_scan
from .options import IngestOptions as IngestOptions
