"""What every other package stands on: named failures, records, the machine and where software came from."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
