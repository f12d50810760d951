"""The passes over a minibatch of waves as loops that Numba compiles, with Fourier transforms in them.

Importing a name compiles what is not yet kept on disk; ImportError, OSError or RuntimeError where nothing can be
compiled. `CompiledPasses` are the passes over a minibatch, on arrays alone.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
