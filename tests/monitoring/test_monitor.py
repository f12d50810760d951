"""The page, the metrics and the report of a run, asked over HTTP while it runs. Real clusters."""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from html.parser import HTMLParser

import pytest
import tiny
import tornado.testing
import tornado.web
from distributed import Client, LocalCluster
from faulty_engine import ENGINE, EPOCH_S, FOLDER, MARKUP
from prometheus_client.parser import text_string_to_metric_families
from running import PATHS, running
from tiny import tiny_study

from fly64dask.base import GLOSSARY, ResourceError
from fly64dask.deploy import Placement
from fly64dask.monitoring.dashboard.monitor import reported
from fly64dask.monitoring.dashboard.page import add_page
from fly64dask.runs import run_study
from fly64dask.store import RunLayout
from fly64dask.study import cells

pytestmark = pytest.mark.cluster

# Twelve cells: four of them are degenerate, one fails with a message that is markup, and one waits to be looked at.
STUDY = tiny.TEXT.replace("n_epochs = 3", "n_epochs = 8")
FAULTS = {"dose_100000-few-train": "markup", "dose_10000-all-train": 5}


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A run while cells of it are running and one has failed: what its addresses answered, and its end."""
    folder = tmp_path_factory.mktemp("monitor")
    with running(folder, study=STUDY, faults=FAULTS, epoch_s=0.3) as run:
        run.wait_for(lambda: "failed" in {cell["state"] for cell in run.state()["cells"] if cell["view"] == "few"})
        run.wait_for(lambda: any(cell["epoch"] >= 2 for cell in run.state()["cells"] if cell["state"] == "running"))
        state, metrics, page = run.state(), run.get("metrics"), run.get("fly64")
        with urllib.request.urlopen(run.address("fly64"), timeout=300) as answer:
            headers = dict(answer.headers)
        parts = {name: run.get(f"fly64/{name}") for name in ("page.js", "page.css", "words.json")}
        with urllib.request.urlopen(run.address("fly64/"), timeout=300) as answer:
            redirected = answer.url == run.address("fly64")
        run.tell({"dose_100000-few-train": "markup"})
        exit_code = run.process.wait(timeout=300)
    return {
        "state": state,
        "metrics": {family.name: family for family in text_string_to_metric_families(metrics)},
        "page": page,
        "headers": headers,
        "parts": parts,
        "redirected": redirected,
        "exit_code": exit_code,
        "layout": run.layout,
        "said": run.said.read_text(),
    }


def test_run_says_where_its_page_is(asked):
    assert re.search(r"^matrix: http://127\.0\.0\.1:\d+/fly64$", asked["said"], re.MULTILINE)


def test_page_state_has_every_cell_of_the_matrix(asked):
    names = [cell["name"] for cell in asked["state"]["cells"]]
    assert sorted(names) == sorted(cell.name for cell in cells(tiny_study()))


def test_page_state_tells_epoch_worker_and_host_of_a_running_cell(asked):
    cell = next(cell for cell in asked["state"]["cells"] if cell["state"] == "running" and cell["epoch"] >= 2)
    assert cell["worker"] in ("0", "1")
    assert cell["host"] == os.uname().nodename
    assert cell["n_epochs"] == 8


def test_page_state_counts_cells_by_state(asked):
    counts = asked["state"]["counts"]
    assert sum(counts.values()) == 12
    assert counts["running"] == sum(cell["state"] == "running" for cell in asked["state"]["cells"])


def test_page_state_carries_a_failure_with_its_reason(asked):
    (failure,) = [cell["failure"] for cell in asked["state"]["cells"] if cell["name"] == "dose_100000/few/train"]
    assert failure.startswith(f"crashed: ValueError: {MARKUP}; read the cell's ptychi.log")


def test_page_refuses_scripts_and_styles_from_elsewhere_and_inline(asked):
    policy = asked["headers"]["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert not re.search("unsafe|http|\\*", policy)


def test_page_asks_for_nothing_from_elsewhere(asked):
    links = Links()
    links.feed(asked["page"])
    assert links.found
    assert [link for link in links.found if "//" in link and not link.startswith("data:")] == []
    others = {name: set(re.findall(r"https?://[^\"'\s)]+", text)) for name, text in asked["parts"].items()}
    assert others == {"page.js": {"http://www.w3.org/2000/svg"}, "page.css": set(), "words.json": set()}


def test_page_never_sets_markup(asked):
    assert not re.search("innerHTML|outerHTML|insertAdjacentHTML|document.write|eval", asked["parts"]["page.js"])


def test_page_explains_its_words_as_the_glossary_does(asked):
    words = json.loads(asked["parts"]["words.json"])
    assert {"cell", "dose", "view", "split"} <= set(words)
    assert words == {word: GLOSSARY[word].meaning.replace("`", "") for word in words}


def test_page_is_found_with_a_slash_at_the_end(asked):
    assert asked["redirected"]


def test_metrics_carry_cells_by_state_beside_dasks_own(asked):
    samples = asked["metrics"]["fly64dask_cells"].samples
    found = {sample.labels["state"]: sample.value for sample in samples}
    assert {sample.labels["study"] for sample in samples} == {"tiny"}
    assert sum(found.values()) == 12
    assert found["running"] >= 1
    assert "dask_scheduler_workers" in asked["metrics"]


def test_metrics_count_epochs(asked):
    (sample,) = asked["metrics"]["fly64dask_epochs"].samples
    assert (sample.name, sample.labels) == ("fly64dask_epochs_total", {"study": "tiny"})
    assert sample.value >= 2


def test_run_leaves_dasks_report_though_cells_failed(asked):
    assert asked["exit_code"] == 1
    text = asked["layout"].dask_report_file.read_text()
    assert "Dask Performance Report" in text
    assert "reconstruct-dose_100000-few-test-" in text


def test_report_opens_without_a_network(asked):
    links = Links()
    links.feed(asked["layout"].dask_report_file.read_text())
    assert [link for link in links.found if not link.startswith("data:")] == []
    # A browser obeys this for what scripts would load as well.
    assert links.policy.startswith("default-src 'none'; script-src 'unsafe-inline'")
    assert "http" not in links.policy


class Links(HTMLParser):
    """What a browser would load or offer of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.policy = ""

    def handle_starttag(self, tag, attributes):
        if dict(attributes).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attributes)["content"]
        if tag != "a":
            self.found += [value for name, value in attributes if name in ("src", "href") and value]


