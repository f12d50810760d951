from .content import (
    AnswerContent as AnswerContent,
    SnrCurve as SnrCurve,
    answer_content as answer_content,
    limit_rows as limit_rows,
)
from .curves import (
    draw_limits as draw_limits,
)
from .figures import (
    answer_figures as answer_figures,
)
from .overlap_map import (
    draw_overlap_map as draw_overlap_map,
)
from .repeats import (
    RepeatSnr as RepeatSnr,
)
from .snr_figure import (
    draw_snr as draw_snr,
)
from .totals import (
    RunTotals as RunTotals,
    read_totals as read_totals,
)
