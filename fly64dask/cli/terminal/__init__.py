"""The output for terminals: tables made with rich, progress bars, and a matrix that is redrawn.

Everything here turns records into tables and lines of text; the commands decide what is shown and when.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
