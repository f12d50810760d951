"""The cluster file of a site: its tables, the values that they may have, and how it is read."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
