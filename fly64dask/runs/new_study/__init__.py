"""New study files: from a template, and for a measured scan with defaults computed from it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
