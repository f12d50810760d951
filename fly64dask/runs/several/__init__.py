"""Runs beside each other: those of a folder, what of them can be made again, several as one run or one table."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
