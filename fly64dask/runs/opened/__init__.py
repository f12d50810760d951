"""A run directory opened from Python: its cells, its numbers and arrays, its answers, and what can be done with it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
