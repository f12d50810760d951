from .forward import (
    Pair as Pair,
    intensity_batches as intensity_batches,
    resample as resample,
    survey_brightness as survey_brightness,
)
from .object_band import (
    ObjectBand as ObjectBand,
    measure_object_band as measure_object_band,
)
from .object_probe import (
    check_coverage as check_coverage,
    make_pair as make_pair,
    synthetic_pair as synthetic_pair,
)
from .objects import (
    make_object as make_object,
)
from .photons import (
    expose as expose,
    photon_stream as photon_stream,
    thin as thin,
)
from .probe_light import (
    ProbeLight as ProbeLight,
    measure_probe_light as measure_probe_light,
)
from .probes import (
    phase_plate_probe as phase_plate_probe,
)
from .scans import (
    draw_positions as draw_positions,
)
from .setups.coherence import (
    coherent_modes as coherent_modes,
)
from .setups.dead_areas import (
    valid_pixels as valid_pixels,
)
from .setups.detector import (
    saturated_count as saturated_count,
)
from .setups.exposing import (
    SetupDetector as SetupDetector,
    setup_intensity_batches as setup_intensity_batches,
)
from .setups.facts import (
    SetupFields as SetupFields,
)
from .setups.position_errors import (
    true_positions_px as true_positions_px,
)
from .setups.starting_probe import (
    mistake_probe as mistake_probe,
)
from .setups.streams import (
    setup_stream as setup_stream,
)
from .transmission import (
    detected_share as detected_share,
    transmitted_share as transmitted_share,
)
