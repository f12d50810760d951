"""Makes a starting probe in place of that of a file: from the mean pattern, an aperture, a zone plate or a disc."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import InputError
from fly64dask.scan import probe_diameters

if TYPE_CHECKING:
    from numpy.typing import NDArray

FROM_THE_MEAN = "mean"
# A probe focused on a few pixels overlaps with no neighbour. It is defocused until 90 % of its power spans three steps,
# but never more than half of the frame (our choice).
STEPS_ACROSS, MAX_SHARE_OF_FRAME = 3.0, 0.5
HELP = (
    "mean[:DIAMETER_PX], disc:DIAMETER_PX, aperture:SEMI_ANGLE_MRAD,DEFOCUS_NM, "
    "fzp:DIAMETER_UM,OUTERMOST_ZONE_NM,DEFOCUS_UM[,STOP_UM] or FILE[:PATH]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a starting probe is made for: the frame of a scan, its light, step and geometry.

    `mean_pattern` (H, W) float64 photons, with 0 where `valid` (H, W) is False; `pixel_nm` (y, x) and `wavelength_nm`
    if they are known; `step_px`, the median step between exposures.
    """

    mean_pattern: NDArray[np.float64]
    valid: NDArray[np.bool_] | None
    step_px: float | None
    pixel_nm: tuple[float, float] | None
    wavelength_nm: float | None


def parse_probe(text: str) -> tuple[str, tuple[float, ...]] | None:
    """Read the words of --probe; None if they name a file.

    Raises
    ------
    InputError
        If the kind needs another number of values.
    """
    kind, _, rest = text.partition(":")
    n_numbers_allowed = {FROM_THE_MEAN: (0, 1), "disc": (1, 1), "aperture": (2, 2), "fzp": (3, 4)}.get(kind)
    if n_numbers_allowed is None:
        return None
    words = rest.split(",") if rest else []
    numbers = tuple(float(word) for word in words if re.fullmatch(r"-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", word.strip()))
    if len(numbers) != len(words) or not n_numbers_allowed[0] <= len(numbers) <= n_numbers_allowed[1]:
        raise InputError(f"--probe {text}: not the numbers that {kind} needs", remedy=f"give {HELP}")
    return kind, numbers


def make_probe(text: str, around: Surroundings) -> NDArray[np.complex64]:
    """Make a starting probe in the words of --probe, unless they name a file.

    Parameters
    ----------
    text : str
        In the form of `HELP`.
    around : Surroundings
        The scan.

    Returns
    -------
    (1, 1, H, W) complex64
        Centred on index (H // 2, W // 2); sum |P|^2 is the mean photons of an exposure.

    Raises
    ------
    InputError
        If wavelength or pixel size are needed and not known, or the probe does not fit into its frame.
    """
    parsed = parse_probe(text)
    assert parsed is not None, "files are read elsewhere"
    kind, numbers = parsed
    makers: dict[str, Callable[..., NDArray[np.complex128]]] = {
        FROM_THE_MEAN: _from_the_mean,
        "disc": _disc,
        "aperture": _aperture,
        "fzp": _zone_plate,
    }
    probe = makers[kind](around, *numbers)
    power = float(np.square(np.abs(probe)).sum())
    if not power > 0:
        raise InputError(f"--probe {text}: this probe would be dark", remedy="give larger numbers")
    probe *= np.sqrt(float(around.mean_pattern.sum()) / power)
    return np.asarray(probe[None, None], dtype=np.complex64)


def _from_the_mean(around: Surroundings, diameter_px: float | None = None) -> NDArray[np.complex128]:
    """Take the root of the mean pattern as the amplitude behind the lens, defocused until the probe is wide enough."""
    amplitude = np.sqrt(_filled(around.mean_pattern, around.valid))
    focused = _focus(amplitude)
    narrowest = probe_diameters(focused).d90_px
    frame = min(amplitude.shape)
    diameter = diameter_px or max(narrowest, STEPS_ACROSS * (around.step_px or 0.0))
    diameter = min(diameter, MAX_SHARE_OF_FRAME * frame)
    if diameter <= narrowest:
        return focused
    y, x = (np.fft.fftshift(np.fft.fftfreq(size)) for size in amplitude.shape)
    frequency = np.hypot(y[:, None], x)
    # The phase -pi c k^2 moves light of frequency k by c k; the squares of this width and that of the focus add.
    outer = probe_diameters(amplitude.astype(np.complex128)).d90_px / 2 / frame
    curvature = np.sqrt(diameter**2 - narrowest**2) / (2 * outer)
    return _focus(amplitude * np.exp(-1j * np.pi * curvature * frequency**2))


