"""Where the exposures of a minibatch lie on the object: first pixel of each patch, and ramps that move the probe."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from ptychi import image_proc

from fly64dask.reconstruction.lsqml.steps.step_arithmetic import ramps

if TYPE_CHECKING:
    from ptychi.data_structures.object import PlanarObject
    from ptychi.data_structures.probe_positions import ProbePositions
    from torch import Tensor


# Of the layers that patches are added up in: as much as a GPU keeps in its cache, or nearly.
LAYERS_BYTES = 2**25


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Places of some exposures: `rows` and `columns` (n,) int64 of the first pixel of each patch of `shape_px` (H, W),
    and ramps (n, H, 1) and (n, 1, W) complex64, whose product moves a probe by what the pixels leave.
    """

    rows: Tensor
    columns: Tensor
    ramp_y: Tensor
    ramp_x: Tensor
    shape_px: tuple[int, int]

    def of(self, indices: Tensor) -> Places:
        """Take the places of some of the exposures."""
        return Places(
            rows=self.rows[indices],
            columns=self.columns[indices],
            ramp_y=self.ramp_y[indices],
            ramp_x=self.ramp_x[indices],
            shape_px=self.shape_px,
        )

    def extract(self, image: Tensor) -> Tensor:
        """Patches (n, H, W) of an image; pty-chi's own `batch_slice` waits for the GPU each time."""
        height, width = self.shape_px
        return image.unfold(0, height, 1).unfold(1, width, 1)[self.rows, self.columns]

    def add_onto(self, image: Tensor, patches: Tensor) -> Tensor:
        """Add patches (n, H, W) to an image, in its own memory and always in the same order.

        pty-chi's own function waits for the GPU, and loads a compiler in each process or adds in any order there.
        """
        if image.device.type == "cpu":
            added: Tensor = image_proc.batch_put(image, patches, self.rows, self.columns, op="add", check_bounds=False)
            return added
        return add_in_layers(image, patches, self.rows, self.columns)

    def fit(self, image_shape_px: tuple[int, ...]) -> bool:
        """Whether every patch lies on an image: pty-chi pads it otherwise, here nothing does."""
        height, width = (size - part for size, part in zip(image_shape_px, self.shape_px, strict=True))
        rows, columns = self.rows.tolist(), self.columns.tolist()
        inside: bool = min(rows) >= 0 and min(columns) >= 0 and max(rows) <= height and max(columns) <= width
        return inside


def add_in_layers(image: Tensor, patches: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Add patches (n, H, W) to an image (Y, X) whose pixels `rows` and `columns` (n,) are their first ones; the image.

    Each patch is written to a layer of its own, and the layers are summed: no two threads of a GPU then add to one
    pixel, in whatever order, and nothing has to be sorted, as `index_put_` does.
    """
    height, width = (torch.arange(size, device=image.device) for size in patches.shape[1:])
    lines = (rows[:, None] + height) * image.shape[1] + columns[:, None]
    pixels = (lines[:, :, None] + width).flatten(1)
    n_parts = math.ceil(len(patches) / max(LAYERS_BYTES // image.nbytes, 1))
    for some_pixels, some_patches in zip(pixels.chunk(n_parts), patches.flatten(1).chunk(n_parts), strict=True):
        layers = torch.zeros((len(some_pixels), image.numel()), dtype=image.dtype, device=image.device)
        layers.scatter_(1, some_pixels, some_patches)
        image.view(-1).add_(layers.sum(0))
    return image


def corners_px(positions_px: Tensor, object_: PlanarObject, shape_px: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Row and column of each patch's first pixel, (n,) int64, rounded as pty-chi does."""
    half = torch.tensor(shape_px, device=positions_px.device).sub(1.0).div(2.0)
    rows, columns = (positions_px.round() + object_.pos_origin_coords - half).round().long().T
    return rows, columns


class ScanPlaces:
    """The places of all exposures of a task: worked out once, or for each minibatch if the task refines positions."""

    def __init__(self, positions: ProbePositions, object_: PlanarObject, shape_px: tuple[int, int]) -> None:
        self.moving = positions.optimizable
        self.shape_px = shape_px
        self._positions, self._object = positions, object_
        self.all = self._places(positions.tensor.detach())

    def of(self, indices: Tensor) -> Places:
        """Give the places where the exposures are now."""
        if self.moving:
            return self._places(self._positions.tensor.detach()[indices])
        return self.all.of(indices)

    def _places(self, positions_px: Tensor) -> Places:
        rows, columns = corners_px(positions_px, self._object, self.shape_px)
        ramp_y, ramp_x = ramps(positions_px - positions_px.round(), self.shape_px)
        return Places(rows=rows, columns=columns, ramp_y=ramp_y, ramp_x=ramp_x, shape_px=self.shape_px)
