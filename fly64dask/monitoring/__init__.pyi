from .dashboard import (
    monitored as monitored,
)
from .events import (
    CellEvent as CellEvent,
    CellOutcome as CellOutcome,
    CellProgress as CellProgress,
    CellStarted as CellStarted,
    Hear as Hear,
    Notify as Notify,
    RoomAwaited as RoomAwaited,
    Say as Say,
)
from .live import (
    LiveCell as LiveCell,
    LiveFile as LiveFile,
    forget_live as forget_live,
    live_file as live_file,
    read_live as read_live,
)
from .loss_curve import (
    sparkline as sparkline,
)
from .occupancy import (
    Timekeeper as Timekeeper,
)
from .overview import (
    OverviewReader as OverviewReader,
    RunOverview as RunOverview,
)
from .printing import (
    PrintedProgress as PrintedProgress,
    ignore_epoch as ignore_epoch,
    ignore_event as ignore_event,
    ignore_line as ignore_line,
)
from .status import (
    CellWithRow as CellWithRow,
    RunReader as RunReader,
    RunStatus as RunStatus,
    read_each as read_each,
)
