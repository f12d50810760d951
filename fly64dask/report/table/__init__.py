"""The table of one run or several: gathered row by row in little memory, and written as CSV or Parquet."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
