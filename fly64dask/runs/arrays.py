"""Reconstructs exposures that are given as arrays, without a run directory."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fly64dask.base import Failure, InputError, NoReconstructionError, counted, counted_of, result_or_failure
from fly64dask.cells import engine_modules, leaves_nothing
from fly64dask.cells.isolation import Failed, Returned, call_in_child
from fly64dask.monitoring import ignore_epoch
from fly64dask.reconstruction import LSQML, Exposures, Reconstruction, load_engine, refuse_dark
from fly64dask.scan import refuse_degenerate, refuses_degenerate, span_px
from fly64dask.store import LOG_NAME
from fly64dask.study import MAX_OBJECT_PIXELS, Limits, Recipe, Seeds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.reconstruction import Progress


def reconstruct(
    exposures: Exposures,
    recipe: Recipe | None = None,
    *,
    seed: int | None = None,
    limits: Limits | None = None,
    on_epoch: Progress | None = None,
    engine: str = LSQML,
) -> Reconstruction:
    """Reconstruct object and probe from exposures, in a supervised child process.

    Torch and pty-chi are loaded in the child: this process keeps its memory, threads and random numbers, and lives on
    if the engine crashes. The first call takes some seconds longer, as the engine is loaded; later ones share it, and
    a child that ended well stays for the next call, for a minute at most.

    Parameters
    ----------
    exposures : Exposures
        Photon counts (n, H, W), positions (n, 2) in px, order (y, x), and the starting probe; expected counts, as
        float32, only if it says `noise_free`.
    recipe : Recipe, optional
        Engine settings; the defaults of a study if omitted.
    seed : int, optional
        Seed of the order in which exposures enter minibatches; that of a study by default.
    limits : Limits, optional
        Wall time and memory, after which the child is ended.
    on_epoch : callable, optional
        Called here with (epochs done, loss) after each epoch.
    engine : str
        `module:function` of an `Engine`; the child imports it.

    Returns
    -------
    Reconstruction
        The first pixel of `object_recon` (n_slices, Y, X) lies at `object_origin_px` (y, x) of the scan.

    Raises
    ------
    InputError
        If shapes or dtypes do not fit together, or there is no photon.
    DegenerateScanError
        If the positions span less than one pixel on an axis and the recipe does not guard against it.
    NoReconstructionError
        If the engine failed or went past a limit; `kind` says how.

    Examples
    --------
    >>> exposures = Exposures(counts=counts, positions_px=positions_px, probe_guess=probe)  # doctest: +SKIP
    >>> reconstruct(exposures, Recipe(n_epochs=50)).object_recon.shape  # doctest: +SKIP
    (1, 232, 232)
    """
    recipe = recipe or Recipe()
    _check(exposures)
    if refuses_degenerate(recipe):
        refuse_degenerate(exposures.positions_px, n_exposures=len(exposures.counts), rule="given", advice="scan more")
    call = EngineOnArrays(exposures, recipe, Seeds().grouping if seed is None else seed, engine)
    with tempfile.TemporaryDirectory(prefix="fly64dask-") as folder:
        outcome = call_in_child(
            call,
            log_file=Path(folder, LOG_NAME),
            limits=limits or Limits(),
            on_report=on_epoch or ignore_epoch,
            preload=engine_modules(engine),
            leaves_nothing=leaves_nothing(engine),
        )
    result = outcome.value if isinstance(outcome, Returned) else None
    if isinstance(result, Reconstruction):
        return result
    failure = outcome.failure if isinstance(outcome, Failed) else result
    assert isinstance(failure, Failure), "nobody asks the child to stop"
    raise NoReconstructionError(
        f"reconstruct {counted(len(exposures.counts), 'exposure')}: {failure.message}", kind=failure.kind
    )


@dataclass(frozen=True, slots=True)
class EngineOnArrays:
    """The call of an engine on arrays, as its child process makes it; picklable."""

    exposures: Exposures
    recipe: Recipe
    seed: int
    engine: str

    def __call__(self, report: Progress) -> Reconstruction | Failure:
        """Run the engine; give its result, or a named failure."""
        engine = load_engine(self.engine)
        return result_or_failure(
            lambda: engine(self.exposures, self.recipe, seed=self.seed, progress=report), what="reconstruct"
        )


def _check(exposures: Exposures) -> None:
    """Refuse arrays that an engine could only misread."""
    counts, positions, probe = exposures.counts, exposures.positions_px, exposures.probe_guess
    fits = counts.ndim == 3 and positions.shape == (len(counts), 2) and probe.ndim == 4
    if not fits or probe.shape[-2:] != counts.shape[-2:]:
        raise InputError(
            f"reconstruct: got counts {counts.shape}, positions_px {positions.shape}, probe_guess {probe.shape}; "
            "needed (n, H, W), (n, 2) and (n_opr, n_modes, H, W)",
            remedy="reshape them",
        )
    if counts.dtype.kind != ("f" if exposures.noise_free else "u") or probe.dtype.kind != "c":
        raise InputError(
            f"reconstruct: got counts {counts.dtype}, probe_guess {probe.dtype}; needed photon counts as unsigned "
            "integers (or floats with noise_free=True) and a complex probe",
            remedy="convert them: amplitudes are the root of counts",
        )
    _check_positions(positions, counts.shape[-2:])
    if exposures.noise_free and not (np.isfinite(counts).all() and (counts >= 0).all()):
        raise InputError(
            f"reconstruct: expected counts go from {counts.min():g} to {counts.max():g}, needed finite ones of at "
            "least 0",
            remedy="give intensities, not amplitudes or differences",
        )
    refuse_dark(counts)


def _check_positions(positions_px: NDArray[np.float64], frame_px: tuple[int, ...]) -> None:
    """Refuse positions that are not finite, or for which the object would have more pixels than any."""
    n_unusable = int((~np.isfinite(positions_px).all(axis=1)).sum())
    if n_unusable:
        raise InputError(
            f"reconstruct: {counted_of(n_unusable, len(positions_px), 'position', 'is', 'are')} not finite",
            remedy="correct them, or leave out these exposures",
        )
    height, width = (extent + side for extent, side in zip(span_px(positions_px), frame_px, strict=True))
    if height * width > MAX_OBJECT_PIXELS:
        raise InputError(
            f"reconstruct: the object would have {height:.4g} x {width:.4g} px, more than {MAX_OBJECT_PIXELS}",
            remedy="give positions in px of the object",
        )
