"""Shows a run in the process of its scheduler: on a page beside Dask's own, and as Prometheus metrics."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
