from .complaints import (
    Complaint as Complaint,
    raise_complaints as raise_complaints,
)
from .counts import (
    complaints_of as complaints_of,
)
from .exposures import (
    find_bright as find_bright,
    find_dark as find_dark,
)
from .marks import (
    Extremes as Extremes,
    doubt_wrapping as doubt_wrapping,
    find_marks as find_marks,
    without_marks as without_marks,
)
from .positions import (
    complain_of_positions as complain_of_positions,
)
from .stored import (
    damages_of_store as damages_of_store,
)
from .zero_frequency import (
    complain_of_probe as complain_of_probe,
    doubt_zero_frequency as doubt_zero_frequency,
)
