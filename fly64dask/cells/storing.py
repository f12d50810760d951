"""How a cell's reconstruction is stored: one Zarr group with what the engine returned and the curves measured of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import software_versions, utc_now
from fly64dask.store import (
    ArraySource,
    ReconstructionAttributes,
    object_arrays,
    probe_array,
    storing,
    whole_array,
    write_group,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fly64dask.reconstruction import Reconstruction
    from fly64dask.study import Cell


def store_reconstruction(
    directory: Path, cell: Cell, result: Reconstruction, curves: Iterable[ArraySource]
) -> dict[str, str]:
    """Write the group of one reconstruction; gives the digest of each array by name."""
    n_epochs, origin_px = len(result.loss), result.object_origin_px
    arrays = [
        *object_arrays("object_recon", result.object_recon, origin_px=origin_px, leading_dim="slice"),
        probe_array(result.probe_recon, "probe_recon", units="sqrt(photons)"),
        whole_array("loss", result.loss, dims=("epoch",), long_name="loss of the engine"),
        whole_array("epoch", np.arange(1, n_epochs + 1), dims=("epoch",), long_name="epoch"),
        *curves,
    ]
    if result.validation is not None:
        score = whole_array("validation", result.validation, dims=("epoch",), long_name="score of the stopping rule")
        arrays.append(score)
    if result.half_objects is not None:
        halves = whole_array(
            "half_objects", result.half_objects, dims=("half", "y", "x"), long_name="object of each half"
        )
        arrays.append(halves)
    with storing(directory):
        directory.mkdir()
        return write_group(
            directory,
            ReconstructionAttributes(
                created_at=utc_now(),
                software=software_versions(),
                source_digest="",
                cell=cell.name,
                object_origin_px=origin_px,
                n_epochs=n_epochs,
                acceleration=result.acceleration,
            ),
            arrays,
        )
