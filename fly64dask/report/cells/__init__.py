"""One cell of a report: the arrays that are read of it, and what a page says of it and of the places of the matrix."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
