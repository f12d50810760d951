"""Object, probe, scan positions and dose -> photon counts, in batches of bounded memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fly64dask.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.study import Scan

    ComplexArray = NDArray[np.complex64]

BATCH_EXPOSURES = 64  # 64 patterns of 128 x 128 take 8 MB in complex64; larger batches leave the cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What a simulated scan looks at and with.

    `object_truth` is (Y, X) complex64 transmission, `probe` (H, W) complex64 illumination
    centred on index (H // 2, W // 2).
    """

    object_truth: ComplexArray
    probe: ComplexArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Brightness:
    """Noise-free light of a whole scan, in the probe's own units of intensity."""

    mean_total: float
    brightest_pixel: float


def synthetic_pair(object_shape_px: tuple[int, int], probe_shape_px: tuple[int, int], *, seed: int) -> Pair:
    """Make an object and a probe from a seed.

    Parameters
    ----------
    object_shape_px : (int, int)
        (Y, X), px.
    probe_shape_px : (int, int)
        (H, W), px.
    seed : int
        Seed of the object; the probe has no random part.

    Returns
    -------
    Pair

    Notes
    -----
    The object has smooth phase, sharp-edged discs and weak absorption: about 0.3 rad rms, with
    content at all spatial frequencies. The probe is a soft disc of 0.45 N diameter, dark at the
    array's edge, defocused so that its phase turns by 0.5 cycles per px at the rim: that fills
    the detector without aliasing, and LSQML converges several times faster than in focus. Our
    choice: the measured fly64 pair is not public.
    """
    from scipy import ndimage  # 0.2 s, which workers that simulate nothing need not wait for

    rng = np.random.default_rng(seed)
    height, width = object_shape_px
    probe_size = min(probe_shape_px)
    phase = np.zeros(object_shape_px)
    for scale_px, weight in ((probe_size / 6, 0.22), (probe_size / 24, 0.14)):
        field = ndimage.gaussian_filter(rng.standard_normal(object_shape_px), scale_px, mode="wrap")
        phase += weight * field / field.std()
    absorption = np.zeros(object_shape_px)
    y, x = np.ogrid[:height, :width]
    n_discs = max(4, int(height * width / probe_size**2 * 6))
    for _ in range(n_discs):
        centre_y, centre_x = rng.uniform(0, height), rng.uniform(0, width)
        radius = rng.uniform(probe_size / 32, probe_size / 8)
        # Only the square around a disc is looked at: small probes have many discs.
        rows = slice(max(0, int(centre_y - radius)), int(centre_y + radius) + 1)
        columns = slice(max(0, int(centre_x - radius)), int(centre_x + radius) + 1)
        inside = (y[rows] - centre_y) ** 2 + (x[:, columns] - centre_x) ** 2 < radius**2
        phase[rows, columns][inside] += rng.uniform(-0.5, 0.5)
        absorption[rows, columns][inside] += rng.uniform(0.0, 0.1)
    transmission = np.exp(-np.minimum(absorption, 0.5)) * np.exp(1j * (phase - phase.mean()))
    return Pair(object_truth=transmission.astype(np.complex64), probe=_soft_disc(probe_shape_px))


