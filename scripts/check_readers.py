"""Compare the readers of `fly64dask ingest` with other programs' own code, on the same files.

    pip install --no-deps --target /tmp/readers rosettasciio emdfile ptylab cdtools-py ptychodus
    pip install --no-deps --target /tmp/readers pint flexcache flexparser python-box lazy-importer tqdm
    PYTHONPATH=/tmp/readers python scripts/check_readers.py

Where a program writes its format (Ptychodus, cdtools, emdfile of py4DSTEM), it writes the file and fly64dask reads it;
else both read a file of the tests' writers (Merlin and EMPAD beside RosettaSciIO, PtyLab). docs/how-to/ingest.md
says what was found. Nothing of this is needed to run fly64dask. There is no PtyPy here: the package index does not
have it.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from fly64dask.datasets.export.hdf5 import write_product
from fly64dask.datasets.export.reconstruction import ReconstructionToWrite
from fly64dask.datasets.formats import ReadOptions, ScanFile, read_scan_file
from fly64dask.scan import object_frame, patch_corners_px

N, STEP_NM = 12, 0.4
RASTER = (3, 4)


def others(module: str) -> Any:
    """Import a module that is no part of fly64dask."""
    return importlib.import_module(module)


written = others("foreign_scans")  # the tests' writers of other programs' layouts


def small_scan(height: int = 128, width: int = 128) -> Any:
    """Counts, positions and a probe that tell rows from columns."""
    rng = np.random.default_rng(1)
    return written.Scan(
        counts=rng.poisson(3.0, (N, height, width)).astype(np.uint16),
        positions_m=rng.uniform(-1e-6, 1e-6, (N, 2)),
        probe=(rng.normal(size=(height, width)) + 1j * rng.normal(size=(height, width))).astype(np.complex64),
    )


def read(path: Path, **options: Any) -> ScanFile:
    """Read a file as `ingest` does."""
    return read_scan_file(path, ReadOptions(**options))


def same(ours: Any, theirs: Any) -> bool:
    """Whether arrays are equal to the bit."""
    return np.array_equal(ours, theirs)


def close(ours: Any, theirs: Any) -> bool:
    """Whether numbers are equal to single precision, in which some of these programs keep them."""
    return bool(np.allclose(ours, theirs, rtol=1e-6, atol=0))


def counts_of(scan: ScanFile) -> np.ndarray:
    """All patterns of a scan, (n, H, W)."""
    return np.asarray(scan.patterns.read(0, scan.patterns.shape[0]))


def check_merlin(folder: Path) -> Iterator[tuple[str, bool]]:
    """Read a Merlin file with RosettaSciIO."""
    load_mib_data = others("rsciio.quantumdetector").load_mib_data

    scan = small_scan(96, 128)
    path = written.write_mib(folder / "scan.mib", scan.counts)
    theirs = np.asarray(load_mib_data(str(path), navigation_shape=RASTER[::-1])).reshape(scan.counts.shape)
    ours = counts_of(read(path, raster=RASTER, raster_step_nm=(STEP_NM, STEP_NM)))
    yield "patterns", same(ours, theirs)


def check_empad(folder: Path) -> Iterator[tuple[str, bool]]:
    """Read an EMPAD file with RosettaSciIO, which wants the XML beside it."""
    file_reader = others("rsciio.empad").file_reader

    scan = small_scan()
    path = written.write_empad(folder / "scan_x4_y3.raw", scan.counts)
    (folder / "scan.xml").write_text(
        '<?xml version="1.0"?><root><raw_file filename="scan_x4_y3.raw"/><pix_x>4</pix_x><pix_y>3</pix_y>'
        '<scan_parameters mode="acquire"/><iom_measurements/></root>'
    )
    theirs = np.asarray(file_reader(str(folder / "scan.xml"))[0]["data"]).reshape(scan.counts.shape)
    ours = counts_of(read(path, raster=RASTER, raster_step_nm=(STEP_NM, STEP_NM)))
    yield "patterns", same(ours, theirs)


def check_py4dstem(folder: Path) -> Iterator[tuple[str, bool]]:
    """Write a data cube with emdfile, the file layer of py4DSTEM, its calibration at the root as py4DSTEM has it."""
    emdfile = others("emdfile")

    scan = small_scan(96, 128)
    root = emdfile.Root(name="datacube_root")
    cube = emdfile.Array(scan.counts.reshape(*RASTER, 96, 128), name="datacube")
    calibration = emdfile.Metadata(name="calibration")
    for name, value in (
        ("R_pixel_size", 4.0),
        ("R_pixel_units", "A"),
        ("Q_pixel_size", 0.02),
        ("Q_pixel_units", "A^-1"),
    ):
        calibration[name] = value
    root.metadata = calibration
    root.tree(cube)
    emdfile.save(str(folder / "cube.h5"), root)
    ours = read(folder / "cube.h5")
    raster_m = 4e-10 * np.stack(np.divmod(np.arange(N), RASTER[1]), axis=1)
    yield "patterns", same(counts_of(ours), scan.counts)
    yield "raster", close(ours.positions - ours.positions[0], raster_m)
    yield "size of a pixel", ours.geometry.reciprocal_pixel_per_nm == (0.2, 0.2)


def check_ptylab(folder: Path) -> Iterator[tuple[str, bool]]:
    """Read PtyLab's data with PtyLab's own reader, in each of its orientations."""
    whole, files = others("PtyLab.ExperimentalData.ExperimentalData"), others("PtyLab.io.readHdf5")

    scan = small_scan(96, 128)
    arrays = written.ptylab_arrays(scan)
    names = list(arrays)
    for orientation in range(8):
        path = folder / f"scan{orientation}.hdf5"
        written.write_hdf5(path, arrays | {"orientation": np.array([orientation])})
        theirs = files.loadInputData(path, names, ())
        turned = SimpleNamespace(ptychogram=theirs["ptychogram"])
        whole.ExperimentalData.setOrientation(turned, orientation)
        ours = read(path)
        yield f"patterns of orientation {orientation}", same(counts_of(ours), turned.ptychogram)
    yield "positions", same(ours.positions, theirs["encoder"])
    yield "wavelength", close(ours.geometry.wavelength_nm, theirs["wavelength"] * 1e9)
    yield "pitch", close(ours.geometry.pitch_um, theirs["dxd"] * 1e6)


def check_cxi(folder: Path) -> Iterator[tuple[str, bool]]:
    """Write a CXI file with cdtools, whose positions are of the optics, and read it."""
    data = others("cdtools.tools.data")

    scan, mask = small_scan(96, 128), np.ones((96, 128), dtype=bool)
    mask[3, 5] = False
    basis = np.array([[0, -written.PITCH_M], [-written.PITCH_M, 0], [0, 0]])
    y, x = scan.positions_m.T
    wavelength_m = written.PLANCK_TIMES_LIGHT_J_M / (written.ENERGY_KEV * 1e3 * 1.602176634e-19)
    with data.create_cxi(str(folder / "scan.cxi")) as file:
        data.add_source(file, wavelength_m)
        data.add_detector(file, written.DISTANCE_M, basis)
        data.add_data(file, scan.counts)
        data.add_mask(file, mask)
        data.add_ptycho_translations(file, -np.stack([x, y, np.zeros(N)], axis=1))
    ours = read(folder / "scan.cxi")
    yield "patterns", same(counts_of(ours), scan.counts)
    yield "mask", same(ours.mask, mask)
    yield "positions, row = -y of the optics", close(ours.positions, scan.positions_m)
    yield "pitch", close(ours.geometry.pitch_um, written.PITCH_M * 1e6)
    yield "wavelength", close(ours.geometry.wavelength_nm, wavelength_m * 1e9)


def check_ptychodus(folder: Path) -> Iterator[tuple[str, bool]]:
    """Write a product with Ptychodus and read it beside patterns; let Ptychodus read what `export` writes."""
    api = {
        name: others(f"ptychodus.api.{name}")
        for name in ("geometry", "io", "object", "probe", "probe_positions", "product")
    }

    scan, pixel = small_scan(96, 128), api["geometry"].PixelGeometry(width_m=20e-9, height_m=21e-9)
    order = np.random.default_rng(2).permutation(N)
    positions = [
        api["probe_positions"].ProbePosition(int(k), float(scan.positions_m[k, 1]), float(scan.positions_m[k, 0]))
        for k in order
    ]
    product = api["product"].Product(
        metadata=api["product"].ProductMetadata(
            "scan", "", written.DISTANCE_M, written.ENERGY_KEV * 1e3, 0.0, 0.1, 0.0, 0.0
        ),
        probe_positions=api["probe_positions"].ProbePositionSequence(positions),
        probes=api["probe"].ProbeSequence(scan.probe, None, pixel),
        object_=api["object"].Object(np.ones((300, 300), np.complex64), pixel, api["object"].ObjectCenter(0.0, 0.0)),
        losses=[],
    )
    api["io"].save_product(folder / "product.h5", product)
    ours = read(written.write_dp(folder / "dp.h5", scan), positions=folder / "product.h5")
    yield "patterns, joined by their numbers", same(counts_of(ours), scan.counts[np.sort(order)])
    yield "positions", close(ours.positions, scan.positions_m[np.sort(order)])
    yield "probe", same(np.squeeze(np.asarray(ours.probe)), scan.probe)
    yield "size of a pixel", close(ours.geometry.pixel_size_nm, (21.0, 20.0))
    yield "energy", ours.geometry.energy_kev == written.ENERGY_KEV
    export = exported(scan)
    write_product(folder / "export.h5", export)
    theirs = api["io"].load_product(folder / "export.h5")
    geometry = theirs.object_.get_geometry()
    corners = [
        (place.y_px - (side_y - 1) / 2, place.x_px - (side_x - 1) / 2)  # pixels are counted by their middles
        for place in map(geometry.map_coordinates_probe_to_object, theirs.probe_positions)
        for side_y, side_x in [scan.counts.shape[1:]]
    ]
    wanted = patch_corners_px(export.positions_px, scan.counts.shape[1:], export.origin_px)
    yield "it reads an export: probe", same(np.squeeze(theirs.probes.get_array()), scan.probe)
    yield "it reads an export: patches of the object", bool(np.abs(np.asarray(corners) - wanted).max() <= 0.5 + 1e-6)
    yield "it reads an export: energy", theirs.metadata.photon_energy_eV == export.energy_ev


def exported(scan: Any) -> ReconstructionToWrite:
    """A reconstruction as `export --reconstruction` writes one, with pixels of two sides and a frame off the origin."""
    positions_px = scan.positions_m / np.array([21e-9, 20e-9])
    shape, origin = object_frame(positions_px, scan.counts.shape[1:])
    return ReconstructionToWrite(
        name="scan",
        object_recon=np.ones((1, *shape), np.complex64),
        origin_px=origin,
        probe=scan.probe[None, None],
        positions_px=positions_px,
        scan_index=np.arange(N),
        loss=np.array([0.5]),
        pixel_size_m=(21e-9, 20e-9),
        energy_ev=written.ENERGY_KEV * 1e3,
        facts={},
    )


CHECKS: dict[str, tuple[str, Callable[[Path], Iterator[tuple[str, bool]]]]] = {
    "Merlin .mib": ("rosettasciio", check_merlin),
    "EMPAD .raw": ("rosettasciio", check_empad),
    "py4DSTEM .h5": ("emdfile", check_py4dstem),
    "PtyLab .hdf5": ("ptylab", check_ptylab),
    "CXI": ("cdtools-py", check_cxi),
    "Ptychodus product": ("ptychodus", check_ptychodus),
}


def main() -> int:
    """Print a line for each thing that is compared; gives the number of differences."""
    n_differ = 0
    for name, (package, check) in CHECKS.items():
        with tempfile.TemporaryDirectory() as folder:
            for what, agrees in check(Path(folder)):
                print(f"{name}, {package} {version(package)}: {what}: {'agree' if agrees else 'DIFFER'}", flush=True)
                n_differ += not agrees
    return n_differ


if __name__ == "__main__":
    sys.exit(min(main(), 1))
