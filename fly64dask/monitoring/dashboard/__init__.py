"""What a scheduler shows of the run in its process: a page beside Dask's own, and Prometheus metrics."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
