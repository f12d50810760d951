"""One cell's NPZ -> its reconstruction as an NPZ, as a user of pty-chi writes it; no part of fly64dask.

python reconstruct_cell.py CELL.npz RECONSTRUCTION.npz
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from ptychi.api.enums import BatchingModes, Devices, NoiseModels
from ptychi.api.options.lsqml import LSQMLOptions
from ptychi.api.task import PtychographyTask
from ptychi.utils import rescale_probe


def reconstruct(source: Path, target: Path) -> None:
    """Reconstruct one cell with pty-chi's LSQML, from an empty object.

    Parameters
    ----------
    source : Path
        NPZ with `counts` (n, H, W), `positions_px` (n, 2) relative to the object's centre, order
        (y, x), `probe` (1, 1, H, W), `object_shape_px`, `n_epochs`, `batch_size` and `seed`.
    target : Path
        NPZ that gets `object`, `probe` and `loss`.
    """
    with np.load(source) as cell:
        counts = cell["counts"].astype(np.float32)
        y, x = cell["positions_px"].astype(np.float32).T
        probe, object_shape = cell["probe"], cell["object_shape_px"]
        n_epochs, batch_size, seed = int(cell["n_epochs"]), int(cell["batch_size"]), int(cell["seed"])
    options = LSQMLOptions()
    options.reconstructor_options.num_epochs = n_epochs
    options.reconstructor_options.batch_size = batch_size
    options.reconstructor_options.batching_mode = BatchingModes.RANDOM
    options.reconstructor_options.noise_model = NoiseModels.GAUSSIAN
    options.reconstructor_options.default_device = Devices.CPU
    options.data_options.fft_shift = True
    options.object_options.remove_object_probe_ambiguity.enabled = True
    options.probe_options.optimizable = True
    task = PtychographyTask(
        options,
        diffraction_data=counts,
        object_data=np.ones((1, *object_shape), dtype=np.complex64),
        probe_data=rescale_probe(probe, counts),
        probe_position_x_px=x,
        probe_position_y_px=y,
    )
    # The options' seed does not reach the loader that draws the minibatches.
    task.reconstructor.dataloader.generator.manual_seed(seed)
    torch.manual_seed(seed)
    task.run()
    np.savez_compressed(
        target,
        object=task.get_data_to_cpu("object", as_numpy=True),
        probe=task.get_data_to_cpu("probe", as_numpy=True),
        loss=task.reconstructor.loss_tracker.table["loss"].to_numpy(),
    )


if __name__ == "__main__":
    reconstruct(Path(sys.argv[1]), Path(sys.argv[2]))
