"""pty-chi's LSQML engine: tasks built from exposures, stepped in turns, on faster steps where they are proven equal."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
