"""Reads scan and object files of other programs into one record with explicit axes, units and zero frequency."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
