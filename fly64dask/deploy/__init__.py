"""Where a run is computed: a local cluster, an existing scheduler, a Slurm site, and who may reach it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
