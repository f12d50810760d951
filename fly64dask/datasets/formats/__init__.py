"""Other programs' scan and object files, read into one record with its axes, units and zero frequency made explicit."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
