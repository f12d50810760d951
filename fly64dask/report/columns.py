"""Manifest rows -> flat columns with labels and units, CSV and Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from fly64dask.base import Frozen

Better = Literal["lower", "higher"] | None
# Records of a row whose numbers the report maps; all that they hold, also what is added to them later.
MAPPED_RECORDS = ("metrics", "half_sets", "stopping", "identifiability")
# Numbers of the row itself that are worth a map.
MAPPED_FIELDS = ("n_kept", "image_overlap", "group_overlap", "n_epochs", "final_loss", "seconds")


@dataclass(frozen=True, slots=True)
class Quantity:
    """How a column's number is called, its unit, and which way is better."""

    label: str
    unit: str = ""
    better: Better = None


_CROSSING: dict[str, tuple[str, str, Better]] = {
    "resolution_px": ("resolution (half a period)", "px", "lower"),
    "frequency_per_px": ("frequency", "cycles/px", "higher"),
    "shell": ("ring", "", "higher"),
}
# Label, unit (None: the image's own), which way is better.
_IMAGE: dict[str, tuple[str, str | None, Better]] = {
    "rmse": ("error, root mean square", None, "lower"),
    "mae": ("error, mean absolute", None, "lower"),
    "psnr_db": ("PSNR", "dB", "higher"),
    "ssim": ("SSIM", "", "higher"),
    "ms_ssim": ("MS-SSIM", "", "higher"),
    "ms_ssim_levels": ("MS-SSIM, levels", "", None),
    "peak": ("range of the truth", None, None),
}


def _known_metrics() -> Iterator[tuple[str, Quantity]]:
    """Quantities of the metrics against the truth, the flat object's last."""
    yield "metrics.phase_rmse_rad", Quantity("phase error against the truth", "rad", "lower")
    yield "metrics.flat_phase_rmse_rad", Quantity("phase error of a flat object", "rad")
    for record, whose in (("metrics", ""), ("metrics.flat", "flat object: ")):
        for part, unit in (("phase", "rad"), ("amplitude", "transmission")):
            for name, (label, own_unit, better) in _IMAGE.items():
                shown = unit if own_unit is None else own_unit
                yield f"{record}.{part}.{name}", Quantity(f"{whose}{part} {label}", shown, None if whose else better)
        for criterion, words in (("half_bit", "half a bit"), ("half", "0.5")):
            for name, (label, unit, better) in _CROSSING.items():
                said = f"{whose}ring correlation with the truth at {words}: {label}"
                yield f"{record}.frc.{criterion}.{name}", Quantity(said, unit, None if whose else better)
    yield "metrics.n_pixels", Quantity("compared pixels", "px")


def _known_halves() -> Iterator[tuple[str, Quantity]]:
    """Quantities of the agreement between half sets."""
    criteria = {"half_bit": "half a bit", "half": "0.5 of full sets", "against_truth": "0.5 with the truth, expected"}
    for criterion, words in criteria.items():
        for name, (label, unit, better) in _CROSSING.items():
            yield f"half_sets.{criterion}.{name}", Quantity(f"half sets at {words}: {label}", unit, better)


