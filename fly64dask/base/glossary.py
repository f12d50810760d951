"""The words of this program with their meanings: the glossary of the documentation, the command line and the report."""

from __future__ import annotations

from typing import NamedTuple


class Term(NamedTuple):
    """A word of this program.

    Parameters
    ----------
    meaning : str
        What it is, in one or two sentences.
    page : str
        Page of the documentation that says more, below docs/.
    """

    meaning: str
    page: str


_DOSE = "explanation/dose.md"
_FLOORS = "explanation/floors.md"
_LIMITS = "explanation/limits.md"
_METRICS = "reference/metrics.md"
_RECIPES = "reference/study/recipes.md"
_RELIABILITY = "explanation/reliability.md"
_REPEATS = "how-to/repeats.md"
_RERUN = "how-to/rerun.md"
_RUN = "reference/run_directory.md"
_SCANS = "reference/study/scans.md"
_SIMULATION = "reference/study/simulation.md"
_SLURM = "how-to/slurm.md"
_STOPPING = "explanation/stopping.md"
_STUDY = "reference/study/study_file.md"

GLOSSARY: dict[str, Term] = {
    "adaptive study": Term(
        "A study whose run adds doses and repeats in rounds, until the limit of each view is known well enough.",
        "how-to/adaptive.md",
    ),
    "areal oversampling": Term(
        "The mean number of beams on a pixel of the illuminated area: exposures x footprint of the probe / area.", _DOSE
    ),
    "attempt": Term("One try at a cell. Earlier attempts are kept in the history of the run.", _RERUN),
    "baseline": Term("The view that keeps every exposure.", _SCANS),
    "cell": Term(
        "One reconstruction of the matrix: one dose, view and split, and one recipe, object, setup and repeat where a "
        "study has several.",
        _STUDY,
    ),
    "checkpoint": Term(
        "The saved state of a running cell, from which it continues after an interruption; on a CPU to the same bits.",
        _RELIABILITY,
    ),
    "cluster file": Term(
        "A TOML file with the queue, wall time and GPUs that the batch system of a site offers.", _SLURM
    ),
    "controller": Term(
        "The batch job that holds the scheduler of a submitted run and replaces worker jobs that the site ends.", _SLURM
    ),
    "degenerate scan": Term(
        "A scan whose kept positions span less than 1 px on an axis, so that the engine cannot solve for the object.",
        _RELIABILITY,
    ),
    "dose": Term(
        "What `doses_photons` of a study counts: expected detected photons per exposure, mean over the scan; with "
        "`dose_by`, photons per px² or of a whole cell.",
        _DOSE,
    ),
    "empty object": Term(
        "An object with transmission 1 everywhere, measured in the same way as a reconstruction. A reconstruction "
        "whose error is not below that of the empty object is marked `≥ empty`.",
        _METRICS,
    ),
    "engine": Term("The program that reconstructs a cell: pty-chi, unless a run names another.", _RECIPES),
    "epoch": Term("One pass of the engine over all kept exposures.", _RECIPES),
    "exposure": Term("One readout of the detector at one scan position.", _SCANS),
    "floor": Term(
        "The phase error of the noise-free cell of the same view, split, recipe, object and setup. More photons cannot "
        "lower an error below it.",
        _FLOORS,
    ),
    "fluence": Term("Detected photons per px² (or nm²) of the illuminated area.", _DOSE),
    "guard": Term(
        "Settings with which a degenerate scan can still be reconstructed: the probe is fixed if the scan does not "
        "determine it, at most 30 epochs run, and the result is flagged as underdetermined.",
        _RERUN,
    ),
    "half set": Term(
        "One of two halves of a cell's photons, or of its exposures. Both are reconstructed, and structure on which "
        "the two agree is supported by the data.",
        _STOPPING,
    ),
    "illuminated area": Term(
        "The pixels that get at least a tenth of the brightest pixel's illumination, summed over all kept exposures. "
        "Errors are measured there.",
        _METRICS,
    ),
    "limit": Term(
        "The lowest dose at which a view reaches a target, interpolated between the doses that miss it and reach it.",
        _LIMITS,
    ),
    "linear overlap": Term(
        "1 - step / probe diameter, with the diameter that holds 90 % of the probe's power. Below 0 the beams do not "
        "touch.",
        _DOSE,
    ),
    "manifest": Term(
        "`reconstruction_manifest.json`: the table of all committed cells of a run, failed ones included.", _RUN
    ),
    "mark": Term(
        "A sign beside a number that tells how to read it, such as `≥ empty` or `≠ study`; a legend explains it.",
        _FLOORS,
    ),
    "matrix": Term("All cells of a study, by dose, view and split.", _STUDY),
    "noise-free": Term(
        "The dose of cells that are reconstructed from expected intensities instead of photon counts.", _FLOORS
    ),
    "object": Term("The complex transmission of the sample, which a reconstruction estimates.", _SIMULATION),
    "phase error": Term(
        "The root mean square difference of the phase from the truth in the illuminated area, after alignment, in rad.",
        _METRICS,
    ),
    "probe": Term("The complex illumination at the sample.", _SIMULATION),
    "recipe": Term("All settings of the engine that can change a number.", _RECIPES),
    "record": Term("`record.json`: how a cell ended. A cell is done when its record is in its directory.", _RUN),
    "reference": Term(
        "A reconstruction with which the cells of a measured scan are compared, as a measured scan has no truth.",
        "reference/measured.md",
    ),
    "remedy": Term("What `fly64dask rerun` changes before it tries a failed cell again.", _RERUN),
    "repeat": Term("One noise realisation of a cell. Repeats differ in their photons alone.", _REPEATS),
    "resolution": Term(
        "Half a period at the spatial frequency where the ring correlation falls below its criterion, px or nm.",
        _METRICS,
    ),
    "ring correlation": Term(
        "The correlation of two images on each ring of spatial frequency (Fourier ring correlation, FRC).", _METRICS
    ),
    "run": Term(
        "A study that is computed in a run directory. The same command again continues it and keeps finished cells.",
        _RUN,
    ),
    "setup": Term(
        "What is not ideal about a simulated experiment, such as background, gaps of the detector or wrong positions.",
        "reference/study/setups.md",
    ),
    "split": Term("A part of the field of view that is reconstructed separately: train, test, or the whole.", _SCANS),
    "step": Term("The median distance of a kept position to its nearest neighbour, px.", _DOSE),
    "stopping rule": Term(
        "The rule that chooses the epoch whose object is kept, without looking at the truth.", _STOPPING
    ),
    "study": Term(
        "What one TOML file asks for: a source of exposures, doses, views, splits, recipes and targets.", _STUDY
    ),
    "target": Term(
        "A number that a reconstruction must reach to count as good: a resolution, a phase error, or a factor over the "
        "floor.",
        _LIMITS,
    ),
    "thinning": Term(
        "Lowering the dose of measured counts by keeping each photon with the same probability.", _REPEATS
    ),
    "truth": Term(
        "The object from which exposures were simulated. It is opened only after the engine has returned.", _METRICS
    ),
    "underdetermined": Term(
        "Said of a cell that ran under the guard, or of data with fewer nonzero intensities than unknowns.", _RERUN
    ),
    "view": Term(
        "A rule that keeps some of a split's exposures, the same ones at every dose, and so sets the overlap.", _SCANS
    ),
}
