"""The text of a study file for a measured scan: a proposal as TOML, with comments that tell where it comes from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from fly64dask.runs.new_study.proposal import Proposal, ProposedView
from fly64dask.scheduling import ENGINE_BYTES

COMMENTS_AT = 25  # column of the comments behind keys
# Marked as comments, as what a reconstruction has to reach is for the person to say.
TARGET = """\
# [[targets]]            # what has to be reached; `fly64dask limits` then says how low dose and overlap can go
# resolution_px = 3.0    # half a period, against the reference
"""


def study_text(name: str, store: str, about: Iterable[str], measured_photons: float, proposal: Proposal) -> str:
    """Write a study file.

    Parameters
    ----------
    name : str
        The study's.
    store : str
        Path of the ingested scan, absolute or from the file's own directory.
    about : iterable of str
        What is known of the scan, in lines for a person.
    measured_photons : float
        Mean count of an exposure.
    proposal : Proposal
        What the study says.
    """
    lines = [
        "# A study of a measured scan. `fly64dask new --scan` has computed its numbers from the scan: change them as",
        "# you like. `fly64dask run` with --dry-run says what each cell would keep of the scan, and what it needs.",
        *(f"# {line}" for text in about for line in text.splitlines()),
        "schema_version = 1",
        f'name = "{name}"',
        f"# Photons per exposure, mean over the scan: {measured_photons:.6g} were measured. A lower dose keeps each of",
        "# these photons with the same probability (binomial thinning).",
        f"doses_photons = [{', '.join(proposal.doses_photons)}]",
        'reference = {dose = "measured", view = "baseline"}  # the cells that all others are compared with',
        _key("repeats = 1", "more draw the photons of each lower dose again, and give numbers an interval"),
    ]
    if proposal.split == "none":
        lines.append(_key('split = "none"', "the field of view is too small or uneven for two halves"))
    lines += [
        "",
        "[source]",
        'kind = "measured"',
        f"path = {json.dumps(store, ensure_ascii=False)}",
        "",
        f"# The scan's step is {proposal.step_px:.3g} px. The disc that holds 90 % of the probe's power has a diameter",
        f"# of {proposal.d90_px:.3g} px. Linear overlap is 1 - step / diameter: 60 % or more are usual.",
        *(line for view in proposal.views for line in _view_lines(view)),
        *_split_lines(proposal),
        *TARGET.splitlines(),
        "",
        *_recipe_lines(proposal),
    ]
    return "\n".join(lines) + "\n"


def _key(text: str, comment: str) -> str:
    return f"{text:<{COMMENTS_AT}}# {comment}"


def _recipe_lines(proposal: Proposal) -> Iterator[str]:
    largest_gb = (proposal.memory_bytes + ENGINE_BYTES) / 1e9
    yield _key("[recipe]", "docs/reference/study/recipes.md has all keys")
    yield _key('stop = "half_sets"', "keeps the epoch at which two halves of the photons agree best")
    yield _key("n_epochs = 100", "at most")
    yield _key('noise_model = "poisson"', "of photon counts; gaussian suits a detector with much noise of its own")
    yield _key(f"batch_size = {proposal.batch_size}", f"exposures; the largest cell then takes {largest_gb:.1f} GB")


def _view_lines(view: ProposedView) -> Iterator[str]:
    kept = " and ".join(str(n) for n in view.n_kept.values())
    overlaps = [f"{100 * overlap:.0f}" for overlap in view.linear_overlap.values()]
    yield "[[views]]"
    yield _key(f'name = "{view.name}"', f"{kept} exposures, linear overlap {' and '.join(dict.fromkeys(overlaps))} %")
    if view.threshold_px is None:
        yield 'rule = "baseline"'
    else:
        yield 'rule = "min_spacing"'
        yield _key(f"threshold_px = {view.threshold_px:g}", "between exposures that are kept, at least")
        if view.isolated:
            where = " and ".join(view.isolated)
            yield f"# It keeps only exposures without a near neighbour ({where}), which leaves parts of the field out."
    yield ""


def _split_lines(proposal: Proposal) -> Iterator[str]:
    if proposal.split == "none":
        return
    axis, fraction = proposal.split.axis, proposal.split.fraction
    n_train, n_test = proposal.views[0].n_kept.values()
    yield _key("[split]", f"train: the {n_train} exposures below the cut; test: the {n_test} at or above it")
    yield f'axis = "{axis}"'
    yield _key(f"fraction = {fraction:g}", f"of the scan's extent in {axis}")
    yield ""
