"""The state of a running task is written down so that another process goes on from it to the same bits."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ptychi.api.enums import Reconstructors

from fly64dask.reconstruction.lsqml.random_draws import batches_name, order_generator

if TYPE_CHECKING:
    from ptychi.api.task import PtychographyTask
    from torch import Tensor

    from fly64dask.study import Algorithm

ALGORITHMS: dict[Reconstructors, Algorithm] = {
    Reconstructors.LSQML: "LSQML",
    Reconstructors.RPIE: "rPIE",
    Reconstructors.EPIE: "ePIE",
    Reconstructors.DM: "DM",
}

# Numbers, strings and tensors by name, nested as pty-chi nests them.
TaskState = dict[str, Any]

# All that pty-chi 2.2.0 carries from one epoch to the next; what is not named here is built from
# the exposures and the recipe. Its own pickling fails, and cloudpickle resumes to other numbers.
PARAMETERS = ("object", "probe", "probe_positions", "opr_mode_weights")
NON_PERSISTENT = ("preconditioner", "update_buffer")
MOMENTA = ("object_momentum_params", "probe_momentum_params", "probe_position_momentum_params")
OF_LSQML = ("alpha_psi_far", "alpha_psi_far_all_pos", "accumulated_fourier_error")
OF_DM = ("psi",)  # the exit waves, from its first epoch on


def algorithm_of(task: PtychographyTask) -> Algorithm:
    """Name a task's algorithm as a recipe does."""
    return ALGORITHMS[task.reconstructor_options.get_reconstructor_type()]


def capture(task: PtychographyTask) -> TaskState:
    """Gather the state of a task between two epochs, its losses included, as numbers, strings and tensors alone.

    The tensors are the task's own, not copies.
    """
    table = task.reconstructor.loss_tracker.table
    return _state(task) | {"loss": {name: list(column) for name, column in table.items()}}


def restore(task: PtychographyTask, state: TaskState) -> bool:
    """Put a newly built task, of the same exposures and recipe, where a task was whose state `capture` gathered.

    Gives whether the task is there: a state gathered of it now is compared with the one that was put.
    """
    put_back(task, copied(state, task.object.data.device))
    tracker = task.reconstructor.loss_tracker
    tracker.table = type(tracker.table)(state["loss"]).astype(tracker.table.dtypes)
    tracker.epoch = task.reconstructor.current_epoch
    return _equal(capture(task), state)


def to_bytes(state: dict[str, Any]) -> bytes:
    """Write numbers, strings, tensors, lists and dicts as bytes that are read back without running code."""
    stream = io.BytesIO()
    torch.save(state, stream)
    return stream.getvalue()


def from_bytes(data: bytes) -> dict[str, Any]:
    """Read what `to_bytes` wrote, with all tensors on the CPU."""
    state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return state


def copy_state(task: PtychographyTask) -> TaskState:
    """Copy all that a task carries from one epoch to the next, but the losses, for `put_back`."""
    return copied(_state(task), task.object.data.device)


def put_back(task: PtychographyTask, state: TaskState) -> None:
    """Give a task a state of the same exposures and recipe; a state that is used again must be copied before."""
    reconstructor = task.reconstructor
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
    if (batches := batches_name(task)) is not None:
        setattr(reconstructor.dataloader.batch_sampler, batches, [batch.cpu() for batch in state["batches"]])
    set_random_state(task, state["random"])


def losses(task: PtychographyTask) -> list[float]:
    """List the loss of each epoch that a task has run."""
    return [float(loss) for loss in task.reconstructor.loss_tracker.table["loss"]]


def latest_loss(task: PtychographyTask) -> float:
    """Give the loss of the last epoch that a task has run; at least one."""
    return float(task.reconstructor.loss_tracker.table["loss"][n_epochs_run(task) - 1])


