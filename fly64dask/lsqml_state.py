"""A running LSQML task <-> bytes from which another process goes on with the same bits."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from ptychi.api.task import PtychographyTask

# All that pty-chi 2.2.0 carries from one epoch to the next; what is not named here is built from
# the exposures and the recipe. Its own pickling fails, and cloudpickle resumes to other numbers.
PARAMETERS = ("object", "probe", "probe_positions", "opr_mode_weights")
NON_PERSISTENT = ("preconditioner", "update_buffer")
MOMENTA = ("object_momentum_params", "probe_momentum_params", "probe_position_momentum_params")
OF_RECONSTRUCTOR = ("current_epoch", "alpha_psi_far", "alpha_psi_far_all_pos", "accumulated_fourier_error")


def capture(task: PtychographyTask) -> bytes:
    """Write down a task between two epochs.

    Parameters
    ----------
    task : PtychographyTask
        An LSQML task.

    Returns
    -------
    bytes
        Numbers, strings and tensors alone: reading them back runs no code.
    """
    reconstructor = task.reconstructor
    parameters = {name: getattr(reconstructor.parameter_group, name) for name in PARAMETERS}
    buffers = reconstructor.reconstructor_buffers
    state = {
        "tensors": {name: parameter.state_dict() for name, parameter in parameters.items()},
        "non_persistent": {name: {b: getattr(p, b) for b in NON_PERSISTENT} for name, p in parameters.items()},
        "optimizers": {name: p.optimizer.state_dict() if p.optimizer else None for name, p in parameters.items()},
        "reconstructor": {name: getattr(reconstructor, name) for name in OF_RECONSTRUCTOR},
        "buffers": {name: getattr(buffers, name) for name in buffers.get_all_names()},
        "momenta": {name: vars(getattr(reconstructor, name)) for name in MOMENTA},
        "loss": {name: column.tolist() for name, column in reconstructor.loss_tracker.table.items()},
        "random": _random_state(task),
    }
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def restore(task: PtychographyTask, data: bytes) -> None:
    """Put a newly built task of the same exposures and recipe where a captured one was.

    Parameters
    ----------
    task : PtychographyTask
        Built, not run yet.
    data : bytes
        From `capture`.
    """
    reconstructor = task.reconstructor
    device = task.object.data.device
    state = _on_device(torch.load(io.BytesIO(data), map_location="cpu", weights_only=True), device)
    for name in PARAMETERS:
        parameter = getattr(reconstructor.parameter_group, name)
        parameter.load_state_dict(state["tensors"][name])
        for buffer, value in state["non_persistent"][name].items():
            setattr(parameter, buffer, value)
        if parameter.optimizer is not None:
            parameter.optimizer.load_state_dict(state["optimizers"][name])
    for name, value in state["reconstructor"].items():
        setattr(reconstructor, name, value)
    for name, value in state["buffers"].items():
        setattr(reconstructor.reconstructor_buffers, name, value)
    for name, values in state["momenta"].items():
        vars(getattr(reconstructor, name)).update(values)
    tracker = reconstructor.loss_tracker
    tracker.table = type(tracker.table)(state["loss"]).astype(tracker.table.dtypes)
    tracker.epoch = reconstructor.current_epoch
    _set_random_state(task, state["random"])


def losses(task: PtychographyTask) -> list[float]:
    """Loss of each epoch that a task has run."""
    return [float(loss) for loss in task.reconstructor.loss_tracker.table["loss"]]


def _random_state(task: PtychographyTask) -> dict[str, Any]:
    name, keys, *rest = np.random.get_state()
    return {
        "loader": task.reconstructor.dataloader.generator.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if task.object.data.is_cuda else [],
        "numpy": (name, np.asarray(keys).tolist(), *rest),
        "python": random.getstate(),
    }


def _set_random_state(task: PtychographyTask, state: dict[str, Any]) -> None:
    task.reconstructor.dataloader.generator.set_state(state["loader"].cpu())
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"]:
        torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"]])
    np.random.set_state(state["numpy"])
    random.setstate(state["python"])


def _on_device(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return type(value)((key, _on_device(one, device)) for key, one in value.items())
    if isinstance(value, list):
        return [_on_device(one, device) for one in value]
    return value
