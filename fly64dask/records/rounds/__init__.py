"""What the next round of an adaptive study adds: the doses and repeats that would narrow its limits most."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
