"""Why something could not be done, as a value: any exception becomes one in a single place."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from fly64dask.base.errors import NO_ROOM, FailureKind, NoRoomError, describe, failure_kind

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why something could not be done: a named kind and a message for a person.

    `room_bytes` is the disk space with which it would succeed; 0 if space is not the reason.
    """

    kind: FailureKind
    message: str
    room_bytes: int = 0


def result_or_failure(call: Callable[[], T], *, what: str) -> T | Failure:
    """Call a function and turn any exception into a named failure; the only place that catches every exception.

    Parameters
    ----------
    call : callable
        The function, without arguments.
    what : str
        What it does, for the log.

    Returns
    -------
    object or Failure
        What the function returned, or why it could not.
    """
    try:
        return call()
    except Exception as error:
        kind = failure_kind(error)
        log.warning("%s state=failed kind=%s error=%s", what, kind, describe(error))
        log.debug("%s", traceback.format_exc())
        return Failure(kind=kind, message=describe(error), room_bytes=_room_bytes(error))


def _room_bytes(error: BaseException) -> int:
    if isinstance(error, NoRoomError):
        return error.n_bytes
    return NoRoomError.n_bytes if isinstance(error, OSError) and error.errno in NO_ROOM else 0
