"""What comparing a cell with its reference costs: seconds of one core, by the size of the object.

    python scripts/accuracy/references.py [--json FILE]

Smooth random objects and a Gaussian probe of 128 px on a raster; the comparison is that which a run of a measured scan
makes at its end, one cell after the other. The numbers of docs/reference/measured.md come from here.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from fly64dask.metrics import ReferenceObject, measure_with_reference, reference_in_area
from fly64dask.scan import illuminated_area, illumination_map, object_frame

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from measuring import machine, rows_table, tell

SIDE_PX, STEP_PX, WIDTH_PX = 128, 16.0, 12.0
SPANS_PX = (330, 1330)


def measure(span_px: int) -> dict[str, float]:
    """Compare two objects over a field of so many px."""
    distance = np.arange(SIDE_PX) - SIDE_PX // 2
    profile = np.exp(-((distance / (2 * WIDTH_PX)) ** 2))
    probe = np.outer(profile, profile).astype(np.complex64)
    steps = np.arange(0.0, span_px, STEP_PX)
    positions_px = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    shape, origin = object_frame(positions_px, (SIDE_PX, SIDE_PX))
    rng = np.random.default_rng(0)
    image = np.exp(2.5j * gaussian_filter(rng.normal(size=shape), 2)).astype(np.complex64)
    noisy = (image * np.exp(0.05j * rng.normal(size=shape))).astype(np.complex64)
    before = time.process_time()
    lit = illuminated_area(illumination_map(probe, positions_px, shape, origin))
    reference = ReferenceObject(name="reference", image=image, origin_px=origin, trusted=lit, sha256="")
    measure_with_reference("reference", reference_in_area(reference, lit, origin, pixel_nm=None), noisy)
    return {"rows_px": shape[0], "columns_px": shape[1], "cpu_s": time.process_time() - before}


def main() -> None:
    """Print what each size takes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures there too")
    json_file = parser.parse_args().json
    facts, rows = machine(), [measure(span) for span in SPANS_PX]
    tell(facts, {"rows": rows}, rows_table(rows), [], json_file)


if __name__ == "__main__":
    main()
