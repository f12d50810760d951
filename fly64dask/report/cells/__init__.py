"""One cell of a report: the arrays that are read, and what a page says about the cell and its place in the matrix."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
