"""What is sent through the pipe between a process and the child that a fork server made for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildOrders:
    """The orders of one call: all that a child is ever sent.

    `call` is a pickled function, read after the import path has been taken on. It is called with a function that
    reports an epoch; a child that it raises in leaves.
    """

    log_file: str
    environment: dict[str, str]
    import_path: list[str]
    call: bytes


@dataclass(frozen=True, slots=True)
class Begun:
    """A child has read its orders: what becomes of it from now on is the doing of their call."""


@dataclass(frozen=True, slots=True)
class Reported:
    """A child has done one more epoch."""

    epoch: int
    loss: float


@dataclass(frozen=True, slots=True)
class Returned(Generic[T]):
    """A child's function has returned: the last thing that a child sends of a call, whose log it has closed."""

    value: T
