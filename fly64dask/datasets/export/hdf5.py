"""Writes a reconstruction in the HDF5 layouts of other programs: a Ptychodus product, CXI, and PtyPy's results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from fly64dask.base import utc_now
from fly64dask.datasets.export.reconstruction import HC_EV_NM, NM

if TYPE_CHECKING:
    from fly64dask.datasets.export.reconstruction import ReconstructionToWrite

JOULES_PER_EV = 1.602176634e-19  # CODATA 2018, exact
# PtyPy's name of the first scan's storage.
PTYPY_STORAGE = "SscanG00"


def write_product(path: Path, reconstruction: ReconstructionToWrite) -> None:
    """Write a Ptychodus product.

    Positions are in metres of the scan frame. A position (y, x) stands for the object's pixel (position - center) /
    pixel size + shape / 2, with half of a patch on either side; so `center` is the middle of the array, or half a pixel
    less if a patch has an odd side. Unknown values are 0, as Ptychodus writes them.
    """
    (height_m, width_m), (y_m, x_m) = _pixel_m(reconstruction), reconstruction.positions_m.T
    centre_m = np.asarray((height_m, width_m)) * (
        np.asarray(reconstruction.origin_px)
        + np.asarray(reconstruction.object_recon.shape[-2:]) / 2
        - np.asarray(reconstruction.probe.shape[-2:]) % 2 / 2
    )
    with h5py.File(path, "w") as file:
        file.attrs["name"] = reconstruction.name
        file.attrs["comments"] = json.dumps(reconstruction.facts)
        file.attrs["detector_object_distance_m"] = reconstruction.distance_m or 0.0
        file.attrs["probe_energy_eV"] = reconstruction.energy_ev or 0.0
        file.attrs["probe_photon_count"] = reconstruction.mean_photons or 0.0
        file.attrs["exposure_time_s"] = 0.0
        file.attrs["mass_attenuation_m2_kg"] = 0.0
        file.attrs["tomography_angle_deg"] = 0.0
        file["probe_position_indexes"] = reconstruction.scan_index
        file["probe_position_y_m"], file["probe_position_x_m"] = y_m, x_m
        file["probe"], file["object"] = reconstruction.probe, reconstruction.object_recon
        if reconstruction.opr_weights is not None:
            file["opr_weights"] = reconstruction.opr_weights
        for name in ("probe", "object"):
            file[name].attrs["pixel_height_m"], file[name].attrs["pixel_width_m"] = height_m, width_m
        file["object"].attrs["center_y_m"], file["object"].attrs["center_x_m"] = centre_m
        file["object_layer_spacing_m"] = np.zeros(len(reconstruction.object_recon) - 1)
        file["loss_epochs"], file["loss_values"] = np.arange(1, len(reconstruction.loss) + 1), reconstruction.loss


def write_cxi(path: Path, reconstruction: ReconstructionToWrite) -> None:
    """Write a CXI file without patterns: the object as an image, probe, positions and geometry.

    `translation` (n, 3) is x, y, z in metres, so that an object's row is y / pixel size and its column x / pixel size;
    `image_center` is the place of the translation (0, 0) in the image, px, in CXI's order (x, y, z).
    """
    height_m, width_m = _pixel_m(reconstruction)
    y_m, x_m = reconstruction.positions_m.T
    _, height, width = reconstruction.object_recon.shape
    with h5py.File(path, "w") as file:
        file["cxi_version"] = 160
        entry = file.create_group("entry_1")
        entry["title"], entry["end_time"] = reconstruction.name, utc_now()
        image = entry.create_group("image_1")
        image["data"] = (
            reconstruction.object_recon[0] if len(reconstruction.object_recon) == 1 else reconstruction.object_recon
        )
        image["data_space"], image["data_type"] = "real", "transmission"
        image["image_size"] = np.array([width * width_m, height * height_m])
        image["image_center"] = np.array([-reconstruction.origin_px[1], -reconstruction.origin_px[0], 0.0])
        image["x_pixel_size"], image["y_pixel_size"] = width_m, height_m
        image["process_1/note"] = json.dumps(reconstruction.facts)
        entry["sample_1/geometry_1/translation"] = np.stack([x_m, y_m, np.zeros_like(x_m)], axis=1)
        entry["sample_1/geometry_1/translation"].attrs["units"] = "m"
        source = entry.create_group("instrument_1/source_1")
        source["illumination"] = (
            reconstruction.probe[0, 0] if reconstruction.probe.shape[:2] == (1, 1) else reconstruction.probe
        )
        if reconstruction.energy_ev is not None:
            source["energy"] = reconstruction.energy_ev * JOULES_PER_EV
            source["wavelength"] = HC_EV_NM * NM / reconstruction.energy_ev
        if reconstruction.distance_m is not None:
            entry["instrument_1/detector_1/distance"] = reconstruction.distance_m
        entry["data_1/translation"] = h5py.SoftLink("/entry_1/sample_1/geometry_1/translation")


def write_ptypy(path: Path, reconstruction: ReconstructionToWrite) -> None:
    """Write object, probe and positions as a result of PtyPy has them, in metres and keV.

    `_origin` is the position of the first pixel, `_center` the pixel at which the coordinate is 0, both (y, x). Of
    several OPR modes only the first is written, because PtyPy has no others.
    """
    pixel_m, origin_px = np.asarray(_pixel_m(reconstruction)), np.asarray(reconstruction.origin_px, dtype=np.float64)
    probe_centre_px = np.asarray(reconstruction.probe.shape[-2:]) // 2
    with h5py.File(path, "w") as file:
        content = file.create_group("content")
        parts = {"obj": (reconstruction.object_recon, -origin_px), "probe": (reconstruction.probe[0], probe_centre_px)}
        for name, (data, centre_px) in parts.items():
            storage = content.create_group(f"{name}/{PTYPY_STORAGE}")
            storage["data"], storage["shape"] = data, np.asarray(data.shape)
            storage["_psize"], storage["_center"] = pixel_m, centre_px.astype(np.float64)
            storage["_origin"] = -centre_px * pixel_m
            if reconstruction.energy_ev is not None:
                storage["_energy"] = reconstruction.energy_ev / 1000
        content[f"positions/{PTYPY_STORAGE}"] = reconstruction.positions_m
        content["runtime/fly64dask"] = json.dumps(reconstruction.facts)


def _pixel_m(reconstruction: ReconstructionToWrite) -> tuple[float, float]:
    assert reconstruction.pixel_size_m is not None, "checked for formats in metres"
    return reconstruction.pixel_size_m
