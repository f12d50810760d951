"""How close a reconstruction is to the truth, to another reconstruction, or to its own independent half.

`align` puts a reconstruction on the grid and phase of a reference, `frc` correlates two images ring by ring in Fourier
space, and `compare_with_truth` measures an aligned object beside an empty one. None of them needs a run.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
