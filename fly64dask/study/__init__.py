"""What a study asks for: its file, the models that check it, and the dose x view x split matrix that follows from it.

A study is one TOML file. `parse_study` turns its text into a `Study` or names every fault in it, and `cells` lists the
matrix in the order that every table of the project uses. Only `Study.from_toml` touches a disk.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
