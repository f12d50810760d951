"""Makes the patterns of a scan from a file's: transposed, centred, cut out, cropped and binned, in this order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fly64dask.base import InputError
from fly64dask.datasets.ingest.options import IngestOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

Shape = tuple[int, int]
Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The steps by which a stored pattern (H, W) becomes a pattern of the scan.

    `whole_px` is its shape after a transposition, and `window` the part of it that is kept. If `is_at_corner`, the zero
    frequency is first moved to the centre.
    """

    transpose: bool
    is_at_corner: bool
    whole_px: Shape
    window: tuple[slice, slice]
    bin: int

    @property
    def cut_px(self) -> Shape:
        """(H, W) of the kept part, before pixels are summed."""
        rows, columns = self.window
        return rows.stop - rows.start, columns.stop - columns.start

    @property
    def shape_px(self) -> Shape:
        """(H, W) of a pattern of the scan."""
        height, width = self.cut_px
        return height // self.bin, width // self.bin


def make_frame(stored_px: Shape, options: IngestOptions, *, is_at_corner: bool, origin: str) -> Frame:
    """Resolve the options that cut the patterns of a file.

    Parameters
    ----------
    stored_px : (int, int)
        (H, W) of a pattern in the file.
    options : IngestOptions
        The options.
    is_at_corner : bool
        Whether the zero frequency of the file's patterns is at index (0, 0).
    origin : str
        What is being done, for messages.

    Raises
    ------
    InputError
        If the requested part is empty, is not in the pattern, or cannot be binned evenly.
    """
    whole = (stored_px[1], stored_px[0]) if options.transpose else stored_px
    (top, bottom), (left, right) = options.roi or ((0, whole[0]), (0, whole[1]))
    if not (0 <= top < bottom <= whole[0] and 0 <= left < right <= whole[1]):
        raise InputError(
            f"{origin}: --roi {top}:{bottom},{left}:{right} of patterns of {whole[0]} x {whole[1]} px",
            remedy="give rows and columns that are in the pattern, FIRST:AFTER_LAST,FIRST:AFTER_LAST",
        )
    height, width = options.crop or (bottom - top, right - left)
    if not (0 < height <= bottom - top and 0 < width <= right - left):
        raise InputError(
            f"{origin}: --crop {height},{width} of patterns of {bottom - top} x {right - left} px",
            remedy="give a size that is not larger",
        )
    # The zero frequency stays at index size // 2.
    top += (bottom - top) // 2 - height // 2
    left += (right - left) // 2 - width // 2
    side = options.bin
    if side < 1 or height % side or width % side:
        raise InputError(
            f"{origin}: --bin {side} of patterns of {height} x {width} px, which have no whole number of such squares",
            remedy=f"give --crop {height - height % side},{width - width % side} as well, or another --bin",
        )
    window = (slice(top, top + height), slice(left, left + width))
    return Frame(transpose=options.transpose, is_at_corner=is_at_corner, whole_px=whole, window=window, bin=side)


def cut(frame: Frame, patterns: NDArray[Value]) -> NDArray[Value]:
    """Bring patterns (..., H, W) of a file into the scan's orientation and cut them, without summing pixels."""
    turned = np.swapaxes(patterns, -1, -2) if frame.transpose else patterns
    if frame.is_at_corner:
        turned = np.fft.fftshift(turned, axes=(-2, -1))
    return turned[..., frame.window[0], frame.window[1]]


def sum_squares(frame: Frame, counts: NDArray[np.number]) -> NDArray[np.number]:
    """Sum the counts (k, H, W) of each square of pixels, in 64 bits; without binning they are returned unchanged."""
    if frame.bin == 1:
        return counts
    height, width = frame.shape_px
    squares = counts.reshape(len(counts), height, frame.bin, width, frame.bin)
    return np.asarray(squares.sum(axis=(2, 4), dtype=np.int64))


def cut_mask(frame: Frame, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cut the mask of valid pixels (H, W) of a file to the kept part, without binning."""
    return np.ascontiguousarray(cut(frame, valid))


def bin_mask(frame: Frame, valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Bin the valid pixels of the kept part: a square is valid if all of its pixels are."""
    height, width = frame.shape_px
    return np.asarray(valid.reshape(height, frame.bin, width, frame.bin).all(axis=(1, 3)))


def pixel_ratio(frame: Frame) -> tuple[float, float]:
    """Compute the ratio of the scan's pixel of the object to that of the file's whole frame, (y, x).

    A pixel of the object is lambda z / (N p): fewer pixels of the same pitch make it larger, whereas binning leaves N p
    unchanged.
    """
    return frame.whole_px[0] / frame.cut_px[0], frame.whole_px[1] / frame.cut_px[1]


def fit_probe(frame: Frame, probe: NDArray[np.complexfloating]) -> NDArray[np.complex64]:
    """Convert a probe (..., H, W) in the whole frame's pixels to the scan's pixels and frame size.

    Cutting patterns makes the object's pixels larger, so the spectrum is cut and the field stays. Binning makes the
    field smaller, so the middle of the probe stays.
    """
    leading = probe.shape[:-2]
    flat = probe.reshape(-1, *probe.shape[-2:])
    if frame.cut_px != flat.shape[-2:]:
        flat = np.stack([_on_pixels(plane, frame.cut_px) for plane in flat])
    top, left = (cut // 2 - size // 2 for cut, size in zip(frame.cut_px, frame.shape_px, strict=True))
    height, width = frame.shape_px
    middle = flat[:, top : top + height, left : left + width]
    return np.ascontiguousarray(middle.reshape(*leading, height, width), dtype=np.complex64)


def _on_pixels(probe: NDArray[np.complexfloating], shape_px: Shape) -> NDArray[np.complexfloating]:
    """Cut the spectrum of a probe; its centre stays at index size // 2."""
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(probe), norm="forward"))
    top, left = (size // 2 - kept_spectrum // 2 for size, kept_spectrum in zip(probe.shape, shape_px, strict=True))
    kept_spectrum = np.fft.ifftshift(spectrum[top : top + shape_px[0], left : left + shape_px[1]])
    return np.asarray(np.fft.fftshift(np.fft.ifft2(kept_spectrum, norm="forward")))
