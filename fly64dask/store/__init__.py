"""One run on disk: where its files lie, checked Zarr groups, atomic writes, the lock and the journal."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
