"""Several runs as one page: their limits, their numbers dose by dose, and in what their studies differ."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
