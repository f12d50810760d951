"""A scan as its file describes it becomes a store: streamed, counted, cut, put into px and checked on the way."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
