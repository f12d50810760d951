"""Many cells: the plan and its memory, workers per device, Dask graphs, their submission and the supply of workers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
