from .engine import (
    reconstruct as reconstruct,
    take_device as take_device,
)
from .interleaved import (
    as_array as as_array,
)
from .running import (
    begin as begin,
)