def read_epochs(tasks: Iterable[PtychographyTask], further: Sequence[Tensor] = ()) -> list[float]:
    """Read what the last epoch of tasks has left on their device, its loss among it, and `further` numbers, each ().

    Gives the further numbers. All are read at once: each time that a process waits for a GPU, others that share it may
    have their turn first.
    """
    waiting = [
        numbers
        for task in tasks
        for numbers in (task.reconstructor.loss_tracker.table["loss"], _fourier_errors(task))
        if isinstance(numbers, list) and numbers and isinstance(numbers[-1], torch.Tensor)
    ]
    all_numbers = [*(numbers[-1] for numbers in waiting), *further]
    read: list[float] = torch.stack(all_numbers).tolist() if all_numbers else []
    for numbers in waiting:
        numbers[-1] = read.pop(0)
    return read


def _fourier_errors(task: PtychographyTask) -> list[Any]:
    """The error of each epoch, as pty-chi keeps it for LSQML alone."""
    return getattr(getattr(task.reconstructor, "reconstructor_buffers", None), "fourier_errors", [])


def n_epochs_run(task: PtychographyTask) -> int:
    """Count the epochs that a task has run."""
    return len(task.reconstructor.loss_tracker.table["loss"])


def _state(task: PtychographyTask) -> TaskState:
    reconstructor = task.reconstructor
    parameters = {name: getattr(reconstructor.parameter_group, name) for name in PARAMETERS}
    # By what this task has: pty-chi lists the buffers of all tasks that the process has built.
    buffers = vars(reconstructor.reconstructor_buffers)
    batches = batches_name(task)
    return {
        "tensors": {name: parameter.state_dict() for name, parameter in parameters.items()},
        "non_persistent": {name: {b: getattr(p, b) for b in NON_PERSISTENT} for name, p in parameters.items()},
        "optimizers": {name: p.optimizer.state_dict() if p.optimizer else None for name, p in parameters.items()},
        "reconstructor": {n: getattr(reconstructor, n) for n in _carried_by(task)},
        "buffers": {
            name: buffers[name] for name in reconstructor.reconstructor_buffers.get_all_names() if name in buffers
        },
        "momenta": {name: vars(getattr(reconstructor, name)) for name in MOMENTA if hasattr(reconstructor, name)},
        "batches": list(getattr(reconstructor.dataloader.batch_sampler, batches)) if batches else [],
        "random": random_state(task),
    }


def _carried_by(task: PtychographyTask) -> tuple[str, ...]:
    """Name the attributes of a task's reconstructor that go from one epoch to the next."""
    algorithm = algorithm_of(task)
    if algorithm == "LSQML":
        return ("current_epoch", *OF_LSQML)
    if algorithm == "DM" and task.reconstructor.current_epoch > 0:
        return ("current_epoch", *OF_DM)
    return ("current_epoch",)


def random_state(task: PtychographyTask) -> TaskState:
    """Say where the random streams are that a task draws from: its loader's own, and those that a process has once.

    From NumPy's only minibatches are drawn that are the same in all epochs: their order, or clusters of positions.
    """
    return {
        "loader": order_generator(task).get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if task.object.tensor.data.is_cuda else [],
        "numpy": _numpy_state() if batches_name(task) else (),
    }


def _numpy_state() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state()
    return (name, np.asarray(keys).tolist(), *rest)


def set_random_state(task: PtychographyTask, state: TaskState) -> None:
    """Put all random streams that a task draws from where they were."""
    order_generator(task).set_state(state["loader"].cpu())
    torch.set_rng_state(state["torch"].cpu())
    if state["cuda"]:
        torch.cuda.set_rng_state_all([stream.cpu() for stream in state["cuda"]])
    if state["numpy"]:
        np.random.set_state(state["numpy"])


def copied(state: Any, device: torch.device) -> Any:
    """Copy a state's tensors to a device, with the dicts and lists that hold them."""
    if isinstance(state, torch.Tensor):
        return state.to(device, copy=True)
    if isinstance(state, dict):
        return type(state)((key, copied(value, device)) for key, value in state.items())
    if isinstance(state, list):
        return [copied(value, device) for value in state]
    return state


def _equal(first: object, second: object) -> bool:
    """Tell whether two states have the same values, wherever their tensors are; NaN is the same as NaN."""
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        if first.dtype != second.dtype or first.shape != second.shape:
            return False
        return torch.allclose(first.cpu(), second.cpu(), rtol=0, atol=0, equal_nan=True)
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_equal(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(_equal, first, second))
    return bool(first == second or (first != first and second != second))
