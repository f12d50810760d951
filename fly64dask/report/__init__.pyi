from .content import (
    ReportContent as ReportContent,
)
from .report import (
    write_report as write_report,
)
