from .against_reference import (
    ReferenceObject as ReferenceObject,
    measure_with_reference as measure_with_reference,
    reference_in_area as reference_in_area,
)
from .against_truth import (
    Reference as Reference,
    TruthComparison as TruthComparison,
    compare_with_truth as compare_with_truth,
    measure_against as measure_against,
    reference_in_frame as reference_in_frame,
)
from .alignment import (
    PhasePlane as PhasePlane,
    Plane as Plane,
    align as align,
    remove_phase_ramp as remove_phase_ramp,
)
from .original_study import (
    measure_as_original as measure_as_original,
)
from .results import (
    HalfSetMetrics as HalfSetMetrics,
    OriginalMetrics as OriginalMetrics,
    ReferenceMetrics as ReferenceMetrics,
    SplitBy as SplitBy,
    TruthMetrics as TruthMetrics,
)
from .ring_correlation import (
    Criterion as Criterion,
    Crossing as Crossing,
    RingCorrelation as RingCorrelation,
    crossing as crossing,
    frc as frc,
    threshold as threshold,
)
from .rings import (
    Rings as Rings,
)
from .significance import (
    SIGNIFICANT as SIGNIFICANT,
    RatioTest as RatioTest,
    compare_draws as compare_draws,
    compare_repeats as compare_repeats,
    holm as holm,
)
from .spectral_snr import (
    SnrSums as SnrSums,
)
