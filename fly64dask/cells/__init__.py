"""One cell from its inputs to its committed record: its key, its attempt in the engine's process, its commit."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
