"""The prediction of identifiability as a classifier: how well does it tell, beforehand, which cells fail?

Run it from the repository, after a matrix from hopeless cells to easy ones:

    fly64dask run data/studies/identifiability.toml --out runs/identifiability
    python scripts/accuracy/identifiability.py runs/identifiability [RUN ...] [--draw FILE]

A cell is counted as reconstructed if its phase error is below a share of that of an empty object (`--share`, half by
default). For each number of the prediction the script prints the area under the ROC curve (0.5: a coin, 1: every
reconstructed cell has a larger number than every failed one), and for the words how many of their cells succeeded.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

import fly64dask
from fly64dask.base import quantities_of
from fly64dask.scan import Identifiability, Prediction

# The last three put cells in the same order, so their lines are such that all are seen.
SCORES = (
    "lit_intensities_per_unknown",
    "photons_per_unknown",
    "intensities_per_unknown",
    "mean_coverage",
    "covered_twice_fraction",
)
STYLES = (("C0", "-"), ("C2", "-"), ("C1", "-"), ("C3", (0, (3, 3))), ("k", (0, (1, 4))))
WORDS: tuple[Prediction, ...] = ("underdetermined", "marginal", "well_determined")


def main() -> None:
    """Read the runs and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="directories of finished runs")
    parser.add_argument("--share", type=float, default=0.5, help="of an empty object's error (default: %(default)s)")
    parser.add_argument("--draw", type=Path, help="picture of the ROC curves")
    arguments = parser.parse_args()
    cells = [cell for run in arguments.runs for cell in measured_cells(run)]
    succeeded = np.array([error < arguments.share for _, error in cells])
    print(
        f"{len(cells)} cells, {succeeded.sum()} with less than {arguments.share:g} of an empty object's phase error\n"
    )
    labels = {name: quantity.label for name, quantity in quantities_of(Identifiability).items()}
    scores = {labels[name]: np.array([getattr(prediction, name) for prediction, _ in cells]) for name in SCORES}
    print("| number of the prediction | area under the ROC curve |\n|---|---|")
    for name, values in scores.items():
        print(f"| {name} | {area_under_roc(values, succeeded):.3f} |")
    print("\n| prediction | cells | reconstructed |\n|---|---|---|")
    total = Counter(prediction.prediction for prediction, _ in cells)
    good = Counter(prediction.prediction for (prediction, _), ok in zip(cells, succeeded, strict=True) if ok)
    for word in WORDS:
        print(f"| {word.replace('_', ' ')} | {total[word]} | {good[word]} |")
    if arguments.draw:
        draw(scores, succeeded, arguments.draw)


def measured_cells(run: Path) -> list[tuple[Identifiability, float]]:
    """Read the prediction of each cell of a run with photons, and its phase error over an empty object's."""
    return [
        (row.identifiability, row.metrics.phase_rmse_rad / row.metrics.empty_phase_rmse_rad)
        for row in fly64dask.open_run(run).rows
        # A cell without noise tells nothing of photons.
        if row.identifiability is not None and row.metrics is not None and row.dose_photons is not None
    ]


def area_under_roc(values: np.ndarray, succeeded: np.ndarray) -> float:
    """Compute the probability that a reconstructed cell has a larger number than a failed one, ties counting half.

    It is Mann and Whitney's U over the number of pairs (Hanley and McNeil, Radiology 143, 29 (1982)).
    """
    from scipy.stats import mannwhitneyu

    n_pairs = int(succeeded.sum()) * int((~succeeded).sum())
    if not n_pairs:
        return float("nan")
    return float(mannwhitneyu(values[succeeded], values[~succeeded]).statistic / n_pairs)


def draw(scores: dict[str, np.ndarray], succeeded: np.ndarray, path: Path) -> None:
    """Draw a ROC curve for each number: hits against false alarms as the threshold falls."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 5), layout="constrained")
    for (name, values), (colour, line) in zip(scores.items(), STYLES, strict=True):
        order = np.argsort(-values, kind="stable")
        hits = np.concatenate([[0], np.cumsum(succeeded[order]) / max(1, succeeded.sum())])
        alarms = np.concatenate([[0], np.cumsum(~succeeded[order]) / max(1, (~succeeded).sum())])
        label = f"{name}: {area_under_roc(values, succeeded):.2f}"
        axes.plot(alarms, hits, color=colour, linestyle=line, linewidth=2, label=label)
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=0.8, label="a guess: 0.50")
    axes.set(
        xlabel="share of failed cells above the threshold", ylabel="share of reconstructed cells above the threshold"
    )
    axes.legend(fontsize=8, title="number of the prediction: area", title_fontsize=8)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
