from .cells import (
    COORDINATES as COORDINATES,
    ComparedNumbers as ComparedNumbers,
    RunDifferences as RunDifferences,
    method_differences as method_differences,
    place_words as place_words,
    run_differences as run_differences,
)
from .difference import (
    Axis as Axis,
    ComparedPair as ComparedPair,
    Difference as Difference,
    Verdict as Verdict,
    differences as differences,
    pairs_of as pairs_of,
)
from .words import (
    difference_sentences as difference_sentences,
    factor_words as factor_words,
    p_words as p_words,
    verdict_words as verdict_words,
)
