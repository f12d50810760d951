"""How a probe's light lies in the array and in the band that it can hold: what the forward models assume of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from fly64dask.base import Frozen, Quantity

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A probe is moved by parts of a pixel with the Fourier shift theorem, which wraps around what lies at the rim of the
# array, and cannot move the highest frequencies. Up to this share of the light there is no matter (our choice: an error
# of a thousandth of the intensity is the shot noise of a million photons).
NO_MATTER = 1e-3
BAND_EDGE = 0.8  # of the Nyquist frequency
RIM_FRACTION = 1 / 32  # of the array's side, along each edge


class ProbeLight(Frozen):
    """The shares of a probe's light where the forward models assume none."""

    beyond_band: Annotated[float, Quantity("share of the probe's light beyond 0.8 of the Nyquist frequency")] = Field(
        ge=0, le=1
    )
    at_rim: Annotated[float, Quantity("share of the probe's light in the outermost 1/32 along the array's edges")] = (
        Field(ge=0, le=1)
    )

    def warnings(self) -> list[str]:
        """Say what is against the assumptions, with numbers; empty if nothing is."""
        warnings = []
        if self.beyond_band > NO_MATTER:
            warnings.append(
                f"{self.beyond_band:.2g} of the probe's light is beyond {BAND_EDGE} of the Nyquist frequency, needed "
                f"{NO_MATTER:g} at most for the grid model and the fine model to agree"
            )
        if self.at_rim > NO_MATTER:
            warnings.append(
                f"{self.at_rim:.2g} of the probe's light is at the rim of its array, needed {NO_MATTER:g} at most: "
                "moved by parts of a pixel it wraps around"
            )
        return warnings


def measure_probe_light(probe: NDArray[np.complexfloating]) -> ProbeLight:
    """Measure where a probe's light lies.

    Parameters
    ----------
    probe : (H, W) complex
        The probe in real space.

    Returns
    -------
    ProbeLight
        Frequencies are radial: sqrt(f_y^2 + f_x^2) over 0.5 cycles per px.
    """
    height, width = probe.shape
    wide = probe.astype(np.complex128)
    intensity, spectrum = np.abs(wide) ** 2, np.abs(np.fft.fft2(wide)) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    rows, columns = (max(1, round(size * RIM_FRACTION)) for size in (height, width))
    inner = intensity[rows : height - rows, columns : width - columns]
    return ProbeLight(
        beyond_band=float(spectrum[frequency > BAND_EDGE * 0.5].sum() / spectrum.sum()),
        at_rim=float(max(0.0, 1 - inner.sum() / intensity.sum())),
    )
