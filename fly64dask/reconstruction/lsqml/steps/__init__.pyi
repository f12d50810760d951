from .acceleration import (
    accelerated as accelerated,
    replaced as replaced,
)
