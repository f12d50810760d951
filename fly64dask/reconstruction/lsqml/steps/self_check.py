"""The faster steps against a task's own, on one minibatch of the task's own exposures."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import torch
from ptychi.api.enums import BatchingModes

from fly64dask.reconstruction.lsqml.state import copied, copy_state, put_back
from fly64dask.reconstruction.lsqml.steps.replacements import replaced, replacements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ptychi.api.task import PtychographyTask
    from torch import Tensor

    from fly64dask.reconstruction.lsqml.steps.launches import Launches
    from fly64dask.reconstruction.lsqml.steps.replacements import Steps

# Of a quantity's largest value, after one minibatch.
TOLERANCE = 1e-4
# Dark pixels that counts are divided by can carry rounding further than that. Then allowed is what a relative change of
# the object by EPS does to pty-chi's own result, this many times (as tests/reconstruction/test_lsqml_acceleration.py
# measured it on random minibatches), but never over a hundred times the tolerance: a fault is more than rounding.
EPS = float(torch.finfo(torch.float32).eps)
A_FEW = 10
WIDEST_TOLERANCE = 1e-2
CHECKED_EXPOSURES = 3


def disagreement(task: PtychographyTask, steps: Steps) -> str | None:
    """Compare the faster steps with the task's own: a few of its exposures, its probe, a random object.

    Gives what differs by more than rounding, and by how much; None if nothing does. The task, between two epochs, is
    afterwards as it was, generators included.
    """
    if not steps.scan.all.fit(task.object.lateral_shape):
        return "a patch reaches beyond the object"
    state, device = copy_state(task), task.object.tensor.data.device
    try:
        unmodified = _one_minibatch(task)
        put_back(task, copied(state, device))
        with replaced(replacements(task, steps)):
            ours = _one_minibatch(task)
        differences = _relative_differences(ours, unmodified)
        if all(difference <= TOLERANCE for difference in differences.values()):  # not if one is NaN
            return None
        put_back(task, copied(state, device))
        sensitivities = _relative_differences(_one_minibatch(task, changed_by=EPS), unmodified)
    finally:
        put_back(task, state)
    for name, difference in differences.items():
        allowed = min(max(TOLERANCE, A_FEW * sensitivities[name]), WIDEST_TOLERANCE)
        if not difference <= allowed:
            largest = float(unmodified[name].abs().max())
            return (
                f"self-check: {name} differs by {difference * largest:.2g}, allowed are {allowed:.1g} of {largest:.2g}"
            )
    return None


def are_alike(task: PtychographyTask, checked: PtychographyTask) -> bool:
    """Tell whether a self-check of one task says the same of another, as the steps do the same work for both.

    They have the same options, shapes, positions, mask and weights of OPR modes; only photons, probe, object and seeds
    differ. Pixels without photons are a case of their own: both or none have some among the exposures that are checked.
    """
    if task.options != checked.options:
        return False
    return all(
        first.shape == second.shape and torch.equal(first, second)
        for first, second in zip(_what_steps_depend_on(task), _what_steps_depend_on(checked), strict=True)
    )


def _what_steps_depend_on(task: PtychographyTask) -> list[Tensor]:
    """List what decides which work the steps of a task do, beside its options."""
    patterns = task.dataset.patterns
    shapes = [torch.tensor(of.shape, device="cpu") for of in (patterns, task.object, task.probe)]
    are_some_dark = (patterns[:CHECKED_EXPOSURES] == 0).any()
    return [
        *shapes,
        are_some_dark,
        task.dataset.valid_pixel_mask,
        task.probe_positions.data,
        task.opr_mode_weights.data,
    ]


@torch.no_grad()
def recording_problem(tasks: Mapping[str, PtychographyTask], launches: Launches) -> str | None:
    """Compare a minibatch of each task that is called with the same as they are recorded and launched, twice.

    Gives why none can be recorded, or that one differs: no bit may. None if they are equal. The tasks, which run on the
    steps that are recorded, are afterwards as they were.
    """
    states = {name: copy_state(task) for name, task in tasks.items()}
    known = {name: task.reconstructor.alpha_psi_far_all_pos for name, task in tasks.items()}
    try:
        indices = {name: _begin_one_minibatch(task) for name, task in tasks.items()}
        begun = [
            (tensor, tensor.clone())
            for name, task in tasks.items()
            for tensor in (task.object.tensor.data, task.probe.tensor.data, known[name])
        ]
        results = []
        for _ in ("called", "recorded and launched", "launched"):
            for tensor, value in begun:
                tensor.copy_(value)  # in its place, which is what was recorded
            torch.manual_seed(0)
            for steps in launches.steps.values():
                steps.begin_epoch()
            launches.launch({name: launches.steps[name].drawn(of) for name, of in indices.items()})
            results.append([tensor.clone() for tensor, _ in begun])
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        return f"none can be recorded here ({str(error).splitlines()[0]})"
    finally:
        launches.forget()
        for name, task in tasks.items():
            put_back(task, states[name])
    called, *launched = results
    if all(torch.equal(one, other) for result in launched for one, other in zip(called, result, strict=True)):
        return None
    return "self-check: a launched minibatch differs from one that is called"


def _relative_differences(results: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    """Largest difference of each quantity over its largest value; NaN where one of them is NaN."""
    smallest = torch.finfo(torch.float32).tiny  # nothing differs from nothing by nothing
    return {
        name: float((results[name] - values).abs().max()) / max(float(values.abs().max()), smallest)
        for name, values in expected.items()
    }


@torch.no_grad()
def _one_minibatch(task: PtychographyTask, *, changed_by: float = 0.0) -> dict[str, Tensor]:
    """Compute what a task makes of its first exposures, by name; twice if minibatches add to each other.

    The object is a random one, each pixel of it `changed_by` at most, relatively.
    """
    reconstructor, object_ = task.reconstructor, task.object
    indices = _begin_one_minibatch(task, changed_by=changed_by)
    measured = task.dataset.patterns[indices].to(object_.tensor.data.device)
    # Number -1 is neither the first of an epoch nor the last.
    for reconstructor.current_minibatch in (0, 1) if _adds_up(task) else (-1,):
        expected = reconstructor.forward_model(indices)
        results = {"illumination": object_.preconditioner, "intensity": expected.clone()}
        reconstructor.update_fourier_error(expected, measured)
        reconstructor.compute_reconstruction_parameter_updates(expected, measured, indices)
        results |= {"object direction": object_.get_grad(), "probe direction": task.probe.get_grad()}
        reconstructor.apply_reconstruction_parameter_updates(indices)
    buffers, momentum = reconstructor.reconstructor_buffers, reconstructor.probe_momentum_params
    if reconstructor.options.momentum_acceleration_gain > 0:
        results["probe momentum"] = momentum.accumulated_update_direction
    return results | {
        "fourier error": torch.as_tensor(reconstructor.accumulated_fourier_error),
        "object": object_.data,
        "probe": task.probe.data,
        "object step": buffers.alpha_object_all_pos_all_slices[indices],
        "probe step": buffers.alpha_probe_all_pos[indices],
        "loss": reconstructor.loss_tracker.metric_function(expected, measured),
        "positions": task.probe_positions.data,
        "OPR weights": task.opr_mode_weights.data,
    }


def _begin_one_minibatch(task: PtychographyTask, *, changed_by: float = 0.0) -> Tensor:
    """Let a task be before a minibatch of its first exposures, in a late epoch, from a random object; gives their
    numbers.
    """
    reconstructor, object_, device = task.reconstructor, task.object, task.object.tensor.data.device
    indices = torch.arange(min(CHECKED_EXPOSURES, len(task.dataset)), device="cpu")
    generator = torch.Generator("cpu").manual_seed(0)
    noise = torch.rand((2, *object_.shape), generator=generator, device="cpu").to(device)
    change = torch.rand(object_.shape, generator=generator, device="cpu").to(device)
    object_.set_data(torch.polar(1 + noise[0], noise[1]) * (1 + changed_by * (2 * change - 1)))
    positions = SimpleNamespace(tensor=task.probe_positions.tensor[indices.to(device)])
    object_.preconditioner = object_.calculate_illumination_map(task.probe, positions)
    reconstructor.accumulated_fourier_error = 0.0
    # Whatever starts late has started. The first epoch may do no more than find the scale of the probe.
    reconstructor.current_epoch = max(task.reconstructor_options.num_epochs - 1, 1)
    reconstructor.current_minibatch = -1  # neither the first of an epoch nor the last
    return indices


def _adds_up(task: PtychographyTask) -> bool:
    """Whether a task's minibatches add to what those before them in the epoch have left."""
    return bool(task.reconstructor_options.batching_mode == BatchingModes.COMPACT)
