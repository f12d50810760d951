"""A run's reconstructions beside others: what they are compared with, who reads them, one way to measure all."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
