"""A run under way: events and states of its cells, live files on disk, the dashboard page and Prometheus metrics.

Monitoring decides nothing. Each part may be missing, late or wrong without any cell being lost or done twice.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
