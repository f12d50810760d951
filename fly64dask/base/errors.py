"""Named kinds of failure, and errors whose message says what was found, what was needed and what to do."""

from __future__ import annotations

import errno
from enum import StrEnum

from fly64dask.base.extras import how_to_install

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})  # now, but perhaps later
NO_SPACE = NO_ROOM | {errno.EFBIG}
NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
NO_RIGHT = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
BAD_DEVICE = frozenset({errno.EIO})
NO_PLACE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP})


class FailureKind(StrEnum):
    """Why a cell has no reconstruction. `completed` is a state, not a kind."""

    BAD_INPUT = "bad_input"
    CRASHED = "crashed"
    DEGENERATE_SCAN = "degenerate_scan"
    GPU_MISSING = "gpu_missing"
    INTERRUPTED = "interrupted"
    NOT_FINITE = "not_finite"
    NOT_SELECTABLE = "not_selectable"
    OUT_OF_MEMORY = "out_of_memory"
    SINGULAR_MATRIX = "singular_matrix"
    STORAGE_FAILED = "storage_failed"
    TIMED_OUT = "timed_out"
    WORKER_LOST = "worker_lost"


class Fly64Error(Exception):
    """Base of every error this package raises on purpose.

    Parameters
    ----------
    message : str
        What was being done, what was found and what was needed, with units.
    remedy : str
        What the reader can do about it.

    Notes
    -----
    Both may quote names from a foreign file, so control characters that a terminal would obey are escaped here.
    """

    kind = FailureKind.CRASHED

    def __init__(self, message: str, *, remedy: str) -> None:
        self.message = printable(message)
        self.remedy = printable(remedy)
        super().__init__(f"{self.message}; {self.remedy}" if remedy else self.message)

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are rebuilt from positional arguments alone when they cross a process.
        return (_rebuild, (type(self), self.message, self.remedy), {"kind": self.kind})


def printable(text: str) -> str:
    """Escape control, format and surrogate characters of a text as Python does; newlines stay."""
    return "".join(
        mark if mark.isprintable() or mark == "\n" else mark.encode("unicode_escape").decode("ascii") for mark in text
    )


def _rebuild(cls: type[Fly64Error], message: str, remedy: str) -> Fly64Error:
    return cls(message, remedy=remedy)


class InputError(Fly64Error):
    """A study, file, store or option that cannot be used as it stands."""

    kind = FailureKind.BAD_INPUT


class IntegrityError(Fly64Error):
    """Stored bytes are not the bytes that were written."""

    kind = FailureKind.BAD_INPUT


class DegenerateScanError(Fly64Error):
    """Kept scan positions span less than one pixel on an axis."""

    kind = FailureKind.DEGENERATE_SCAN


class NotSelectableError(Fly64Error):
    """No selection strategy keeps enough exposures for a view."""

    kind = FailureKind.NOT_SELECTABLE


class NotFiniteError(Fly64Error):
    """A loss, object or probe holds NaN or infinity."""

    kind = FailureKind.NOT_FINITE


class GpuMissingError(Fly64Error):
    """A GPU was asked for and none can be used."""

    kind = FailureKind.GPU_MISSING


class StorageError(Fly64Error):
    """The operating system refuses to store something: no space, no permission, no file descriptor, a failing disk."""

    kind = FailureKind.STORAGE_FAILED


class NoRoomError(StorageError):
    """The disk has no room for so many bytes now; the same call can succeed once there is room."""

    n_bytes = 2**20  # of a record and its log, generously


class AbandonedError(Fly64Error):
    """A cell's worker has lost its scheduler: nobody waits for the cell here, and another worker may run it."""

    kind = FailureKind.INTERRUPTED


class NoReconstructionError(Fly64Error):
    """A cell has no reconstruction to read: it failed, was skipped, or has not run.

    Parameters
    ----------
    message : str
        Which cell, and why it has none.
    remedy : str
        What the reader can do about it.
    kind : FailureKind
        How the cell failed; `bad_input` if it has not run.
    """

    kind = FailureKind.BAD_INPUT

    def __init__(self, message: str, *, remedy: str = "", kind: FailureKind = FailureKind.BAD_INPUT) -> None:
        super().__init__(message, remedy=remedy)
        self.kind = kind


class ResourceError(Fly64Error):
    """The cluster cannot run the study: no worker offers what its cells need."""


def failure_kind(error: BaseException) -> FailureKind:
    """Decide the kind of any exception; the only place that does.

    Parameters
    ----------
    error : BaseException
        What was raised while a cell ran.

    Returns
    -------
    FailureKind
        The kind that the record and the manifest carry.

    Notes
    -----
    torch is not imported here. Its error classes are recognised by name, so that a scheduler without torch can name a
    worker's failure.
    """
    if isinstance(error, Fly64Error):
        return error.kind
    name, text = type(error).__name__, str(error).lower()
    if isinstance(error, MemoryError) or name == "OutOfMemoryError" or "out of memory" in text:
        return FailureKind.OUT_OF_MEMORY
    if name in {"LinAlgError", "_LinAlgError"} or "singular" in text:
        return FailureKind.SINGULAR_MATRIX
    if isinstance(error, OSError) and error.errno in NO_SPACE | NO_DESCRIPTORS | NO_RIGHT | BAD_DEVICE:
        return FailureKind.STORAGE_FAILED
    if name == "KilledWorker":
        return FailureKind.WORKER_LOST
    return FailureKind.CRASHED


# What to do about an exception of another library; those of this package carry their own remedy.
REMEDIES = {
    FailureKind.CRASHED: "read the cell's ptychi.log; if it comes again, report it as a defect",
    FailureKind.OUT_OF_MEMORY: "lower batch_size in the recipe, use fewer workers, or a machine with more memory",
    FailureKind.SINGULAR_MATRIX: "the scan does not determine the probe: lower the spacing threshold or use "
    "`fly64dask rerun --remedy guarded`",
    FailureKind.STORAGE_FAILED: "make space, rights or descriptors available and run again",
    FailureKind.WORKER_LOST: "check the workers' memory and logs, then run again",
}


def describe(error: BaseException) -> str:
    """Say in one line what was found and what to do about it.

    Parameters
    ----------
    error : BaseException
        What was raised while a cell ran.

    Returns
    -------
    str
        The message of an error of this package; for a missing optional library, how to install it; for any other error,
        its type and message with the remedy for its kind.
    """
    if isinstance(error, Fly64Error):
        return str(error)
    missing = how_to_install(error) if isinstance(error, ModuleNotFoundError) else None
    if missing is not None:
        return missing
    description = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return printable(f"{description}; {REMEDIES[failure_kind(error)]}")
