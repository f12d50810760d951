"""The page of several runs: their limits, their numbers dose by dose, and the differences of their studies."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
