from .answer import (
    Answer as Answer,
    AnswerNumbers as AnswerNumbers,
    TargetAnswer as TargetAnswer,
    answer_of as answer_of,
)
from .answers_of_runs import (
    AskedRuns as AskedRuns,
    answer_of_runs as answer_of_runs,
    asked_runs as asked_runs,
    joined_answer as joined_answer,
)
from .crossing import (
    CLOSE_DOSES as CLOSE_DOSES,
    LEVEL as LEVEL,
    Outcome as Outcome,
    limit_along as limit_along,
)
from .curves import (
    CurvePoint as CurvePoint,
    LimitCurve as LimitCurve,
    LinePoint as LinePoint,
    Slope as Slope,
    limit_curve as limit_curve,
)
from .limit import (
    DoseLimit as DoseLimit,
    dose_limit as dose_limit,
)
from .overlap import (
    apart as apart,
)
from .points import (
    DosePoint as DosePoint,
    Light as Light,
    Series as Series,
    series_of as series_of,
)
from .resamples import (
    reached_level as reached_level,
)
from .sentences import (
    OUTCOME_SIGNS as OUTCOME_SIGNS,
    OUTCOME_WORDS as OUTCOME_WORDS,
    interval_words as interval_words,
    light_words as light_words,
    number_words as number_words,
    percent as percent,
    value_words as value_words,
)
