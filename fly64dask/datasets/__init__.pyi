from .groups import (
    describe_view as describe_view,
    expose_split as expose_split,
    prepare_scan as prepare_scan,
    select_view as select_view,
)
from .import_export import (
    export as export,
    ingest as ingest,
)
from .sources import (
    ScanInputs as ScanInputs,
    dose_in_photons as dose_in_photons,
    read_inputs as read_inputs,
)
