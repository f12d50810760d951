"""The contract between a cell and an engine, early stopping by half sets, and checkpoints.

An engine is a function named `module:function` that turns `Exposures` and a `Recipe` into a `Reconstruction`; it never
sees the ground truth. The engine of the project is pty-chi, in `reconstruction.lsqml`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
