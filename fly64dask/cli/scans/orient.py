"""The command `orient`: tries an ingested scan in each of the eight orientations of its axes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fly64dask.cli.options import example, json_option, print_json, without_links

if TYPE_CHECKING:
    from fly64dask.reconstruction import Trial


@click.command(epilog=example("fly64dask orient runs/scan.zarr"))
@click.argument("store", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--exposures",
    "n_exposures",
    type=click.IntRange(min=4),
    help="Number of exposures, from the middle of the scan [default: 120].",
)
@click.option("--epochs", "n_epochs", type=click.IntRange(min=1), help="Epochs of each trial [default: 8].")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Device [default: auto].")
@json_option
def orient(store: Path, n_exposures: int | None, n_epochs: int | None, device: str, as_json: bool) -> None:
    """Find the orientation of the axes that fits an ingested STORE.

    A part of the scan is reconstructed in each orientation. A reconstruction fails if one axis of the positions is
    flipped, or if y and x are swapped without those of the patterns, and files do not say which way their axes run. The
    store is not changed: ingest the file again with the options of the best orientation.
    """
    notify = ignore_trial if as_json else print_trial
    trials = try_store(without_links(store), n_exposures, n_epochs, device, notify=notify)
    if as_json:
        print_json(trials_document(trials))
    else:
        print_advice(trials)


def print_trial(trial: Trial) -> None:
    """Print the loss of one orientation."""
    click.echo(f"  loss {trial.loss:.4g}  {trial.orientation.flags or 'as it is'}")


def ignore_trial(trial: Trial) -> None:
    """Print nothing."""


def print_advice(trials: Sequence[Trial]) -> None:
    """Print which orientation fits best, and with which options the scan is ingested so."""
    from fly64dask.reconstruction import advise

    click.echo(advise(trials))


def trials_document(trials: Sequence[Trial]) -> dict[str, Any]:
    """Describe the trials and the advice for scripts."""
    from fly64dask.reconstruction import advise

    losses = [{"flags": trial.orientation.flags, "loss": trial.loss} for trial in trials]
    return {"trials": losses, "advice": advise(trials)}


def try_store(
    store: Path,
    n_exposures: int | None = None,
    n_epochs: int | None = None,
    device: str = "auto",
    *,
    notify: Callable[[Trial], None],
) -> tuple[Trial, ...]:
    """Reconstruct a part of an ingested scan in each of the eight orientations of its axes.

    Parameters
    ----------
    store : Path
        The ingested scan.
    n_exposures : int, optional
        Exposures from the middle of the scan; 120 if omitted.
    n_epochs : int, optional
        Epochs of each trial; 8 if omitted.
    device : "auto", "cpu" or "cuda"
        Where the trials are computed.
    notify : callable
        Called with each trial when it ends.

    Returns
    -------
    tuple of Trial
        In the order of the loss, the lowest first.
    """
    from fly64dask.reconstruction import TRIAL_EPOCHS, TRIAL_EXPOSURES, Exposures, middle_exposures, try_orientations
    from fly64dask.runs import reconstruct
    from fly64dask.store import ExposureAttributes, open_group

    group = open_group(store, ExposureAttributes)
    positions = group.read("positions_px")
    rows = middle_exposures(positions, n_exposures or TRIAL_EXPOSURES)
    exposures = Exposures(
        counts=group.read("counts", rows),
        positions_px=positions[rows],
        probe_guess=group.read("probe_guess"),
        valid_pixels=group.read("valid_pixels") if "valid_pixels" in group.names else None,
    )
    return try_orientations(
        exposures,
        reconstruct,
        n_epochs=n_epochs or TRIAL_EPOCHS,
        device=device,
        pixel_nm=group.attributes.pixel_size_nm,
        notify=notify,
    )
