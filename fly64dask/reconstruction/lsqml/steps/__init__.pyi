from .acceleration import (
    Acceleration as Acceleration,
    accelerated as accelerated,
)
from .launches import (
    Launches as Launches,
)
from .replacements import (
    replaced as replaced,
)
