from .children import (
    share_server as share_server,
)
from .fork_server import (
    ForkServer as ForkServer,
)
from .protocol import (
    Returned as Returned,
)
from .supervise import (
    Cancelled as Cancelled,
    Failed as Failed,
    Work as Work,
    call_in_child as call_in_child,
)
