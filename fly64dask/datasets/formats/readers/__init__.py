"""One module for each family of formats: what its files say, as parts of a scan.

Each family has a function that recognises its files (`recognise_...`) and one that reads them (`read_...`);
`formats.detect` asks them one after the other.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
