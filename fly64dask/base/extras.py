"""The optional libraries, which the extras of this package install, and how to install a missing one."""

from __future__ import annotations

import importlib.metadata
import re

# What each extra for users adds; `run` is a part of `engine`, and of no use without it.
EXTRAS = {
    "engine": "runs cells",
    "ingest": "reads and writes other programs' files",
    "notebook": "tables, arrays and figures in Python",
    "objects": "runs at an object store",
}
# Libraries whose import name is not the name that pip installs.
INSTALLED_BY = {"pynvml": "nvidia-ml-py"}


def how_to_install(error: ModuleNotFoundError) -> str | None:
    """Say which library is missing and how to install it.

    Parameters
    ----------
    error : ModuleNotFoundError
        Raised by its import.

    Returns
    -------
    str or None
        A sentence for a person; None if the module belongs to no extra of this package, so that it is missing for
        another reason.
    """
    module = (error.name or "").partition(".")[0]
    library = INSTALLED_BY.get(module, module).replace("_", "-")
    asking = {
        found[2]
        for requirement in importlib.metadata.requires("fly64dask") or ()
        if (found := re.match(r"([\w.-]+).*extra == ['\"](\w+)['\"]", requirement))
        and found[1].replace("_", "-").lower() == library
    }
    ways = [f"'fly64dask[{extra}]' ({adds})" for extra, adds in EXTRAS.items() if extra in asking]
    return f"{library} is not installed, which this needs; pip install {' or '.join(ways)}" if ways else None
