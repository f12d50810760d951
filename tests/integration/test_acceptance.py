"""The acceptance studies: the smallest runs through its script, and the page holds what the committed results say."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS, PAGE = ROOT / "scripts", ROOT / "docs" / "explanation" / "acceptance.md"


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))


def test_page_holds_what_the_committed_results_say_and_nothing_else():
    from acceptance.page import part_of, parts
    from reproduce import committed_results

    text = PAGE.read_text(encoding="utf-8")
    expected = parts(committed_results())
    assert {name: part_of(text, name) for name in expected} == expected


def test_every_study_has_a_committed_result_of_its_usual_size():
    from acceptance.studies import STUDIES
    from reproduce import committed_results

    assert {name: result.sizes for name, result in committed_results().items()} == dict.fromkeys(STUDIES, "usual")


def test_every_size_of_every_study_names_cells_of_its_files():
    from acceptance.studies import STUDIES

    from fly64dask.study import cells, skip_reasons

    asked = [
        run for study in STUDIES.values() for size in ("quick", "usual", "full") for run in study.runs(size).values()
    ]
    assert all(len(cells(study)) > len(skip_reasons(study, filters)) for study, filters in asked)


def test_tables_of_the_page_stand_between_markers_alone():
    outside = re.sub(r"<!-- (\w+) -->.*?<!-- end of \1 -->", "", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert "|---" not in outside


def test_adjusted_p_values_are_those_of_welch_times_what_is_left_to_test():
    from acceptance.results import Spread
    from acceptance.tables import adjusted_p_values
    from scipy.stats import ttest_ind

    samples = [1.0, 1.1, 0.9, 1.05], [1.2, 1.3, 1.25, 1.1], [1.0, 1.02, 1.1, 0.95]
    one, *others = map(Spread.of, samples)
    logs = np.log(samples)
    near, far = (ttest_ind(logs[0], other, equal_var=False).pvalue for other in (logs[2], logs[1]))
    assert far < near
    assert adjusted_p_values(one, others) == pytest.approx([2 * far, max(near, 2 * far)])


def test_spread_has_as_many_digits_as_it_knows():
    from acceptance.results import Spread

    assert str(Spread.of([1.234, 1.254, 1.214])) == "1.234 ± 0.020"


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (1.0, 24.0)])
def test_artefact_is_the_power_at_the_periods_of_the_raster_over_that_beside_them(share, expected):
    from acceptance.raster import PERIODS, artefact_of

    step = 5
    noise = np.ones((PERIODS * step, PERIODS * step))
    periodic = np.zeros_like(noise)
    # What repeats with a step of 5 px has 24 frequencies of its own beside zero; each gets the power of 24 others.
    periodic[::PERIODS, ::PERIODS] = share * (expected - 1)
    assert artefact_of(noise + periodic) == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.engine
@pytest.mark.cluster
def test_smallest_study_runs_from_its_file_to_its_claims(tmp_path):
    command = [sys.executable, str(SCRIPTS / "reproduce.py"), "fractionation", "--quick", "--out", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=800, check=False)
    assert ended.returncode == 0, ended.stderr
    result = json.loads((tmp_path / "quick" / "fractionation.json").read_text())
    assert (result["n_cells"], result["n_failed"], len(result["finding"]["claims"])) == (8, 0, 2)
