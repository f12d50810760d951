from .content import (
    RunsContent as RunsContent,
)
from .report import (
    write_runs_report as write_runs_report,
)
