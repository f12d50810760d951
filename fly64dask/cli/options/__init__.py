"""What commands share: groups of options, the options themselves, JSON for scripts, exit codes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
