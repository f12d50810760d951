"""NumPy's arrays begin at addresses of a test's choice, where a process leaves it to chance."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

# A cache line, and what the widest vector instructions want to be aligned to.
LINE_BYTES = 64
# PyDataMem_SetHandler in the table of NumPy's C interface, and the name of what it takes: NumPy, enhancement 49.
SET_HANDLER, CAPSULE = 304, b"mem_handler"
ADDRESS, SIZE = ctypes.c_void_p, ctypes.c_size_t
Functions = dict[str, Callable[..., Any]]


class Handler(ctypes.Structure):
    """PyDataMem_Handler, version 1."""

    _fields_ = (
        ("name", ctypes.c_char * 127),
        ("version", ctypes.c_uint8),
        ("context", ADDRESS),
        ("malloc", ctypes.CFUNCTYPE(ADDRESS, ADDRESS, SIZE)),
        ("calloc", ctypes.CFUNCTYPE(ADDRESS, ADDRESS, SIZE, SIZE)),
        ("realloc", ctypes.CFUNCTYPE(ADDRESS, ADDRESS, ADDRESS, SIZE)),
        ("free", ctypes.CFUNCTYPE(None, ADDRESS, ADDRESS, SIZE)),
    )


@contextmanager
def arrays_beginning_at(offset_bytes: int) -> Iterator[None]:
    """Let each new array of this thread begin `offset_bytes`, a multiple of 16, after a multiple of 64."""
    set_handler, capsule = _set_handler(), _capsule(_functions(offset_bytes))
    before = set_handler(capsule)
    try:
        yield
    finally:
        set_handler(before)


def _functions(offset_bytes: int) -> Functions:
    """Make functions that give and take memory; `kept` has it by its address, as one may outlive this module."""
    kept: dict[int, tuple[ctypes.Array[ctypes.c_char], int]] = {}
    new, where, move = ctypes.create_string_buffer, ctypes.addressof, ctypes.memmove

    def calloc(_: int, n: int, size: int) -> int:
        memory = new(n * size + 2 * LINE_BYTES)
        address = where(memory) + (-where(memory)) % LINE_BYTES + offset_bytes
        kept[address] = memory, n * size
        return address

    def realloc(_: int, address: int | None, size: int) -> int:
        found = calloc(0, 1, size)
        if address is not None:
            move(found, address, min(size, kept.pop(address)[1]))
        return found

    return {
        "malloc": lambda _, size: calloc(0, 1, size),
        "calloc": calloc,
        "realloc": realloc,
        "free": lambda _, address, size: kept.pop(address, None) and None,
    }


def _capsule(functions: Functions) -> object:
    """Wrap a handler of the functions as NumPy wants it."""
    types = dict(Handler._fields_)
    handler = Handler(name=b"shifted", version=1, **{name: types[name](of) for name, of in functions.items()})
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(handler))  # the last array may go with the process
    new = ctypes.PYFUNCTYPE(ctypes.py_object, ADDRESS, ctypes.c_char_p, ADDRESS)(("PyCapsule_New", ctypes.pythonapi))
    capsule: object = new(ctypes.addressof(handler), CAPSULE, None)
    return capsule


def _set_handler() -> Callable[[object], object]:
    """Find NumPy's function that takes a handler and gives the one of before."""
    pointer = ctypes.PYFUNCTYPE(ADDRESS, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", ctypes.pythonapi))
    table = ctypes.cast(pointer(np._core._multiarray_umath._ARRAY_API, None), ctypes.POINTER(ADDRESS))
    return ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[SET_HANDLER])
