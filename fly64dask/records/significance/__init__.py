"""Whether cells, and limits, of different views, recipes and methods differ by more than the spread of repeats."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
