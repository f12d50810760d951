"""The built-in objects: complex transmissions of any shape, made from a seed, that absorb and never amplify."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.study import ObjectKind

    ComplexArray = NDArray[np.complex64]
    FloatArray = NDArray[np.float64]

SPOKES = 36
STAR_PHASE_RAD, STAR_ABSORPTION = 0.5, 0.05
PHOTOGRAPH_PHASE_RAD, PHOTOGRAPH_ABSORPTION = 1.0, 0.2
LARGEST_MOVE = 1 / 8  # of a photograph, of its side
NOISE_PHASE_RAD = 0.25


def make_object(
    kind: ObjectKind, shape_px: tuple[int, int], *, seed: int, probe_size_px: int, oversampling: int = 1
) -> ComplexArray:
    """Make a built-in object.

    Parameters
    ----------
    kind : "speckle", "siemens_star", "photographs" or "white_noise"
        What it shows.
    shape_px : (int, int)
        (Y, X) on the detector's grid.
    seed : int
        Seed of what is random in it.
    probe_size_px : int
        Shorter side of the probe's array, by which speckles are scaled.
    oversampling : int
        The object is made on a grid k times as fine.

    Returns
    -------
    (k Y, k X) complex64
        Transmission, |O| <= 1.
    """
    fine_shape = (oversampling * shape_px[0], oversampling * shape_px[1])
    rng = np.random.default_rng(seed)
    match kind:
        case "speckle":
            return speckle(fine_shape, oversampling * probe_size_px, rng=rng)
        case "siemens_star":
            return siemens_star(fine_shape, oversampling, rng=rng)
        case "photographs":
            return photographs(fine_shape, rng=rng)
        case "white_noise":
            return white_noise(fine_shape, rng=rng)


def speckle(shape_px: tuple[int, int], probe_size_px: int, *, rng: np.random.Generator) -> ComplexArray:
    """Make smooth phase with sharp-edged discs and weak absorption.

    Parameters
    ----------
    shape_px : (int, int)
        (Y, X), px.
    probe_size_px : int
        Side of the probe's array; phase varies over 1/6 and 1/24 of it, discs have radii of 1/32 to 1/8.
    rng : numpy.random.Generator
        Source of the object; advanced.

    Notes
    -----
    About 0.3 rad rms, with content at all spatial frequencies. Our choice: the measured fly64 object is not public.
    """
    from scipy import ndimage  # 0.2 s, which workers that simulate nothing need not wait for

    height, width = shape_px
    phase = np.zeros(shape_px)
    for scale_px, weight in ((probe_size_px / 6, 0.22), (probe_size_px / 24, 0.14)):
        field = ndimage.gaussian_filter(rng.standard_normal(shape_px), scale_px, mode="wrap")
        phase += weight * field / field.std()
    absorption = np.zeros(shape_px)
    y, x = np.ogrid[:height, :width]
    n_discs = max(4, int(height * width / probe_size_px**2 * 6))
    for _ in range(n_discs):
        centre_y, centre_x = rng.uniform(0, height), rng.uniform(0, width)
        radius = rng.uniform(probe_size_px / 32, probe_size_px / 8)
        # Only the square around a disc is looked at: small probes have many discs.
        rows = slice(max(0, int(centre_y - radius)), int(centre_y + radius) + 1)
        columns = slice(max(0, int(centre_x - radius)), int(centre_x + radius) + 1)
        inside = (y[rows] - centre_y) ** 2 + (x[:, columns] - centre_x) ** 2 < radius**2
        phase[rows, columns][inside] += rng.uniform(-0.5, 0.5)
        absorption[rows, columns][inside] += rng.uniform(0.0, 0.1)
    return _transmission(phase - phase.mean(), np.minimum(absorption, 0.5))


def siemens_star(shape_px: tuple[int, int], pixel_px: int, *, rng: np.random.Generator) -> ComplexArray:
    """Make a Siemens star: binary spokes around the middle of the field, a phase step that absorbs a little.

    Parameters
    ----------
    shape_px : (int, int)
        (Y, X), px.
    pixel_px : int
        Side of a detector's pixel on this grid. Spokes begin where their period is two of them.
    rng : numpy.random.Generator
        Source of the angle of the first spoke; advanced.

    Notes
    -----
    At radius r the period of n spokes is 2 pi r / n: the radius to which they are told apart is a resolution. 36
    spokes, as on test patterns of X-ray microscopes (our choice), 0.5 rad and 5 % of the amplitude.
    """
    height, width = shape_px
    y, x = np.ogrid[:height, :width]
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    turn = np.arctan2(y, x) + rng.uniform(0, 2 * np.pi / SPOKES)
    is_spoke = (np.floor(turn * SPOKES / np.pi) % 2 == 0) & (2 * np.pi * np.hypot(y, x) / SPOKES >= 2 * pixel_px)
    return _transmission(STAR_PHASE_RAD * is_spoke, STAR_ABSORPTION * is_spoke)


def photographs(shape_px: tuple[int, int], *, rng: np.random.Generator) -> ComplexArray:
    """Make an object of two photographs: a cameraman's absorption and an astronaut's phase.

    Parameters
    ----------
    shape_px : (int, int)
        (Y, X), px. A photograph covers the shorter side; beyond its edges it goes on as its mirror image.
    rng : numpy.random.Generator
        Source of how far each photograph is off the middle, at most an eighth of its side; advanced.

    Notes
    -----
    `skimage.data.camera` and `astronaut` (NASA, public domain; the camera's by Lav Varshney, CC0) are files of
    scikit-image's package: nothing is downloaded. Phases span 1 rad, amplitudes 0.82 to 1.
    """
    from skimage import color, data, transform  # 0.3 s, which other objects need not wait for

    side = min(shape_px)
    images = []
    for photograph in (data.camera() / 255.0, color.rgb2gray(data.astronaut())):
        image = transform.resize(photograph, (side, side), anti_aliasing=True)
        corners = ((side - size) / 2 + side * rng.uniform(-LARGEST_MOVE, LARGEST_MOVE) for size in shape_px)
        rows, columns = (_mirrored(round(corner), size, side) for corner, size in zip(corners, shape_px, strict=True))
        images.append(np.clip(image[np.ix_(rows, columns)], 0, 1))
    brightness, phase = images
    return _transmission(PHOTOGRAPH_PHASE_RAD * (phase - phase.mean()), PHOTOGRAPH_ABSORPTION * (1 - brightness))


def white_noise(shape_px: tuple[int, int], *, rng: np.random.Generator) -> ComplexArray:
    """Make an object whose phase is drawn anew at every pixel, which has all spatial frequencies alike.

    Parameters
    ----------
    shape_px : (int, int)
        (Y, X), px.
    rng : numpy.random.Generator
        Source of the phases; advanced.

    Notes
    -----
    Normal phases of 0.25 rad rms, no absorption. White-noise objects show what a method transfers at each frequency
    (Varnavides et al., 2025).
    """
    return _transmission(NOISE_PHASE_RAD * rng.standard_normal(shape_px), np.zeros(shape_px))


def _mirrored(start: int, size: int, period: int) -> NDArray[np.int64]:
    """Indices of an axis that goes on as its mirror image at both ends."""
    place = (start + np.arange(size)) % (2 * period)
    return np.minimum(place, 2 * period - 1 - place)


def _transmission(phase_rad: FloatArray, absorption: FloatArray) -> ComplexArray:
    """exp(-absorption + i phase)."""
    return np.asarray(np.exp(-absorption + 1j * phase_rad), dtype=np.complex64)
