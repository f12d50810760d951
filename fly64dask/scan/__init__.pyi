from .beams import (
    BeamFields as BeamFields,
    measure_beams as measure_beams,
)
from .degenerate import (
    GUARDED_MIN_EXPOSURES_FOR_PROBE as GUARDED_MIN_EXPOSURES_FOR_PROBE,
    MIN_SPAN_PX as MIN_SPAN_PX,
    is_degenerate as is_degenerate,
    is_guarded as is_guarded,
    refuse_degenerate as refuse_degenerate,
    refuses_degenerate as refuses_degenerate,
)
from .fluence import (
    FluenceFields as FluenceFields,
    describe_light as describe_light,
    dose_deviation as dose_deviation,
    fluence_per_px2 as fluence_per_px2,
    photons_per_exposure as photons_per_exposure,
)
from .identifiability import (
    GOOD_COVERED_TWICE as GOOD_COVERED_TWICE,
    GOOD_LIT_PER_UNKNOWN as GOOD_LIT_PER_UNKNOWN,
    MIN_LIT_PER_UNKNOWN as MIN_LIT_PER_UNKNOWN,
    Coverage as Coverage,
    Identifiability as Identifiability,
    Prediction as Prediction,
    measure_coverage as measure_coverage,
    predict_identifiability as predict_identifiability,
)
from .illumination import (
    ILLUMINATED_FRACTION as ILLUMINATED_FRACTION,
    bounding_box as bounding_box,
    crop_to_frame as crop_to_frame,
    illuminated_area as illuminated_area,
    illumination_map as illumination_map,
    total_intensity as total_intensity,
)
from .outlying import doubt_split as doubt_split
from .positions import (
    bounding_box_area_px2 as bounding_box_area_px2,
    checked_positions as checked_positions,
    group_overlap as group_overlap,
    image_overlap as image_overlap,
    nearest_pixels as nearest_pixels,
    object_frame as object_frame,
    patch_corners_px as patch_corners_px,
    span_px as span_px,
    split_boundary_px as split_boundary_px,
    split_indices as split_indices,
)
from .probe_size import (
    in_held_unit as in_held_unit,
    is_far_off as is_far_off,
    probe_diameters as probe_diameters,
    probe_power as probe_power,
)
from .respacing import (
    MIN_EXPOSURES as MIN_EXPOSURES,
    respace as respace,
    respaced_view as respaced_view,
)
from .selection import (
    Selection as Selection,
    SelectionFields as SelectionFields,
    SelectionMetadata as SelectionMetadata,
    expected_exposures as expected_exposures,
    rule_and_advice as rule_and_advice,
    select as select,
)
from .spacing import (
    keep_isolated as keep_isolated,
    keep_spaced as keep_spaced,
    median_step_px as median_step_px,
    nearest_px as nearest_px,
)
