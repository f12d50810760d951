"""Where the exposures of a study come from: a measurement, or a simulation with its scan and its setup.

A `Source` says which, its scan where exposures are taken, and `Setup` what is not ideal about a simulated experiment.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
