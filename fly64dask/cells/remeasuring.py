"""Takes the reconstruction of a cell from its archive, where only what is measured of it has to be done again."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fly64dask.base import IntegrityError
from fly64dask.reconstruction import Reconstruction
from fly64dask.records import read_record
from fly64dask.store import ReconstructionAttributes, open_group

if TYPE_CHECKING:
    from fly64dask.cells.request import CellRequest
    from fly64dask.records import CellRecord
    from fly64dask.store import Group

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReconstruction:
    """A reconstruction that an earlier attempt has made, and the seconds that this took."""

    reconstruction: Reconstruction
    seconds: float


def stored_reconstruction(request: CellRequest, cell_key: str) -> StoredReconstruction | None:
    """Read the committed reconstruction of a cell, every byte checked.

    Parameters
    ----------
    request : CellRequest
        What is asked.
    cell_key : str
        Digest of what determines the cell's numbers.

    Returns
    -------
    StoredReconstruction or None
        None if the cell has none of this key, or it is damaged: the engine makes it again then.
    """
    try:
        record = read_record(request.layout, request.cell)
        if record is None or record.state != "completed" or record.cell_key != cell_key:
            return None
        group = open_group(request.layout.reconstruction_group(request.cell), ReconstructionAttributes)
        stored = StoredReconstruction(reconstruction=_read(record, group), seconds=record.seconds)
    except IntegrityError as error:
        log.warning("cell=%s state=damaged error=%s", request.cell.name, error)
        return None
    log.info("cell=%s measured anew: its reconstruction is that of attempt %d", request.cell.name, record.attempt)
    return stored


def _read(record: CellRecord, group: Group[ReconstructionAttributes]) -> Reconstruction:
    names = {
        "validation": "validation",
        "half_objects": "half_objects",
        "positions_px": "positions_recon_px",
        "opr_weights": "opr_weights_recon",
    }
    return Reconstruction(
        object_recon=group.read("object_recon"),
        probe_recon=group.read("probe_recon"),
        loss=group.read("loss"),
        object_origin_px=group.attributes.object_origin_px,
        device=record.device or "",
        guarded=bool(record.underdetermined),
        acceleration=record.acceleration or "",
        resumed_from_epoch=record.resumed_from_epoch or 0,
        stopping=record.stopping,
        no_halves=record.half_sets.missing if record.half_sets else None,
        **{field: group.read(name) for field, name in names.items() if name in group.names},
    )
