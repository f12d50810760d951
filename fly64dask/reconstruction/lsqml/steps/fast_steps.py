"""The steps of an LSQML minibatch with pty-chi's signatures and its numbers, in a fraction of its time.

Equations are those of Odstrcil, Menzel, Guizar-Sicairos, Optics Express 26, 3108 (2018). What is
saved on one thread, largest first: the ramp of a sub-pixel shift is a product of two lines, worked
out once for positions that do not move; with one probe mode the object's direction is not worked
out twice; the root of a pixel without photons, ten times as slow as another's, is not taken; the
exit wave's change is one transform, not a difference of two waves, and is kept conjugate, as each
product with it wants it; and what is not read again is overwritten. A GPU spends its time waiting for the
next call, so calls name their device, and nothing is read back or copied there twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from fly64dask.reconstruction.lsqml.steps.expected import ExpectedPatterns
from fly64dask.reconstruction.lsqml.steps.illumination import ObjectIllumination
from fly64dask.reconstruction.lsqml.steps.step_arithmetic import (
    StepSums,
    as_rows,
    descend,
    naming_devices,
    set_gradient,
    trimmed_mean,
)

if TYPE_CHECKING:
    from ptychi.reconstructors.lsqml import LSQMLReconstructor
    from torch import Tensor

    from fly64dask.reconstruction.lsqml.steps.places import ScanPlaces


@dataclass(frozen=True, slots=True, kw_only=True)
class Directions:
    """Directions of a minibatch, complex64: those that are taken over all exposures, and of each what steps need.

    `of_object` (Y, X) by the first mode, `of_probe` (n_modes, H, W); conjugate, (n, H, W) each of the first mode:
    `chi_probe` and `chi_patch`, the change of the exit wave times probe and patch, and `moved`, the transform of the
    latter moved back to the pixel. `change` (n, 1, H, W) is the change of the first mode's exit wave, if it is needed.
    """

    of_object: Tensor
    of_probe: Tensor
    chi_probe: Tensor
    chi_patch: Tensor
    moved: Tensor
    change: Tensor | None


class FastSteps:
    """The steps of a built task with one slice.

    They read and write the object, probe and step sizes of its reconstructor. Their methods stand in for pty-chi's and
    have its signatures: `indices` (n,) int64 are exposures, `y_pred` and `y_true` (n, H, W) float32 their expected and
    measured intensities. `scan` is that of another task with the same positions, if there is one.
    """

    def __init__(self, reconstructor: LSQMLReconstructor, scan: ScanPlaces | None = None) -> None:
        group = reconstructor.parameter_group
        self.reconstructor = reconstructor
        self.object, self.probe = group.object, group.probe
        self.positions, self.opr_weights = group.probe_positions, group.opr_mode_weights
        expected = self.expected = ExpectedPatterns(reconstructor, scan)
        self.scan, self.read, self.loss = expected.scan, expected.read, expected.loss
        self.forward, self.update_fourier_error = expected.forward, expected.update_fourier_error
        self.illumination = ObjectIllumination(reconstructor)
        self.calculate_illumination_map = self.illumination.calculate_illumination_map
        # Eq. 22, or 23 if the two steps are solved apart.
        self.jointly = reconstructor.options.single_slice_solve_obj_prb_step_size_jointly

    def compute_reconstruction_parameter_updates(self, y_pred: Tensor, y_true: Tensor, indices: Tensor) -> None:
        """Set directions of object and probe as gradients, and each exposure's steps, in place of the method."""
        self.begin_minibatch()
        self.set_updates(y_pred, y_true, indices)

    def begin_minibatch(self) -> None:
        """Let the steps of all exposures be 1 before the first minibatch of an epoch, as pty-chi does."""
        self.reconstructor._initialize_object_step_size_buffer()
        self.reconstructor._initialize_probe_step_size_buffer()

    def set_updates(self, y_pred: Tensor, y_true: Tensor, indices: Tensor) -> None:
        """Set directions and steps of a minibatch that was begun."""
        reconstructor = self.reconstructor
        # It may draw random numbers, and where these are drawn is for a mode to say.
        reconstructor.alpha_psi_far = reconstructor.get_psi_far_step_size(y_pred, y_true, indices)
        on_device = self.expected.on_device(indices)
        directions = self._set_directions(y_pred, y_true)
        if directions.change is not None:
            self._set_directions_of_the_rest(directions, on_device)
        self._set_steps(directions, on_device)

    @naming_devices
    def _set_directions(self, y_pred: Tensor, y_true: Tensor) -> Directions:
        """Set the directions of object and probe as gradients."""
        reconstructor, waves = self.reconstructor, self.expected.waves
        correction = self.expected.correction(y_pred, y_true, reconstructor.alpha_psi_far.reshape(-1, 1, 1))
        # Eq. 19 without a difference: the change of the far wave, transformed. Conjugate from here on.
        chi = torch.fft.ifft2(waves["far"].mul_(correction[:, None])).conj_physical_()

        of_object = chi * waves["probes"]  # Eq. 24b, mode by mode
        first, before = of_object[:, 0], self.illumination.added_up()
        direction, step_first = self.illumination.over_illumination(self._on_the_object(first), before)
        if self.probe.n_modes > 1:
            direction, _ = self.illumination.over_illumination(self._on_the_object(of_object.sum(1)), before)
        set_gradient(self.object, -direction)
        change = chi[:, :1].conj_physical() if self.expected.scan.moving or self.probe.n_opr_modes > 1 else None
        of_probe = chi.mul_(waves["patches"][:, None])  # Eq. 24a
        moved = self._moved_back(of_probe[:, 0])
        step_probe = self._probe_direction(of_probe, moved)
        set_gradient(self.probe, -step_probe)
        if reconstructor.options.momentum_acceleration_gain > 0:
            reconstructor._initialize_momentum_buffers()
            reconstructor._update_momentum_buffers(step_probe)
        return Directions(
            of_object=step_first,
            of_probe=step_probe,
            chi_probe=first,
            chi_patch=of_probe[:, 0],
            moved=moved,
            change=change,
        )

    def _set_directions_of_the_rest(self, directions: Directions, indices: Tensor) -> None:
        """Set the directions of OPR modes, their weights and positions, by pty-chi's own functions."""
        epoch, patches = self.reconstructor.current_epoch, self.expected.waves["patches"][:, None]
        if self.opr_weights.optimization_enabled(epoch):
            self.opr_weights.initialize_grad()
            each = torch.fft.fft2(directions.moved, norm="forward").conj_physical_()[:, None]
            self.opr_weights.update_variable_probe(
                self.probe,
                indices,
                directions.change,
                each,
                directions.of_probe,
                patches,
                epoch,
                0,
                apply_updates=False,
            )
        if self.positions.optimization_enabled(epoch):
            # The object's patches have no say in the gradient of a position.
            self.reconstructor.update_probe_positions(
                directions.change, indices, patches, None, self.expected.waves["probes"], apply_updates=False
            )

    @naming_devices
    def _set_steps(self, directions: Directions, indices: Tensor) -> None:
        """Set the steps of object and probe for each exposure."""
        of_patch = self.expected.places.extract(directions.of_object)
        sums = self._step_sums(of_patch, directions.of_probe[0], directions.chi_probe, directions.chi_patch)
        self.set_steps(sums.steps(jointly=self.jointly), indices)
        self.expected.waves = {}

    def set_steps(self, steps: tuple[Tensor, Tensor] | Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Set the steps of object and probe for each exposure, each (n,), scaled and no less than 0; gives them so."""
        buffers = self.reconstructor.reconstructor_buffers
        scales = (
            self.object.options.optimal_step_size_scaler / self.probe.n_modes,
            self.probe.options.optimal_step_size_scaler,
        )
        of_object, of_probe = (of.mul_(scale).clip_(0, None) for of, scale in zip(steps, scales, strict=True))
        buffers.alpha_object_all_pos_all_slices[indices, 0], buffers.alpha_probe_all_pos[indices] = of_object, of_probe
        return of_object, of_probe

    def apply_reconstruction_parameter_updates(self, indices: Tensor) -> None:
        """Take the steps of a minibatch, in place of the reconstructor's method; not the object's if it is compact."""
        self.take_steps(indices)
        epoch = self.reconstructor.current_epoch
        if self.positions.optimization_enabled(epoch):
            self.positions.step_optimizer()
        if self.opr_weights.optimization_enabled(epoch):
            self.opr_weights.step_optimizer()

    @naming_devices
    def take_steps(self, indices: Tensor) -> None:
        """Take the steps of object and probe."""
        epoch, buffers = self.reconstructor.current_epoch, self.reconstructor.reconstructor_buffers
        indices = self.expected.on_device(indices)
        if self.object.optimization_enabled(epoch) and not self.illumination.compact:
            descend(self.object, by=trimmed_mean(buffers.alpha_object_all_pos_all_slices[indices, 0]))
        if self.probe.optimization_enabled(epoch):
            steps = buffers.alpha_probe_all_pos[indices]
            if self.illumination.compact:
                steps = steps / len(self.reconstructor.dataloader)
            descend(self.probe, by=steps.mean())

    def _on_the_object(self, conjugate: Tensor) -> Tensor:
        """Add conjugate patches (n, H, W) on the object's grid: their conjugate, (Y, X)."""
        return self.expected.places.added_up(conjugate, tuple(self.object.lateral_shape)).conj_physical_()

    def _moved_back(self, conjugate: Tensor) -> Tensor:
        """Transform of each exposure's first mode, (n, H, W), moved back to the pixel."""
        moved = torch.fft.ifft2(conjugate, norm="forward")
        return moved.mul_(self.expected.places.ramp_y).mul_(self.expected.places.ramp_x)

    def _probe_direction(self, conjugate: Tensor, moved: Tensor) -> Tensor:
        """Eq. 25a: mean over the exposures, the first mode's moved back; (n_modes, H, W).

        A sum of shifted waves is the transform of a sum, so that one transform brings all back.
        """
        total = torch.fft.fft2(moved.sum(0, keepdim=True), norm="forward")
        if self.probe.n_modes > 1:
            total = torch.cat([total, conjugate[:, 1:].sum(0)])
        return total.conj_physical_().div_(len(conjugate))

    def _step_sums(self, of_patch: Tensor, of_probe: Tensor, chi_probe: Tensor, chi_patch: Tensor) -> StepSums[Tensor]:
        """Compute the sums of which the first mode's steps are made; overwrites the waves."""
        b_object = chi_probe.mul_(of_patch).sum(dim=(-2, -1)).real
        # The real part of sum(a b) is the dot product of a and conj(b) as real numbers.
        b_probe = as_rows(chi_patch) @ as_rows(of_probe.conj_physical()[None])[0]
        by_object, by_probe = (
            of_patch.mul_(self.expected.waves["probes"][:, 0]),
            self.expected.waves["patches"].mul_(of_probe),
        )
        a_object, a_probe = (torch.linalg.vector_norm(as_rows(by), dim=1).square_() for by in (by_object, by_probe))
        mixed = by_object.conj_physical_().mul_(by_probe).sum(dim=(-2, -1))
        return StepSums(a_object=a_object, a_probe=a_probe, mixed=mixed, b_object=b_object, b_probe=b_probe)
