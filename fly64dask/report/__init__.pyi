from .columns import (
    flat_row as flat_row,
    in_order as in_order,
    mapped_numbers as mapped_numbers,
)
from .content import (
    ReportContent as ReportContent,
)
from .report import (
    write_report as write_report,
)
