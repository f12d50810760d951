"""Prints on terminals and pipes of any encoding: what theirs does not have is written with plain characters."""

from __future__ import annotations

import codecs
import io
import sys

# A sign must not get lost: a completed cell would look like a failed one, a gap between beams like an overlap.
PLAIN = {
    **{"✔": "+", "✘": "x", "·": ".", "▶": ">", "…": "...", "○": "o", "−": "-", "–": "-", "±": "+-", "≈": "~"},
    **{"≥": ">=", "≤": "<=", "≠": "!=", "²": "^2", "µ": "u", "†": "+", "‖": "||"},
}


def print_in_any_encoding() -> None:
    """Have standard output and standard error write plain characters for those that their encoding lacks."""
    codecs.register_error("fly64dask", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="fly64dask")


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError), "of streams that are written"
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN.get(character, "?") for character in lacking), error.end
