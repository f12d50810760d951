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


# Patches are added up as whole numbers of their largest value, or of the smallest that is one, over so much.
UNITS, SMALLEST = 2.0**40, 1e-25


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

    def added_up(self, patches: Tensor, image_shape_px: tuple[int, ...]) -> Tensor:
        """Add up patches (n, H, W) complex64 on an image (Y, X), to the same bits each time.

        On a GPU pty-chi's own function waits, and loads a compiler in each process or adds in any order.
        """
        if patches.device.type != "cpu":
            return added_as_integers(patches, self.rows, self.columns, image_shape_px)
        image = torch.zeros(image_shape_px, dtype=patches.dtype, device="cpu")
        added: Tensor = image_proc.batch_put(image, patches, self.rows, self.columns, op="add", check_bounds=False)
        return added

    def fit(self, image_shape_px: tuple[int, ...]) -> bool:
        """Whether every patch lies on an image: pty-chi pads it otherwise, here nothing does."""
        height, width = (size - part for size, part in zip(image_shape_px, self.shape_px, strict=True))
        rows, columns = self.rows.tolist(), self.columns.tolist()
        inside: bool = min(rows) >= 0 and min(columns) >= 0 and max(rows) <= height and max(columns) <= width
        return inside


def added_as_integers(patches: Tensor, rows: Tensor, columns: Tensor, image_shape_px: tuple[int, ...]) -> Tensor:
    """Add up patches (n, H, W) complex64, whose first pixels are `rows` and `columns` (n,), on an image (Y, X).

    The threads of a GPU add to a pixel in any order, and the last digits of a sum of floats depend on it. Those of a
    sum of integers do not, so values are added as multiples of 2^-40 of the largest of them, finer than float32. If a
    value is not finite, neither is the image.
    """
    height, width = (torch.arange(size, device=patches.device) for size in patches.shape[1:])
    lines = (rows[:, None] + height) * image_shape_px[1] + columns[:, None]
    pixels = (lines[:, :, None] + width).reshape(-1, 1).expand(-1, 2)
    values = torch.view_as_real(patches).reshape(-1, 2)
    largest = torch.linalg.vector_norm(values, torch.inf).clamp_min_(SMALLEST)
    whole = values.mul(UNITS / largest).to(torch.int64)
    image = torch.zeros((math.prod(image_shape_px), 2), dtype=torch.int64, device=patches.device)
    image.scatter_add_(0, pixels, whole)
    return torch.view_as_complex(image.mul(largest / UNITS)).view(image_shape_px)


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
