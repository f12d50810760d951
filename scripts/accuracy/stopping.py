"""Phase error at the epoch that half sets choose, and after a fixed number, over the best epoch's by the truth.

Run it from the repository:

    python scripts/accuracy/stopping.py --out stopping [--seeds 11 12 13] [--exposures 42 300 1000]

`ratio` is for a rule with the recipe's own patience, `of all epochs` for one that sees all 100. Each
case is a scan of its own (object, positions, photons and minibatches by its seed) with the demo's
probe and the field of one of its splits. A case takes up to two minutes of one thread and leaves one file
under the folder; those that are there are not done again, so an interrupted benchmark goes on. The rule
was chosen on seeds 1, 2 and 101.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fly64dask.metrics import crossing, frc, remove_phase_ramp
from fly64dask.reconstruction import BestEpoch, EpochEstimate, Exposures, HalfSetEstimator, compare_halves
from fly64dask.reconstruction.lsqml import as_array, begin
from fly64dask.scan import crop_to_frame, illuminated_area, illumination_map, object_frame
from fly64dask.simulation import Pair, intensity_batches, synthetic_pair
from fly64dask.study import PATIENCE, Recipe

DOSES_PHOTONS = (1e3, 1e4, 1e5)
SIDE_PX, FIELD_PX = 64, (84, 168)
RECIPE = Recipe(n_epochs=100, batch_size=96, device="cpu", stop="half_sets", patience=100)
FIXED = (25, 100)
PATIENCES = (3, 5, 10, 20, 100)


def main() -> None:
    """Do the cases that are missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of results")
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13])
    parser.add_argument("--exposures", type=int, nargs="+", default=[42, 300, 1000])
    parser.add_argument("--draw", type=Path, help="picture of one case's curves beside the true error")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    cases = []
    for n, seed, dose in product(arguments.exposures, arguments.seeds, DOSES_PHOTONS):
        path = arguments.out / f"n{n}-dose{dose:g}-seed{seed}.json"
        if not path.exists():
            path.write_text(json.dumps(measure(n, dose, seed)))
        cases.append(json.loads(path.read_text()))
    print(table(cases), patience_table(cases), sep="\n\n")
    (arguments.out / "table.json").write_text(json.dumps([row(case) for case in cases], indent=1))
    if arguments.draw:
        draw(cases, arguments.draw)


def speckle(seed: int) -> Pair:
    """The object and probe of a seed, with the margins that a scan over the field of one split of the demo needs."""
    return synthetic_pair((FIELD_PX[0] + SIDE_PX, FIELD_PX[1] + SIDE_PX), (SIDE_PX, SIDE_PX), seed=1000 + seed)


def expose(pair: Pair, n_exposures: int, dose_photons: float, seed: int) -> Exposures:
    """Photons of a scan over an object as of `speckle`."""
    low = SIDE_PX / 2
    high = (low + FIELD_PX[0], low + FIELD_PX[1])
    positions = np.random.default_rng([seed, n_exposures]).uniform((low, low), high, (n_exposures, 2))
    intensity = np.concatenate(list(intensity_batches(pair, positions, batch=200)))
    intensity *= dose_photons / intensity.sum(axis=(1, 2)).mean()
    counts = np.random.default_rng([seed, n_exposures, int(dose_photons)]).poisson(intensity).astype(np.uint32)
    return Exposures(counts=counts, positions_px=positions, probe_guess=pair.probe[None, None])


def measure(n_exposures: int, dose_photons: float, seed: int) -> dict[str, Any]:
    """Reconstruct a case with its halves and look at the truth after each epoch."""
    pair = speckle(seed)
    exposures = expose(pair, n_exposures, dose_photons, seed)
    shape, origin = object_frame(exposures.positions_px, (SIDE_PX, SIDE_PX))
    truth, known = crop_to_frame(pair.object_truth, shape, origin)
    area = illuminated_area(illumination_map(pair.probe, exposures.positions_px, shape, origin)) & known
    estimator = HalfSetEstimator(area)

    def error(image: Any) -> float:
        return float(np.sqrt(np.mean(estimator.phase((image * truth.conj()).astype(np.complex64)) ** 2)))

    running = begin(exposures, RECIPE, seed=seed, device="cpu")
    assert running.rule is not None
    errors = []
    with running.tasks.accelerated(enabled=True):
        running.run(RECIPE.n_epochs, lambda *_: errors.append(error(as_array(running.tasks.full, "object")[0])), None)
    snapshot, facts = running.snapshot(), running.facts()
    assert snapshot.half_objects is not None
    half_sets, _ = compare_halves(snapshot.half_objects, area, "counts")
    aligned = np.exp(1j * remove_phase_ramp(snapshot.object_recon[0] * truth.conj(), area)) * truth
    with_truth = crossing(frc(np.abs(snapshot.object_recon[0]) * aligned / np.abs(truth), truth, area), "half")
    return {
        "n_exposures": n_exposures,
        "dose_photons": dose_photons,
        "seed": seed,
        "best_epoch": facts.best_epoch,
        "errors_rad": errors,
        "flat_error_rad": error(np.ones(shape)),
        "scores": running.rule.course.scores().tolist(),
        "estimates": [[one.signal, one.noise] for one in running.rule.course.estimates],
        "n_snapshots": len(running.rule.course.snapshots),
        "half_sets": half_sets.model_dump(),
        "resolution_truth_px": with_truth.resolution_px if with_truth else None,
    }


