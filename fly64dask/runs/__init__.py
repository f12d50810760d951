"""Operations on a whole run (run, rerun, verify, repair, compare), and the `Run` and `CellView` of the Python API."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
