"""Study TOML text -> `Study`, or every fault in it."""

from __future__ import annotations

from fly64dask.study import Study
from fly64dask.toml_text import parse_toml


def parse_study(text: str, *, origin: str) -> Study:
    """Read a study from TOML text.

    Parameters
    ----------
    text : str
        The file's content.
    origin : str
        The file's name, for messages.

    Returns
    -------
    Study
        The checked study.

    Raises
    ------
    InputError
        Naming every wrong key with its value and a remedy.
    """
    return parse_toml(text, Study, what="study", origin=origin, keys="`fly64dask schema`")