KNOWN = {
    **dict(_known_metrics()),
    **dict(_known_halves()),
    "stopping.best_epoch": Quantity("epoch that was kept"),
    "stopping.n_epochs_run": Quantity("epochs that were run"),
    "identifiability.n_intensities": Quantity("measured intensities"),
    "identifiability.n_lit_intensities": Quantity("intensities expected to hold a photon"),
    "identifiability.n_unknowns": Quantity("unknowns"),
    "identifiability.intensities_per_unknown": Quantity("intensities per unknown", "", "higher"),
    "identifiability.lit_intensities_per_unknown": Quantity("lit intensities per unknown", "", "higher"),
    "identifiability.photons_per_unknown": Quantity("photons per unknown", "photons", "higher"),
    "identifiability.footprint_px2": Quantity("footprint of the probe", "px²"),
    "identifiability.covered_once_px2": Quantity("area covered at least once", "px²"),
    "identifiability.covered_twice_px2": Quantity("area covered at least twice", "px²"),
    "identifiability.covered_thrice_px2": Quantity("area covered at least three times", "px²"),
    "identifiability.covered_twice_fraction": Quantity("fraction covered at least twice", "", "higher"),
    "identifiability.mean_coverage": Quantity("mean number of visits", "", "higher"),
    "n_kept": Quantity("kept exposures"),
    "image_overlap": Quantity("overlap with the nearest neighbours", "", "higher"),
    "group_overlap": Quantity("overlap with all neighbours", "", "higher"),
    "n_epochs": Quantity("epochs"),
    "final_loss": Quantity("last loss (the engine's own; does not measure quality)", "engine"),
    "seconds": Quantity("time taken", "s"),
}
# What the project's names end in, longest first.
SUFFIX_UNITS = {
    "_cycles_per_px": "cycles/px",
    "_per_px": "1/px",
    "_photons": "photons",
    "_bytes": "bytes",
    "_px2": "px²",
    "_rad": "rad",
    "_px": "px",
    "_db": "dB",
    "_m": "m",
    "_s": "s",
}


def quantity_of(column: str) -> Quantity:
    """Say what a column holds.

    Parameters
    ----------
    column : str
        Dotted name.

    Returns
    -------
    Quantity
        One that is not known is called by its own name, with the unit that the name ends in.
    """
    if column in KNOWN:
        return KNOWN[column]
    unit = next((unit for suffix, unit in SUFFIX_UNITS.items() if column.endswith(suffix)), "")
    record, _, name = column.rpartition(".")
    label = name.removesuffix(next((s for s in SUFFIX_UNITS if name.endswith(s)), "")).replace("_", " ")
    whose = record.removeprefix("metrics").lstrip(".").replace("_", " ").replace(".", " ")
    return Quantity(f"{whose}: {label}" if whose else label, unit)


def in_order(columns: Iterable[str]) -> list[str]:
    """Sort columns as a reader wants them: what was measured of the result first, what it took last."""
    records = [f"{record}." for record in MAPPED_RECORDS]
    known = {column: place for place, column in enumerate(KNOWN)}

    def place(column: str) -> tuple[int, int]:
        record = next((i for i, prefix in enumerate(records) if column.startswith(prefix)), len(records))
        return record, known.get(column, len(known))

    return sorted(dict.fromkeys(columns), key=place)


def flat_row(row: Frozen) -> dict[str, Any]:
    """Spread a row over columns: nested records by dotted names, lists as JSON, without what it does not know."""
    return dict(_flat(row.model_dump(mode="json", exclude_none=True)))


def mapped_numbers(flat: Mapping[str, Any]) -> dict[str, float]:
    """Take the numbers of a flat row that have a map; truth values are none."""
    wanted = tuple(f"{record}." for record in MAPPED_RECORDS)
    return {
        column: value
        for column, value in flat.items()
        if (column in MAPPED_FIELDS or column.startswith(wanted))
        and isinstance(value, int | float)
        and not isinstance(value, bool)
    }


def columns_of(flat_rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of all columns, in the order in which the rows bring them up."""
    return list(dict.fromkeys(column for flat in flat_rows for column in flat))


def csv_bytes(flat_rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Write rows as CSV in UTF-8: a head line, floats that read back as they were, nothing where nothing is known."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns_of(flat_rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat_rows)
    return stream.getvalue().encode()


def parquet_bytes(flat_rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Write rows as Parquet: null where nothing is known, text where numbers and words share a column."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = {column: _one_type([flat.get(column) for flat in flat_rows]) for column in columns_of(flat_rows)}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(table), sink, compression="zstd")
    return bytes(sink.getvalue())


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield f"{prefix}{name}", json.dumps(value)
        else:
            yield f"{prefix}{name}", value


def _one_type(values: list[Any]) -> list[Any]:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [value if value is None else float(value) for value in values]
    if len(kinds) > 1:
        return [value if value is None else str(value) for value in values]
    return values