def _disc(around: Surroundings, diameter_px: float) -> NDArray[np.complex128]:
    """Light a disc evenly, with an edge of one pixel."""
    height, width = around.mean_pattern.shape
    distance = np.hypot(*np.ogrid[-(height // 2) : height - height // 2, -(width // 2) : width - width // 2])
    return np.clip(diameter_px / 2 + 0.5 - distance, 0, 1).astype(np.complex128)


def _aperture(around: Surroundings, semi_angle_mrad: float, defocus_nm: float) -> NDArray[np.complex128]:
    """Focus a round aperture of some semi-angle, and propagate to some distance from the focus."""
    wavelength, _ = _known(around, "aperture")
    return _annulus(around, 0.0, 1e-3 * semi_angle_mrad / wavelength, defocus_nm)


def _zone_plate(
    around: Surroundings, diameter_um: float, outermost_nm: float, defocus_um: float, stop_um: float = 0.0
) -> NDArray[np.complex128]:
    """Focus a Fresnel zone plate in its first order: its outermost zone dr bends by lambda / (2 dr)."""
    outer = 1 / (2 * outermost_nm)
    return _annulus(around, outer * stop_um / diameter_um, outer, 1e3 * defocus_um)


def _annulus(around: Surroundings, inner: float, outer: float, defocus_nm: float) -> NDArray[np.complex128]:
    """Focus an evenly illuminated annulus of frequencies, per nm, and propagate it by a distance (Fresnel)."""
    wavelength, pixel_nm = _known(around, "aperture or zone plate")
    shape = around.mean_pattern.shape
    y, x = (np.fft.fftshift(np.fft.fftfreq(size, d=pixel)) for size, pixel in zip(shape, pixel_nm, strict=True))
    width_nm = 2 * outer * wavelength * abs(defocus_nm)
    field_nm = min(size * pixel for size, pixel in zip(shape, pixel_nm, strict=True))
    if width_nm >= field_nm or outer >= min(y[-1], x[-1]):
        raise InputError(
            f"--probe: the beam would be {width_nm:.4g} nm wide with frequencies up to {outer:.4g} per nm, in a frame "
            f"of {field_nm:.4g} nm that holds {min(y[-1], x[-1]):.4g} per nm",
            remedy="give a smaller defocus or angle, or check energy, distance and pitch",
        )
    frequency = np.hypot(y[:, None], x)
    pupil = ((frequency <= outer) & (frequency >= inner)).astype(np.complex128)
    return _focus(pupil * np.exp(-1j * np.pi * wavelength * defocus_nm * frequency**2))


def _known(around: Surroundings, kind: str) -> tuple[float, tuple[float, float]]:
    """Return wavelength and pixel size, nm, which a lens needs."""
    if around.wavelength_nm is None or around.pixel_nm is None:
        raise InputError(
            f"--probe: an {kind} needs the wavelength and the pixel size, which the file does not have",
            remedy="give --energy-kev, --distance-m and --pitch-um, or --probe mean",
        )
    return around.wavelength_nm, around.pixel_nm


def _focus(pupil: NDArray[np.generic]) -> NDArray[np.complex128]:
    """Transform a centred far field to the plane of the object, unitary."""
    return np.asarray(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(pupil), norm="ortho")), dtype=np.complex128)


def _filled(mean_pattern: NDArray[np.float64], valid: NDArray[np.bool_] | None) -> NDArray[np.float64]:
    """Fill masked pixels with the mean of the valid ones around them, from a few pixels to a whole gap."""
    if valid is None or valid.all():
        return mean_pattern
    from scipy.ndimage import uniform_filter  # 0.3 s

    filled, is_known = mean_pattern.copy(), valid.copy()
    side = 5
    while not is_known.all() and side < 2 * max(valid.shape):
        weight = uniform_filter(is_known.astype(np.float64), side, mode="constant")
        total = uniform_filter(np.where(is_known, filled, 0.0), side, mode="constant")
        reached = ~is_known & (weight > 1e-9)
        # The filter's running sums leave rounding errors after a bright pixel, which are below 0 where there is no
        # light.
        filled[reached] = np.maximum(total[reached], 0.0) / weight[reached]
        is_known |= reached
        side *= 2
    return filled
