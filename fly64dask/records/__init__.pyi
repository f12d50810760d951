from .fields import (
    ExposureFields as ExposureFields,
)
from .manifest import (
    Manifest as Manifest,
    ManifestRow as ManifestRow,
    SkipSummary as SkipSummary,
    caveats_of as caveats_of,
    count_states as count_states,
    unfollowed as unfollowed,
)
from .quantities import (
    described_columns as described_columns,
    quantity_of as quantity_of,
)
from .record import (
    LASTING_KINDS as LASTING_KINDS,
    CellRecord as CellRecord,
    InputFacts as InputFacts,
    ReconstructionFacts as ReconstructionFacts,
    committed_attempt as committed_attempt,
    next_attempt as next_attempt,
    read_record as read_record,
    unlisted_cells as unlisted_cells,
    write_record as write_record,
)
from .repeats import (
    RepeatSummary as RepeatSummary,
    Spread as Spread,
    repeat_groups as repeat_groups,
    spread_of as spread_of,
    summarise_repeats as summarise_repeats,
)
from .tables import (
    RowFiles as RowFiles,
    each_row as each_row,
    read_dashboard as read_dashboard,
    read_kept_group as read_kept_group,
    read_last_row as read_last_row,
    read_row as read_row,
    read_rows as read_rows,
    read_run_study as read_run_study,
    read_study as read_study,
    write_dashboard as write_dashboard,
    write_manifest as write_manifest,
    write_run_study as write_run_study,
)
