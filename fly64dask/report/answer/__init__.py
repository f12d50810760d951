"""The answer of a run in a report: the limits that its page shows, and figures of limits and of spectral SNR."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
