"""Checks of a scan: each yields complaints with numbers and a remedy, and all complaints are raised at once.

`raise_complaints` raises what the checks have found. `damages_of_store` reads an existing store again.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
