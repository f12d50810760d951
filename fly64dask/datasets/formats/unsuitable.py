"""Refuse files that no scan can be read from, by what they are and what to do."""

from __future__ import annotations

from typing import NoReturn

from fly64dask.base import InputError
from fly64dask.datasets.formats.containers import SUPPORTED, NamedArrays, listed, text

NAME_DATASETS = (
    "name its datasets, as --patterns NAME --positions-y NAME --positions-x NAME --positions-unit m, where NAME:0 is "
    "the first column of a dataset (docs/how-to/ingest.md)"
)


def refuse_unreadable(file: NamedArrays) -> NoReturn:
    """Refuse a file of named arrays that no reader knows, saying what it is as far as that can be told."""
    names = file.names()
    what, remedy = _what(file, names)
    raise InputError(f"read {file.path}: {what}; it has {listed(names) if names else 'nothing in it'}", remedy=remedy)


def _what(file: NamedArrays, names: list[str]) -> tuple[str, str]:
    for entry in names:
        definition = text(file, f"{entry}/definition") if f"{entry}/definition" in file else ""
        if definition == "NXstxm":
            return (
                "an STXM scan (NXstxm): one number for each position, no diffraction patterns",
                "give a scan whose patterns were recorded",
            )
        if definition:
            return f"a NeXus file of {definition}, which is no ptychography format that is known here", NAME_DATASETS
    if any(name.endswith("/data.pkl") for name in names):
        return "a PyTorch file, whose content is pickled", "pickles run code; save the arrays with numpy.savez"
    if "optimizable_tensors" in names:
        return (
            "a PtyRAD reconstruction, which has no patterns",
            "give the file that the reconstruction was made from",
        )
    reconstruction = [name for name in names if name.lower() in ("object", "objectguess", "probe", "probeguess")]
    if reconstruction:
        return (
            "an object or probe, and no patterns with a name that is known",
            f"{NAME_DATASETS}; if it has no patterns, give their file, and this one as its --probe",
        )
    if file.kind == "NPZ file":
        return (
            f"an NPZ file with no array named diffraction or diff3d, nor those of another known format: {SUPPORTED}",
            ("rename the array that holds the patterns, or " + NAME_DATASETS),
        )
    return f"an {file.kind} of no known layout" if file.kind[0] in "HN" else f"a {file.kind} of no known layout", (
        NAME_DATASETS
    )
