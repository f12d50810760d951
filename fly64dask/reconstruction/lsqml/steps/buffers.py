"""Buffers of a minibatch on a CPU, in pieces: a piece's waves are still in the cache when the next pass reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from fly64dask.reconstruction.lsqml.steps.step_arithmetic import as_floats

if TYPE_CHECKING:
    from torch import Tensor

# As many exposures as have waves of half a MiB: four arrays of them fit into the second-level cache of a server's core.
PIECE_BYTES, LEAST_PIECE = 2**19, 4


class Waves:
    """A buffer of complex64 waves, as torch sees it and as the kernels do: (..., W) and (..., 2 W) float32."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor, self.floats = tensor, as_floats(tensor)


class Piece:
    """Some of a minibatch's exposures, `part`, and their waves: (k, H, W) and, of all modes, (k, n_modes, H, W).

    `probes`, `far` and `power` (k, H, W) are theirs of the minibatch: `far` holds the far waves, corrected, and then
    the change of the exit waves. The others are for all pieces in turns: `shifted` holds the probes' spectra and then
    the probes' directions, `near` the exit waves and then their change without its step, and `moved`, in the same
    memory, the transforms of the directions.
    """

    def __init__(self, part: slice, scratch: Tensor, probes: Tensor, far: Tensor, power: Tensor) -> None:
        self.part = part
        self.probes, self.far, self.power = Waves(probes[part]), Waves(far[part]), power[part].numpy()
        size, n_modes = self.far.tensor.shape[:2]
        self.shifted = Waves(scratch[:size, 0])
        self.near = Waves(scratch[size : size * (1 + n_modes), 0].view(self.far.tensor.shape))
        self.moved = Waves(scratch[size : 2 * size, 0])


class Minibatch:
    """The buffers of n exposures: `probes` (n, H, W), `far` (n, n_modes, H, W), `power` (n, H, W); and its pieces."""

    def __init__(self, n: int, n_modes: int, shape_px: tuple[int, ...]) -> None:
        probes = torch.empty((n, *shape_px), dtype=torch.complex64, device="cpu")
        far = torch.empty((n, n_modes, *shape_px), dtype=torch.complex64, device="cpu")
        self.power = torch.empty((n, *shape_px), device="cpu")
        self.probes, self.far = Waves(probes), Waves(far)
        size = min(n, max(LEAST_PIECE, PIECE_BYTES // (far[0].numel() * far.element_size())))
        scratch = torch.empty((size * (1 + n_modes), 1, *shape_px), dtype=torch.complex64, device="cpu")
        parts = [slice(first, min(first + size, n)) for first in range(0, n, size)]
        self.pieces = [Piece(part, scratch, probes, far, self.power) for part in parts]
