"""The command `probe`: shows the starting probe of an ingested scan as numbers and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fly64dask.base import counted
from fly64dask.cli.options import example, file_option, from_here, json_option, print_json, without_links

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# From dark to bright; a character of a terminal is about twice as high as wide.
SHADES, N_COLUMNS = " .:-=+*#%@", 64


@click.command(epilog=example("fly64dask probe runs/scan.zarr --png probe.png"))
@click.argument("store", type=click.Path(exists=True, file_okay=False, path_type=Path))
@file_option("--png", help_text="Also draw the probe as a picture, in this file.")
@json_option
def probe(store: Path, out: Path | None, as_json: bool) -> None:
    """Show the starting probe of an ingested STORE.

    The output has its width, the light of its modes, and a drawing of its amplitude.
    """
    from fly64dask.store import ExposureAttributes, open_group

    group = open_group(without_links(store), ExposureAttributes)
    values = group.read("probe_guess")
    numbers = _numbers(values, group.attributes.pixel_size_nm)
    sentences = _sentences(numbers)
    if out is not None:
        _write_png(out, values, f"{store.name}: {sentences[0]}", group.attributes.pixel_size_nm)
    if as_json:
        print_json(numbers)
        return
    click.echo("\n".join([*_picture(values), *sentences, *([f"picture: {from_here(out)}"] if out else [])]))


def _numbers(values: NDArray[np.complex64], pixel_nm: tuple[float, float] | None) -> dict[str, Any]:
    """Measure a probe (n_opr, n_modes, H, W)."""
    import numpy as np

    from fly64dask.base import mean_side_nm
    from fly64dask.scan import probe_diameters
    from fly64dask.simulation import measure_probe_light

    diameters, light = probe_diameters(values[0]), measure_probe_light(values[0, 0])
    powers = np.square(np.abs(values[0].astype(np.complex128))).sum(axis=(1, 2))
    numbers: dict[str, Any] = {
        "n_opr": values.shape[0],
        "shape_px": list(values.shape[-2:]),
        "fwhm_px": diameters.fwhm_px,
        "d90_px": diameters.d90_px,
        "mode_shares": (powers / powers.sum()).tolist(),
        "share_at_rim": light.at_rim,
        "share_beyond_band": light.beyond_band,
    }
    side_nm = mean_side_nm(pixel_nm)
    if side_nm is not None:
        numbers |= {"fwhm_nm": diameters.fwhm_px * side_nm, "d90_nm": diameters.d90_px * side_nm}
    return numbers


def _sentences(numbers: dict[str, Any]) -> list[str]:
    height, width = numbers["shape_px"]
    sizes = [f"{name} {numbers[f'{key}_px']:.3g} px" for name, key in (("FWHM", "fwhm"), ("D90", "d90"))]
    if "d90_nm" in numbers:
        sizes = [f"{text} ({numbers[f'{key}_nm']:.4g} nm)" for text, key in zip(sizes, ("fwhm", "d90"), strict=True)]
    modes = ", ".join(f"{share:.1%}" for share in numbers["mode_shares"])
    return [
        f"{', '.join(sizes)} in {height} x {width} px",
        f"light of its modes {modes}; {counted(numbers['n_opr'], 'OPR mode')}; "
        f"{numbers['share_at_rim']:.2%} at the rim, "
        f"{numbers['share_beyond_band']:.2%} beyond 0.8 of the highest frequency",
    ]


def _picture(values: NDArray[np.complex64]) -> list[str]:
    """Draw the amplitude of all modes in characters."""
    import numpy as np

    amplitude = np.sqrt(np.square(np.abs(values[0].astype(np.complex128))).sum(axis=0))
    height, width = amplitude.shape
    n_columns = min(N_COLUMNS, width)
    n_rows = max(1, round(n_columns * height / width / 2))
    rows = np.arange(n_rows) * height // n_rows
    columns = np.arange(n_columns) * width // n_columns
    brightest = np.maximum.reduceat(np.maximum.reduceat(amplitude, rows, axis=0), columns, axis=1)
    level = np.minimum((brightest / brightest.max() * len(SHADES)).astype(int), len(SHADES) - 1)
    return ["".join(SHADES[shade] for shade in row).rstrip() for row in level]


def _write_png(path: Path, values: NDArray[np.complex64], title: str, pixel_nm: tuple[float, float] | None) -> None:
    from fly64dask.report import draw_probe
    from fly64dask.store import publish_bytes

    figure = draw_probe(values, title, pixel_size_nm=pixel_nm)
    publish_bytes(path, lambda stream: figure.savefig(stream, format="png", dpi=110))
