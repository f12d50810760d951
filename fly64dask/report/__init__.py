"""A run as a page, as figures for papers and as flat tables of labelled quantities."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
