from .allocation import (
    fair_number as fair_number,
    shared_repeats as shared_repeats,
)
from .next_cells import (
    next_additions as next_additions,
    outlooks as outlooks,
    round_line as round_line,
    round_lines as round_lines,
)
from .outlook import (
    Outlook as Outlook,
)
