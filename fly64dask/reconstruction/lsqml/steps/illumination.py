"""The illumination of the object, and an object's direction over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from ptychi.api.enums import BatchingModes

from fly64dask.reconstruction.lsqml.steps.places import corners_px
from fly64dask.reconstruction.lsqml.steps.step_arithmetic import intensity_of_modes, naming_devices

if TYPE_CHECKING:
    from ptychi.data_structures.probe import Probe
    from ptychi.data_structures.probe_positions import ProbePositions
    from ptychi.reconstructors.lsqml import LSQMLReconstructor
    from torch import Tensor


class ObjectIllumination:
    """The illumination of a built task's object, by which the directions of its patches are divided.

    `compact` minibatches add up the object's direction, which moves it once an epoch.
    """

    def __init__(self, reconstructor: LSQMLReconstructor) -> None:
        self.reconstructor, self.object = reconstructor, reconstructor.parameter_group.object
        self.shape_px = tuple(reconstructor.parameter_group.probe.shape[-2:])
        self.compact = reconstructor.options.batching_mode == BatchingModes.COMPACT
        # The illumination that the damping is of.
        self._damping: tuple[Tensor | None, Tensor | None] = (None, None)

    @naming_devices
    def calculate_illumination_map(
        self, probe: Probe, probe_positions: ProbePositions, use_all_modes: bool = False
    ) -> Tensor:
        """Compute the illumination of the object, in place of its method; (Y, X) float32, >= 0.

        It is the intensity of a probe of one OPR mode, of all its modes or the first alone, convolved with the
        positions.
        """
        shape = tuple(self.object.lateral_shape)
        rows, columns = corners_px(probe_positions.tensor.detach(), self.object, self.shape_px)
        illumination = intensity_of_modes(probe, use_all_modes=use_all_modes)
        visits = torch.zeros(shape, device=illumination.device)
        visits.index_put_((rows, columns), torch.ones((), device=illumination.device), accumulate=True)
        # No patch reaches beyond the object, so the cyclic convolution wraps nothing round.
        spectrum = torch.fft.rfft2(visits) * torch.fft.rfft2(illumination, s=shape)
        found: Tensor = torch.fft.irfft2(spectrum, s=shape).clamp_min_(0)
        return found

    def added_up(self) -> Tensor | None:
        """The object's direction of this epoch's compact minibatches so far, (Y, X); None if there is none yet."""
        if not self.compact or self.reconstructor.current_minibatch == 0:
            return None
        direction: Tensor = torch.view_as_complex(self.object.tensor.data.grad)[0].neg()
        return direction

    def over_illumination(self, image: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """Eq. 25b: the patches' directions on the object's grid (Y, X), and over the illumination it gets; both (Y, X).

        `before` is what `added_up` gives. Minibatches that do not add up have no use for the first, and get the second
        twice. `image` is overwritten.
        """
        if not self.compact:
            return image.mul_(self.damping()), image
        if before is not None:
            image.add_(before)
        return image, image * self.damping()

    def damping(self) -> Tensor:
        """One over the damped illumination on the object, (Y, X): it changes once an epoch at most."""
        illumination, damping = self._damping
        if damping is None or illumination is not self.object.preconditioner:
            illumination = self.object.preconditioner
            floor = illumination.max() * self.reconstructor.options.preconditioning_damping_factor
            made = (illumination.square() + floor.square()).rsqrt_()
            # In the same memory each time: what is recorded for a GPU knows it by its address.
            damping = made if damping is None else damping.copy_(made)
            self._damping = illumination, damping
        return damping
