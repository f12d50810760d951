"""Parsing: a checked record from the text of a TOML file, or each fault of it in the words of its keys.

`parse_study` reads a study, and `parse_toml` any record.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
