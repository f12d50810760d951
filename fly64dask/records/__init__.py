"""What a cell leaves behind: its record, the history of its attempts, and the manifest that reduces a whole run."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
