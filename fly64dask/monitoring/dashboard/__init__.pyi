from .monitor import (
    monitored as monitored,
)
