from .acceleration import (
    accelerated as accelerated,
)
from .replacements import (
    replaced as replaced,
)
