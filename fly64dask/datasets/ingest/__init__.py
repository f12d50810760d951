"""Makes a store of a scan file: patterns are streamed, cut and counted, positions converted to px, all is checked."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