class PageTest(tornado.testing.AsyncHTTPTestCase):
    """The page without a cluster."""

    def get_app(self):
        application = tornado.web.Application()
        add_page(application, lambda page: {"study": "</script><script>", "page": page})
        return application

    def test_state_is_json_that_a_browser_takes_for_nothing_else(self):
        answer = self.fetch("/fly64/state.json")
        assert json.loads(answer.body) == {"study": "</script><script>", "page": 0}
        assert answer.headers["Content-Type"].startswith("application/json")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    def test_state_is_of_the_page_that_is_asked_for(self):
        assert json.loads(self.fetch("/fly64/state.json?page=3").body)["page"] == 3

    def test_state_is_of_the_first_page_where_no_number_is_asked_for(self):
        for words in ("page=", "page=-1", "page=1e3", "page=%C2%B2", "page=99999999999999999999"):
            assert json.loads(self.fetch(f"/fly64/state.json?{words}").body)["page"] == 0

    def test_page_is_that_of_the_last_run(self):
        add_page(self.get_app(), lambda page: {})  # of another scheduler
        add_page(self._app, lambda page: {"study": "later"})
        assert json.loads(self.fetch("/fly64/state.json").body) == {"study": "later"}

    def test_other_paths_are_not_found(self):
        assert {self.fetch(f"/fly64/{path}").code for path in ("page.html", "../cli.py", "%2e%2e/cli.py", "x")} == {404}


@pytest.fixture
def faultless(tmp_path, monkeypatch):
    (tmp_path / "faults.json").write_text("{}")
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setenv(EPOCH_S, "0")
    monkeypatch.setenv("PYTHONPATH", PATHS)


def run_here(layout, where="local"):
    """Run two cells in this process; gives what it said."""
    said = []
    study = tiny_study(doses_photons=(1e5,), views=tiny_study().views[1:2])
    placement = Placement(where=where, n_workers=1)
    run_study(study, layout.root, placement=placement, say=said.append, engine=ENGINE)
    return said


def test_run_on_a_scheduler_of_another_process_says_that_it_has_no_page(tmp_path, faultless):
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
    ) as cluster:
        said = run_here(RunLayout(tmp_path / "run"), cluster.scheduler_address)
        address = cluster.dashboard_link.replace("/status", "/fly64")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(address, timeout=300)
    assert "matrix: no page on a scheduler of another process; use `fly64dask status RUN --watch`" in said
    assert (tmp_path / "run" / "dask-report.html").stat().st_size > 10_000


def test_report_replaces_that_of_the_last_run(tmp_path, faultless):
    layout = RunLayout(tmp_path / "run")
    layout.root.mkdir()
    layout.dask_report_file.write_text("of the last run")
    said = run_here(layout)
    assert "Dask Performance Report" in layout.dask_report_file.read_text()
    assert [line for line in said if "dask-report" in line] == []


def test_report_that_cannot_be_written_is_said_and_fails_nothing(tmp_path):
    said = []
    (tmp_path / "file").touch()
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
        reported(client, tmp_path / "file" / "dask-report.html", said.append),
    ):
        pass
    assert len(said) == 1
    assert said[0].startswith("no dask-report.html: write ")


def test_report_of_a_lost_scheduler_hides_no_error(tmp_path):
    said = []
    with pytest.raises(ResourceError, match="the scheduler is gone"):  # noqa: SIM117, PT012
        with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address="127.0.0.1:0") as cluster:
            with Client(cluster) as client, reported(client, tmp_path / "dask-report.html", said.append):
                raise ResourceError("cluster: the scheduler is gone", remedy="run again")
    assert list(tmp_path.iterdir()) == []
