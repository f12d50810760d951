from .engine import (
    reconstruct as reconstruct,
    take_device as take_device,
)
from .interleaved import (
    as_array as as_array,
)
from .process_settings import (
    settings_put_back as settings_put_back,
)
from .running import (
    begin as begin,
)
