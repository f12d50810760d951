from .answer import (
    draw_limits as draw_limits,
)
from .cell_figure import (
    draw_cell as draw_cell,
    draw_probe as draw_probe,
)
from .cells import (
    CellReader as CellReader,
)
from .columns import (
    FlatRow as FlatRow,
    Value as Value,
    flat_row as flat_row,
    in_order as in_order,
    mapped_numbers as mapped_numbers,
)
from .content import (
    ReportContent as ReportContent,
)
from .figures import (
    write_figures as write_figures,
)
from .notebook import (
    matrix_html as matrix_html,
)
from .report import (
    write_report as write_report,
)
from .several import (
    write_runs_report as write_runs_report,
)
from .table import (
    DIMENSIONS as DIMENSIONS,
    FURTHER_DIMENSIONS as FURTHER_DIMENSIONS,
    INDEX as INDEX,
    RUN as RUN,
    cell_columns as cell_columns,
    check_table_name as check_table_name,
    table_attributes as table_attributes,
    write_table as write_table,
)