def replay(case: dict[str, Any], patience: int) -> tuple[int, int]:
    """Epoch that a rule keeps with some patience, and the epochs that it runs."""
    course: BestEpoch[None] = BestEpoch()
    for signal, noise in case["estimates"]:
        course.add(EpochEstimate(signal=signal, noise=noise), lambda: None)
        if len(course.estimates) - 1 - course.best >= patience:
            break
    return course.best + 1, len(course.estimates)


def row(case: dict[str, Any]) -> dict[str, Any]:
    """A case's figures: errors as ratios to the best epoch's."""
    errors = case["errors_rad"]
    best = min(errors)
    chosen, n_run = replay(case, PATIENCE)
    against_truth = case["half_sets"]["against_truth"]
    return {name: case[name] for name in ("n_exposures", "dose_photons", "seed")} | {
        "best_by_truth": errors.index(best) + 1,
        "best_rad": best,
        "flat_rad": case["flat_error_rad"],
        "chosen": chosen,
        "n_epochs_run": n_run,
        "ratio": errors[chosen - 1] / best,
        "ratio_all": errors[case["best_epoch"] - 1] / best,
        **{f"ratio_{n}": errors[n - 1] / best for n in FIXED},
        "resolution_halves_px": against_truth["resolution_px"] if against_truth else None,
        "resolution_truth_px": case["resolution_truth_px"],
    }


def table(cases: list[dict[str, Any]]) -> str:
    """Text for people: a line for each case, then geometric means and worst cases."""
    rows = [row(case) for case in cases]
    lines = [
        "|    n |   dose | seed | best epoch, rad | empty | chosen, run | ratio | of all epochs |"
        + "".join(f" {n} epochs |" for n in FIXED)
        + " resolution: halves, truth |",
        "|---|---|---|---|---|---|---|---|" + "---|" * len(FIXED) + "---|",
    ]
    for one in rows:
        fixed = "".join(f" {one[f'ratio_{n}']:9.2f} |" for n in FIXED)
        both = ", ".join(
            f"{one[key]:.2f} px" if one[key] else "below 1 px"
            for key in ("resolution_halves_px", "resolution_truth_px")
        )
        lines.append(
            f"| {one['n_exposures']:4d} | {one['dose_photons']:6g} | {one['seed']:4d} | {one['best_by_truth']:3d}, "
            f"{one['best_rad']:.3f} | {one['flat_rad']:.3f} | {one['chosen']:3d}, {one['n_epochs_run']:3d} | "
            f"{one['ratio']:5.3f} | {one['ratio_all']:5.3f} |{fixed} {both} |"
        )
    for name, reduce in (("geometric mean", lambda values: np.exp(np.mean(np.log(values)))), ("worst", np.max)):
        figures = [
            f"{reduce([one[key] for one in rows]):.3f}"
            for key in ("ratio", "ratio_all", *(f"ratio_{n}" for n in FIXED))
        ]
        lines.append(f"| {name} | | | | | | " + " | ".join(figures) + " | |")
    return "\n".join(lines)


def patience_table(cases: list[dict[str, Any]]) -> str:
    """Text for people: what each patience would have chosen, and after how many epochs."""
    lines = ["| patience | geometric mean of the ratios | worst | epochs run, mean |", "|---|---|---|---|"]
    for patience in PATIENCES:
        choices = [replay(case, patience) for case in cases]
        ratios = [
            case["errors_rad"][chosen - 1] / min(case["errors_rad"])
            for case, (chosen, _) in zip(cases, choices, strict=True)
        ]
        mean, n_run = np.exp(np.mean(np.log(ratios))), np.mean([n for _, n in choices])
        lines.append(f"| {patience} | {mean:.3f} | {max(ratios):.3f} | {n_run:.0f} |")
    return "\n".join(lines)


def draw(cases: list[dict[str, Any]], path: Path) -> None:
    """Picture of the first seed's cases: the rule's curve and the true error, chosen and best epoch marked."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    seed = cases[0]["seed"]
    chosen = [case for case in cases if case["seed"] == seed]
    sizes = sorted({case["n_exposures"] for case in chosen})
    figure, axes = plt.subplots(len(sizes), len(DOSES_PHOTONS), figsize=(11, 2.6 * len(sizes)), squeeze=False)
    for case in chosen:
        ax = axes[sizes.index(case["n_exposures"])][DOSES_PHOTONS.index(case["dose_photons"])]
        errors, scores = np.array(case["errors_rad"]), np.sqrt(case["scores"])
        epochs = np.arange(1, len(errors) + 1)
        ax.semilogx(epochs, errors, color="C0", label="true phase error")
        ax.semilogx(epochs, scores, color="C1", label="root of the rule's estimate")
        ax.plot(np.argmin(errors) + 1, errors.min(), "o", color="C0", label="best by the truth")
        ax.axvline(case["best_epoch"], color="C1", linestyle=":", label="chosen")
        ax.axhline(case["flat_error_rad"], color="0.7", linewidth=0.8, label="empty object")
        ax.set_title(f"{case['n_exposures']} exposures of {case['dose_photons']:g} photons", fontsize=9)
        ax.set_ylim(0, min(1.05 * max(errors.max(), scores.max()), 1.2))
    for ax in axes[-1]:
        ax.set_xlabel("epoch")
    for ax in axes[:, 0]:
        ax.set_ylabel("rad")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="lower center", ncols=5, fontsize=9, frameon=False)
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    main()
