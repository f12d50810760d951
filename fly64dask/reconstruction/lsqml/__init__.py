"""pty-chi's algorithms, LSQML first: tasks are built from exposures and run in turns, on faster steps where equal."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
