"""A Dask cluster of Slurm jobs: the site file, job scripts, the reconciler of worker jobs, and the controller job."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
