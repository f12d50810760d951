"""The answer of a run: the lowest dose and overlap at which its cells reach a target, each with an interval."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
