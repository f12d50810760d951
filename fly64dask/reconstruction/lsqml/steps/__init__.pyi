from .acceleration import (
    Choice as Choice,
    accelerated as accelerated,
)
from .replacements import (
    replaced as replaced,
)
