from .forward import (
    Pair as Pair,
    intensity_batches as intensity_batches,
    survey_brightness as survey_brightness,
)
from .object_probe import (
    check_coverage as check_coverage,
    synthetic_pair as synthetic_pair,
)
from .photons import (
    expose as expose,
    photon_stream as photon_stream,
    thin as thin,
)
from .scans import (
    draw_positions as draw_positions,
)
from .transmission import (
    detected_share as detected_share,
    transmitted_share as transmitted_share,
)
