"""Arithmetic of the faster steps on plain tensors, and the views of pty-chi's parameters that it works on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import torch

if TYPE_CHECKING:
    from ptychi.data_structures.base import ReconstructParameter
    from torch import Tensor

# pty-chi 2.2.0, calculate_object_and_probe_update_step_sizes: added to each squared norm, and the
# share of its mean that damps the two equations.
SQUARE_FLOOR = 1.2e-7
DAMPING = 0.1

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


def solve_jointly(a_object: Tensor, a_probe: Tensor, mixed: Tensor, b_object: Tensor, b_probe: Tensor) -> Tensor:
    """Solve Eq. 22, damped: real parts of the solution of two equations in two unknowns, (2, n); each argument (n,)."""
    a_object, a_probe = (a + SQUARE_FLOOR for a in (a_object, a_probe))
    a_object, a_probe = (a + DAMPING * a.mean() for a in (a_object, a_probe))
    # Each over its diagonal, so that no product leaves the range of a float.
    m_object, m_probe, b_object, b_probe = mixed / a_object, mixed / a_probe, b_object / a_object, b_probe / a_probe
    steps = torch.stack([b_object - m_object.real * b_probe, b_probe - m_probe.real * b_object])
    return steps.div_(1 - (m_object.conj() * m_probe).real)


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


def as_rows(waves: Tensor) -> Tensor:
    """View (n, H, W) complex as (n, 2 H W) real."""
    return torch.view_as_real(waves).reshape(len(waves), -1)


def set_gradient(parameter: ReconstructParameter, gradient: Tensor) -> None:
    """Give a complex parameter its gradient, (Y, X) or (n_modes, H, W), as pty-chi stores it, with 0 for OPR modes."""
    whole = torch.view_as_real(gradient)[None]
    further = len(parameter.tensor.data) - 1
    if further:
        whole = torch.cat([whole, whole.new_zeros((further, *whole.shape[1:]))])
    parameter.tensor.data.grad = whole