def _soft_disc(shape_px: tuple[int, int]) -> ComplexArray:
    height, width = shape_px
    y, x = np.ogrid[:height, :width]
    rim_px = min(shape_px) * 0.225
    radius = np.hypot(y - height // 2, x - width // 2) / rim_px
    amplitude = np.exp(-np.log(2) * radius**4)  # half amplitude at the rim
    cycles_at_rim = 0.5 * rim_px / 2  # cycles * radius^2 turns by 2 cycles / rim_px per px at the rim
    return np.asarray(amplitude * np.exp(2j * np.pi * cycles_at_rim * radius**2), dtype=np.complex64)


def draw_positions(scan: Scan, *, seed: int) -> NDArray[np.float64]:
    """Draw or list the scan positions.

    Parameters
    ----------
    scan : UniformScan or ListedScan
        The rule.
    seed : int
        Seed of NumPy's legacy generator.

    Returns
    -------
    (n, 2) float64
        Order (y, x), px. A uniform scan draws every x before any y: the fly64 study's order.
    """
    if scan.kind == "listed":
        return np.asarray(scan.positions_px, dtype=np.float64)
    legacy = np.random.RandomState(seed)
    x = legacy.uniform(scan.low_px, scan.high_px, scan.n_exposures)
    y = legacy.uniform(scan.low_px, scan.high_px, scan.n_exposures)
    return np.stack([y, x], axis=1)


def check_coverage(pair: Pair, positions_px: NDArray[np.float64]) -> None:
    """Refuse positions whose patch leaves the object.

    Parameters
    ----------
    pair : Pair
        Object and probe.
    positions_px : (n, 2) float64
        Patch centres at index N / 2, order (y, x), px.

    Raises
    ------
    InputError
        Naming the first such position and the allowed range.
    """
    shape = np.asarray(pair.object_truth.shape)
    size = np.asarray(pair.probe.shape)
    low, high = size // 2, shape - size + size // 2
    outside = ((positions_px < low) | (positions_px > high)).any(axis=1)
    if outside.any():
        bad = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"simulate: position {bad} (y, x) = {positions_px[bad].tolist()} px puts a probe of "
            f"{tuple(size.tolist())} px outside an object of {tuple(shape.tolist())} px, "
            f"needed y in [{low[0]}, {high[0]}] and x in [{low[1]}, {high[1]}]",
            remedy="move the scan or enlarge the object",
        )


