"""From a source to exposures: other programs' files, the simulation, and the groups of a run that hold them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
