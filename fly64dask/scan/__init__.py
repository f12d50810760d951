"""The geometry of a scan: positions, splits, overlap, the selection of views, and what the positions can determine.

All functions are pure: they take arrays of positions in pixels, order (y, x), and return arrays or records.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
