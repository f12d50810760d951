"""Files of named arrays, whatever program wrote them: HDF5, NPZ, MATLAB and raw frames, opened without running code.

`open_arrays` opens such a file by its content as `NamedArrays`, whose values are read when a reader asks for them.
Nothing here knows what an array of a scan means: that is what `formats.readers` are for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
