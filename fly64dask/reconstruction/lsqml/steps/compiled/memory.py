"""Memory for arrays that compiled functions work on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

# A cache line. Where waves begin elsewhere, as arrays of NumPy do, an epoch of 322 exposures takes an eighth longer
# with 128 x 128 pixels, a twentieth with 64 x 64: MKL's transforms alone a quarter and a tenth (AVX-512).
LINE_BYTES = 64


def floats(*shape: int) -> Floats:
    """Make a float32 array, its values not set, that begins with a cache line."""
    n_bytes = 4 * math.prod(shape)
    memory = np.empty(n_bytes + LINE_BYTES, np.uint8)
    first = -memory.ctypes.data % LINE_BYTES
    return memory[first : first + n_bytes].view(np.float32).reshape(shape)
