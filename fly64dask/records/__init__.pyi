from .columns import row_columns as row_columns
from .derived.context import (
    DERIVED_FIELDS as DERIVED_FIELDS,
    RowContext as RowContext,
)
from .derived.currency import (
    OTHER_DATA as OTHER_DATA,
    StudyNow as StudyNow,
)
from .derived.floors import (
    STILL_FALLING as STILL_FALLING,
    RelativeError as RelativeError,
)
from .derived.reference import (
    ReferenceNow as ReferenceNow,
    ReferenceRecord as ReferenceRecord,
)
from .fields import (
    ExposureFields as ExposureFields,
    state_of as state_of,
)
from .keys import (
    NOT_IN_KEY as NOT_IN_KEY,
    cell_key as cell_key,
    failure_key as failure_key,
)
from .limits.answer import (
    Answer as Answer,
    AnswerNumbers as AnswerNumbers,
    TargetAnswer as TargetAnswer,
    answer_of as answer_of,
)
from .limits.answers_of_runs import (
    AskedRuns as AskedRuns,
    answer_of_runs as answer_of_runs,
    asked_runs as asked_runs,
    joined_answer as joined_answer,
)
from .limits.crossing import (
    Outcome as Outcome,
)
from .limits.curves import (
    CurvePoint as CurvePoint,
    LimitCurve as LimitCurve,
    LinePoint as LinePoint,
    Slope as Slope,
    limit_curve as limit_curve,
)
from .limits.limit import (
    DoseLimit as DoseLimit,
    dose_limit as dose_limit,
)
from .limits.overlap import (
    apart as apart,
)
from .limits.points import (
    Light as Light,
    Series as Series,
    series_of as series_of,
)
from .limits.sentences import (
    OUTCOME_SIGNS as OUTCOME_SIGNS,
    OUTCOME_WORDS as OUTCOME_WORDS,
    interval_words as interval_words,
    light_words as light_words,
    number_words as number_words,
    overlap_words as overlap_words,
    percent as percent,
    value_words as value_words,
)
from .manifest import (
    Job as Job,
    Manifest as Manifest,
    ManifestHead as ManifestHead,
    ManifestRow as ManifestRow,
    SkipSummary as SkipSummary,
    count_states as count_states,
)
from .marks import (
    ALL_MARKS as ALL_MARKS,
    EMPTY as EMPTY,
    OUTDATED as OUTDATED,
    STATE_SIGNS as STATE_SIGNS,
    UNKNOWN_RESOLUTION as UNKNOWN_RESOLUTION,
    Mark as Mark,
    caveats_of as caveats_of,
    floor_note as floor_note,
    legend_of as legend_of,
    marks_of as marks_of,
    marks_of_signs as marks_of_signs,
    notes_of as notes_of,
    resolution_words as resolution_words,
    setup_note as setup_note,
    signs_of as signs_of,
    unfollowed as unfollowed,
)
from .quantities import (
    described_columns as described_columns,
    number_at as number_at,
    quantity_of as quantity_of,
)
from .record import (
    LASTING_KINDS as LASTING_KINDS,
    CellRecord as CellRecord,
    InputFacts as InputFacts,
    ReconstructionFacts as ReconstructionFacts,
    committed_attempt as committed_attempt,
    next_attempt as next_attempt,
    past_attempts as past_attempts,
    read_record as read_record,
    unlisted_cells as unlisted_cells,
    write_record as write_record,
)
from .repeats import (
    RepeatSummary as RepeatSummary,
    Spread as Spread,
    repeat_groups as repeat_groups,
    spread_of as spread_of,
)
from .rounds.next_cells import (
    next_additions as next_additions,
    outlooks as outlooks,
    round_line as round_line,
    round_lines as round_lines,
)
from .rounds.outlook import (
    Outlook as Outlook,
)
from .run_files import (
    FileVersion as FileVersion,
    newer_run_study as newer_run_study,
    note_cleaned as note_cleaned,
    read_cleaned as read_cleaned,
    read_dashboard as read_dashboard,
    read_run_study as read_run_study,
    read_study as read_study,
    read_worker_jobs as read_worker_jobs,
    study_digest as study_digest,
    version_of as version_of,
    write_dashboard as write_dashboard,
    write_run_study as write_run_study,
    write_worker_jobs as write_worker_jobs,
)
from .significance.cells import (
    COORDINATES as COORDINATES,
    ComparedNumbers as ComparedNumbers,
    RunDifferences as RunDifferences,
    method_differences as method_differences,
    place_words as place_words,
    run_differences as run_differences,
)
from .significance.difference import (
    Axis as Axis,
    Difference as Difference,
    Verdict as Verdict,
    differences as differences,
)
from .significance.words import (
    factor_words as factor_words,
    p_words as p_words,
    verdict_words as verdict_words,
)
from .sparser_views import sparser_notes as sparser_notes
from .tables import (
    RowFiles as RowFiles,
    each_completed_row as each_completed_row,
    each_row as each_row,
    open_manifest as open_manifest,
    read_completed_rows as read_completed_rows,
    read_kept_group as read_kept_group,
    read_last_row as read_last_row,
    read_row as read_row,
    read_rows as read_rows,
    renew_manifest as renew_manifest,
    write_manifest as write_manifest,
)
