"""What follows for a row from other cells, groups and the study: is it of the study as it is now, what is its floor?"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
