from .digests import (
    exposures_digest as exposures_digest,
    selection_digest as selection_digest,
    view_digest as view_digest,
)
from .doses import KeptExposures as KeptExposures, dose_in_photons as dose_in_photons
from .exposures import expose_split as expose_split
from .scan_groups import prepare_scan as prepare_scan, read_truth as read_truth
from .setups import known_mask as known_mask
from .sources import ScanInputs as ScanInputs, read_inputs as read_inputs
from .views import describe_view as describe_view, select_view as select_view
