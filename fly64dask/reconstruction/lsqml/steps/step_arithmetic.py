"""Arithmetic of the faster steps on plain tensors, and the views of pty-chi's parameters that it works on."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import torch
from ptychi import maths

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from ptychi.data_structures.base import ReconstructParameter
    from torch import Tensor

# pty-chi 2.2.0, calculate_object_and_probe_update_step_sizes: added to each squared norm, and the
# share of its mean that damps the two equations.
SQUARE_FLOOR = 1.2e-7
DAMPING = 0.1
# pty-chi 2.2.0, apply_reconstruction_parameter_updates: what is trimmed off the steps of a minibatch.
TRIMMED = 0.1

Method = TypeVar("Method", bound=Callable[..., Any])


def naming_devices(method: Method) -> Method:
    """Let a method's calls of torch pass by the default device, for which Python is asked first: 4 us for each.

    The method names the device of each tensor that it makes. No other mode that looks at torch's calls sees its calls
    either.
    """

    @functools.wraps(method)
    def call(*arguments: Any, **keywords: Any) -> Any:
        with torch._C.DisableTorchFunction():
            return method(*arguments, **keywords)

    return call  # type: ignore[return-value]


Numbers = TypeVar("Numbers", "Tensor", "NDArray[Any]")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSums(Generic[Numbers]):
    """Sums over the pixels of each exposure, (n,), of which Eq. 22 and 23 make its steps, for the first mode.

    With u the object's direction times the probe, v the object times the probe's direction, and chi the change of the
    exit wave: `a_object` and `a_probe` are |u|^2 and |v|^2, `mixed` is conj(u) v, complex, `b_object` and `b_probe` are
    the real parts of conj(chi) u and conj(chi) v. All are tensors, or all are NumPy's arrays.
    """

    a_object: Numbers
    a_probe: Numbers
    mixed: Numbers
    b_object: Numbers
    b_probe: Numbers

    def steps(self, *, jointly: bool) -> tuple[Numbers, Numbers]:
        """Solve for the steps of object and probe, (n,): Eq. 22, damped, if jointly, else half of Eq. 23 each.

        Of Eq. 22, two equations in two unknowns, the real parts of the solution.
        """
        if not jointly:
            return self.b_object / self.a_object / 2, self.b_probe / self.a_probe / 2
        a_object, a_probe = self.a_object + SQUARE_FLOOR, self.a_probe + SQUARE_FLOOR
        a_object, a_probe = a_object + DAMPING * a_object.mean(), a_probe + DAMPING * a_probe.mean()
        # Each over its diagonal, so that no product leaves the range of a float.
        m_object, m_probe = self.mixed / a_object, self.mixed / a_probe
        b_object, b_probe = self.b_object / a_object, self.b_probe / a_probe
        determinant = 1 - (m_object.conj() * m_probe).real
        return (
            (b_object - m_object.real * b_probe) / determinant,
            (b_probe - m_probe.real * b_object) / determinant,
        )


def trimmed_mean(numbers: Tensor) -> Tensor | float:
    """Compute the mean of (n,) numbers without the least and the largest of them, as pty-chi does; () on a GPU."""
    if numbers.device.type == "cpu":
        ordered = np.sort(numbers.numpy())
        n_left_out = math.ceil(len(ordered) * TRIMMED / 2 - 0.5)
        # NaN is sorted last, and pty-chi leaves it out.
        if math.isfinite(ordered[0]) and math.isfinite(ordered[-1]):
            kept = ordered[n_left_out : len(ordered) - n_left_out]
            return float(np.add.reduce(kept) / kept.dtype.type(len(kept)))  # as `mean`, in half its time
    trimmed: Tensor = maths.trim_mean(numbers, TRIMMED, dim=0)
    return trimmed


def descend(parameter: ReconstructParameter, by: Tensor | float) -> None:
    """Take a step against a parameter's gradient, the first of which, (1, ...), is multiplied by `by`, ().

    Plain descent needs none of what an optimizer's call brings along.
    """
    optimizer, tensor = parameter.optimizer, parameter.tensor.data
    (group,) = optimizer.param_groups
    is_plain = type(optimizer) is torch.optim.SGD
    is_plain &= not any(group[name] for name in ("momentum", "weight_decay", "maximize"))
    on_cpu = isinstance(by, float) or by.device.type == "cpu"
    if is_plain and len(tensor) == 1 and on_cpu:  # a GPU would be waited for
        tensor.add_(tensor.grad, alpha=-group["lr"] * float(by))
        return
    tensor.grad[0].mul_(by)
    if is_plain:
        tensor.add_(tensor.grad, alpha=-group["lr"])
    else:
        optimizer.step()


def ramps(shifts_px: Tensor, shape_px: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Compute exp(-2 pi i f s) along y, (n, H, 1), and along x, (n, 1, W), complex64: their product shifts an image."""
    y, x = (
        torch.exp(-2j * torch.pi * torch.fft.fftfreq(size, device=shifts_px.device) * shift[:, None])
        for size, shift in zip(shape_px, shifts_px.T, strict=True)
    )
    return y[:, :, None], x[:, None, :]


def as_complex(parameter: ReconstructParameter) -> Tensor:
    """View a parameter's own memory as a complex tensor, where pty-chi makes a copy."""
    return torch.view_as_complex(parameter.tensor.data.detach())


def intensity_of_modes(probe: ReconstructParameter, *, use_all_modes: bool) -> Tensor:
    """Compute the intensity of a probe's first OPR mode, of all its modes or the first alone, (H, W) float32."""
    waves = as_complex(probe)[0] if use_all_modes else as_complex(probe)[0, :1]
    return torch.view_as_real(waves).square().sum(dim=(0, -1))


def as_rows(waves: Tensor) -> Tensor:
    """View (n, H, W) complex as (n, 2 H W) real."""
    return torch.view_as_real(waves).reshape(len(waves), -1)


def as_floats(waves: Tensor) -> NDArray[np.float32]:
    """View complex64 (..., W) on the CPU as float32 (..., 2 W) in the same memory, real and imaginary part in turns."""
    # Not `flatten`: it copies what cannot be viewed, and what is written to the copy is lost.
    return torch.view_as_real(waves).view(*waves.shape[:-1], 2 * waves.shape[-1]).numpy()


def set_gradient(parameter: ReconstructParameter, gradient: Tensor) -> None:
    """Give a complex parameter its gradient, (Y, X) or (n_modes, H, W), as pty-chi stores it, with 0 for OPR modes."""
    whole = torch.view_as_real(gradient)[None]
    further = len(parameter.tensor.data) - 1
    if further:
        whole = torch.cat([whole, whole.new_zeros((further, *whole.shape[1:]))])
    parameter.tensor.data.grad = whole
