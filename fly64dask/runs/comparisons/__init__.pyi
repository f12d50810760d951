from .compare import compare_run as compare_run
from .comparison import (
    Convention as Convention,
    MethodScore as MethodScore,
    RunComparison as RunComparison,
)
from .references import compare_with_references as compare_with_references