def exit_waves(pair: Pair, positions_px: NDArray[np.float64]) -> ComplexArray:
    """Illuminate the object at each position.

    Parameters
    ----------
    pair : Pair
        Object and probe.
    positions_px : (n, 2) float64
        Patch centres at index N / 2, order (y, x), px, sub-pixel.

    Returns
    -------
    (n, H, W) complex64
        Probe times object patch. The fraction of a pixel is a shift of the patch by the
        Fourier shift theorem, the interpolation that pty-chi uses as well.
    """
    import scipy.fft  # 0.2 s, which workers that simulate nothing need not wait for

    height, width = pair.probe.shape
    corner = positions_px - (height // 2, width // 2)
    whole = np.floor(corner).astype(np.int64)
    rest = (corner - whole).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(pair.object_truth, (height, width))
    patches = windows[whole[:, 0], whole[:, 1]]
    if rest.any():
        ramp_y = np.exp(2j * np.pi * rest[:, 0, None] * np.fft.fftfreq(height)).astype(np.complex64)
        ramp_x = np.exp(2j * np.pi * rest[:, 1, None] * np.fft.fftfreq(width)).astype(np.complex64)
        spectrum = scipy.fft.fft2(patches)
        spectrum *= ramp_y[:, :, None]
        spectrum *= ramp_x[:, None, :]
        patches = scipy.fft.ifft2(spectrum, overwrite_x=True)
    waves: ComplexArray = patches * pair.probe
    return waves


def diffraction_intensity(waves: ComplexArray) -> NDArray[np.float32]:
    """Propagate exit waves to the far field.

    Parameters
    ----------
    waves : (n, H, W) complex64
        Exit waves.

    Returns
    -------
    (n, H, W) float32
        |FFT2|^2 / (H W), zero frequency at index (H // 2, W // 2). Each pattern holds as much
        light as its exit wave (Parseval).
    """
    import scipy.fft  # 0.2 s, which workers that simulate nothing need not wait for

    far = scipy.fft.fft2(waves, norm="ortho")
    intensity: NDArray[np.float32] = scipy.fft.fftshift(far.real**2 + far.imag**2, axes=(-2, -1))
    return intensity


def intensity_batches(
    pair: Pair, positions_px: NDArray[np.float64], *, batch: int = BATCH_EXPOSURES
) -> Iterator[NDArray[np.float32]]:
    """Noise-free patterns of a scan, `batch` exposures at a time.

    Parameters
    ----------
    pair : Pair
        Object and probe.
    positions_px : (n, 2) float64
        Patch centres, order (y, x), px.
    batch : int
        Exposures in memory at once.

    Yields
    ------
    (<= batch, H, W) float32
        In the order of the positions.
    """
    for start in range(0, len(positions_px), batch):
        yield diffraction_intensity(exit_waves(pair, positions_px[start : start + batch]))


def survey_brightness(pair: Pair, positions_px: NDArray[np.float64]) -> Brightness:
    """Measure the light of the whole scan before any noise.

    Parameters
    ----------
    pair : Pair
        Object and probe.
    positions_px : (n, 2) float64
        All positions of the scan, both splits.

    Returns
    -------
    Brightness
        Its `mean_total` is S = mean over exposures of sum |P O|^2, from which a dose gets its
        scale nphotons / S (the fly64 study design).

    Raises
    ------
    InputError
        If the scan holds no light, or light that is not finite.
    """
    total, brightest = 0.0, 0.0
    for intensity in intensity_batches(pair, positions_px):
        total += float(intensity.sum(dtype=np.float64))
        brightest = max(brightest, float(intensity.max()))
    mean = total / len(positions_px)
    if not (np.isfinite(mean) and mean > 0):
        raise InputError(
            f"simulate: mean light per exposure is {mean}, needed a finite number above 0",
            remedy="check object and probe for zeros and NaN",
        )
    return Brightness(mean_total=mean, brightest_pixel=brightest)


def expose(intensity: NDArray[np.float32], scale: float, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the photon counts of some exposures.

    Parameters
    ----------
    intensity : (n, H, W) float32
        Noise-free patterns.
    scale : float
        Photons per unit of intensity; one scale serves a scan, so bright and dim exposures
        keep their ratio.
    rng : numpy.random.Generator
        Source of the Poisson draws; advanced. Drawing in batches gives the same counts as
        drawing at once.

    Returns
    -------
    (n, H, W) int64
        Photons.

    Notes
    -----
    Source: shot noise of an ideal counting detector; no read noise, no saturation.
    """
    return rng.poisson(intensity.astype(np.float64) * scale)


def thin(counts: NDArray[Any], probability: float, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """Keep each photon with a probability.

    Parameters
    ----------
    counts : (n, H, W) integer
        Photons.
    probability : float
        Wanted dose over measured dose, in (0, 1].
    rng : numpy.random.Generator
        Source of the binomial draws; advanced.

    Returns
    -------
    (n, H, W) int64
        Photons. Thinned Poisson counts are Poisson counts at the lower dose.
    """
    if probability == 1.0:
        return counts.astype(np.int64)
    return rng.binomial(counts.astype(np.int64), probability)


def photon_stream(seed: int, dose_photons: float, split: str, repeat: int = 0) -> np.random.Generator:
    """Random generator of one dose, split and repeat.

    Parameters
    ----------
    seed : int
        The study's seed for this kind of noise.
    dose_photons : float
        The dose; its bits are part of the stream's key, not its place in a list, so a dose
        added to a study leaves the others' photons as they were.
    split : str
        `train` or `test`.
    repeat : int
        Which draw, from 0.

    Returns
    -------
    numpy.random.Generator

    Notes
    -----
    A repeat is one more number at the end of the stream's key, and none for the first draw, whose
    photons thus do not depend on how many there are. `SeedSequence` mixes keys so that streams of
    different keys are independent.
    """
    (bits,) = struct.unpack("<Q", struct.pack("<d", dose_photons))
    key = (bits & 0xFFFFFFFF, bits >> 32, *split.encode(), *([repeat] if repeat else []))
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
