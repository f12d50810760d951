"""What is sent through the pipe between a process and the child that a fork server made for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildOrders:
    """The orders of a new child: the first and only message that it is sent.

    `call` is a pickled function of the child's end of the pipe, which is read after the import path has been taken on.
    """

    log_file: str
    environment: dict[str, str]
    import_path: list[str]
    call: bytes


@dataclass(frozen=True, slots=True)
class Reported:
    """A child has done one more epoch."""

    epoch: int
    loss: float


@dataclass(frozen=True, slots=True)
class Returned(Generic[T]):
    """A child's function has returned: the last thing that a child sends."""

    value: T
