"""What can be against a scan: each check yields complaints with numbers and a remedy, and all are raised at once.

`raise_complaints` raises what the checks have found. `damages_of_store` reads a store again that was made before.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
