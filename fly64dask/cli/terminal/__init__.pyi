from .comparison import (
    comparison_table as comparison_table,
    difference_table as difference_table,
    problem_lines as problem_lines,
)
from .console import (
    make_console as make_console,
    print_lines as print_lines,
)
from .ingesting import (
    IngestDisplay as IngestDisplay,
)
from .light import (
    light_tables as light_tables,
)
from .limits import (
    closing_table as closing_table,
    differing_table as differing_table,
    limits_table as limits_table,
)
from .matrix import (
    print_matrix as print_matrix,
)
from .overview import (
    MAX_MATRIX_CELLS as MAX_MATRIX_CELLS,
    print_overview as print_overview,
)
from .plans import (
    hopeless_lines as hopeless_lines,
    plan_table as plan_table,
    rerun_table as rerun_table,
    simulation_lines as simulation_lines,
    warning_lines as warning_lines,
)
from .progress import (
    RunDisplay as RunDisplay,
)
from .watch import (
    watch_run as watch_run,
)
