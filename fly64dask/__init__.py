"""Dose x view x split matrices of ptychographic reconstructions: a study goes in, a run directory comes out.

`run_study` runs a `Study`, `open_run` reads what a run gave, `reconstruct` runs the engine on arrays, and `metrics`
compares images without a run. The names below are the public ones; everything else may change.
"""

import logging

import lazy_loader

from fly64dask.base.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# Who uses the package decides where its log goes; without this, Python prints it.
logging.getLogger(__name__).addHandler(logging.NullHandler())
