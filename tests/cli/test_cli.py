"""The command line as a user meets it: output, JSON, exit codes, help. Each call is a real process."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import click
import h5py
import jsonschema
import numpy as np
import pyarrow.parquet
import pytest
from loaded_modules import loaded_by, loaded_by_status

from fly64dask.base import GLOSSARY
from fly64dask.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
DEMO, TOY = ROOT / "data" / "demo.toml", ROOT / "data" / "toy.toml"
FIVE = {"selection_strategy", "acceptance_rate", "spacing_threshold", "n_accepted", "n_rejected"}
COMMANDS = (
    "new",
    "run",
    "rerun",
    "submit",
    "attach",
    "cancel",
    "status",
    "verify",
    "report",
    "table",
    "compare",
    "runs",
    "clean",
    "merge",
    "push",
    "pull",
    "ingest",
    "orient",
    "probe",
    "export",
    "schema",
    "glossary",
    "worker",
    "completion",
    "doctor",
)


def edited(tmp_path: Path, source: Path, *changes: tuple[str, str]) -> Path:
    """A copy of a study file with some lines changed."""
    text = source.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path = tmp_path / source.name
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def toy(record_case):
    """The record case, run whole: directory, exit code and what was printed."""
    code, stdout, stderr = ((record_case / name).read_text() for name in ("exit_code", "stdout", "stderr"))
    return record_case / "run", SimpleNamespace(returncode=int(code), stdout=stdout, stderr=stderr)


def manifest_of(out: Path) -> dict:
    return json.loads((out / "reconstruction_manifest.json").read_text())


def rows_of(out: Path) -> dict:
    return {(r["dose"], r["view"], r["split"]): r for r in manifest_of(out)["execution_results"]}


@pytest.mark.parametrize("split", ["train", "test"])
def test_run_of_toy_gives_the_recorded_sparse_cell(toy, split):
    row = rows_of(toy[0])[1e3, "sparse", split]
    assert {key: row[key] for key in FIVE} == {
        "selection_strategy": "greedy",
        "acceptance_rate": 0.125,
        "spacing_threshold": 102.4,
        "n_accepted": 1,
        "n_rejected": 7,
    }
    assert (row["returncode"], row["failure_kind"]) == (1, "degenerate_scan")


def test_run_of_toy_finishes_its_other_cells(toy):
    states = {key[1:]: row["returncode"] for key, row in rows_of(toy[0]).items() if key[1] != "sparse"}
    assert states == {(view, split): 0 for view in ("baseline", "dense") for split in ("train", "test")}


def test_run_exits_1_when_a_cell_failed(toy):
    assert toy[1].returncode == 1


def test_run_prints_the_dashboard_and_last_the_manifest(toy):
    out, done = toy
    assert "dashboard: http://127.0.0.1:" in done.stderr
    assert done.stdout.splitlines()[-1] == f"manifest: {out / 'reconstruction_manifest.json'}"


def test_run_leaves_selection_fields_out_of_a_baseline(toy):
    assert not FIVE & set(rows_of(toy[0])[1e3, "baseline", "train"])


def test_run_writes_log_paths_that_exist(toy):
    out = toy[0]
    assert [row["log_path"] for row in rows_of(out).values() if not (out / row["log_path"]).is_file()] == []


def test_run_leaves_no_work_in_progress(toy):
    assert not (toy[0] / ".scratch").exists()


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ("manifest", "reconstruction_manifest.json"),
        ("skip-summary", "skip_summary.json"),
        ("record", "dose_1000/sparse/train/record.json"),
        ("record", "dose_1000/baseline/train/record.json"),
    ],
)
def test_run_writes_files_of_the_published_schema(toy, fly64dask, document, path):
    schema = json.loads(fly64dask("schema", document).stdout)
    written = json.loads((toy[0] / path).read_text())
    jsonschema.validate(written, schema)


def test_schema_of_a_manifest_refuses_another_document(fly64dask):
    schema = json.loads(fly64dask("schema", "manifest").stdout)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"execution_results": []}, schema)


def test_status_shows_the_matrix_and_the_reasons(toy, fly64dask):
    shown = fly64dask("status", toy[0])
    assert shown.returncode == 0
    assert "toy: 4 completed, 2 failed" in shown.stdout
    assert "dose_1000/sparse/test degenerate_scan: kept 1 of 8 exposures" in shown.stdout


def test_status_of_a_folder_of_runs_names_one_of_them(toy, fly64dask):
    done = fly64dask("status", toy[0].parent)
    assert done.returncode == 2
    assert f"give one of the runs in it, such as {toy[0]}; `fly64dask runs` lists them" in done.stderr


def test_status_json_is_one_document(toy, fly64dask):
    document = json.loads(fly64dask("status", toy[0], "--json").stdout)
    assert document["states"] == {"completed": 4, "failed": 2}
    assert len(document["cells"]) == 6


def test_status_imports_no_engine_and_no_dask(toy):
    assert not {"torch", "ptychi", "distributed", "zarr", "scipy"} & loaded_by_status(toy[0])


def test_table_has_a_row_for_each_cell_with_labels_and_units(toy, tmp_path, fly64dask):
    done = fly64dask("table", toy[0], "--out", "t.parquet")
    assert done.stdout.splitlines() == ["table: t.parquet, 6 cells"], done.stderr
    read = pyarrow.parquet.read_table(tmp_path / "t.parquet")
    errors = {(r["view"], r["split"]): r["metrics.phase_rmse_rad"] for r in read.to_pylist()}
    assert errors == {key[1:]: row.get("metrics", {}).get("phase_rmse_rad") for key, row in rows_of(toy[0]).items()}
    metadata = read.schema.field("metrics.phase_rmse_rad").metadata
    assert metadata == {b"label": b"phase error against the truth", b"unit": b"rad", b"better": b"lower"}


def test_table_as_csv_has_a_line_for_each_cell(toy, tmp_path, fly64dask):
    fly64dask("table", toy[0], "--out", "t.csv")
    lines = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert [line["state"] for line in lines].count("completed") == 4
    assert len(lines) == 6


def test_run_again_runs_nothing_twice(toy, tmp_path, fly64dask):
    out = Path(shutil.copytree(toy[0], tmp_path / "run"))
    before = {path: path.stat().st_mtime_ns for path in out.glob("dose_*/*/*/record.json")}
    again = fly64dask("run", TOY, "--out", out)
    assert again.returncode == 1
    assert {path: path.stat().st_mtime_ns for path in out.glob("dose_*/*/*/record.json")} == before


def test_run_of_one_cell_after_another_ends_with_both(tmp_path, fly64dask):
    out = tmp_path / "run"
    study = edited(tmp_path, TOY, ("n_epochs = 20", "n_epochs = 2"))
    for split in ("train", "test"):
        fly64dask("run", study, "--out", out, "--view", "sparse", "--split", split)
    assert set(rows_of(out)) == {(1e3, "sparse", "train"), (1e3, "sparse", "test")}
    assert len(list((out / "snapshots").iterdir())) == 2


def test_run_of_one_filtered_cell_counts_17_skipped(tmp_path, fly64dask):
    out = tmp_path / "run"
    study = edited(tmp_path, DEMO, ("n_epochs = 40", "n_epochs = 2"))
    done = fly64dask("run", study, "--out", out, "--dose", "1000", "--view", "dense", "--split", "train")
    manifest, skipped = manifest_of(out), json.loads((out / "skip_summary.json").read_text())
    assert done.returncode == 0
    assert (manifest["total_jobs"], manifest["filtered_jobs"], len(manifest["jobs"])) == (18, 1, 1)
    assert (skipped["skipped_count"], len(skipped["skipped_jobs"])) == (17, 17)
    assert manifest["filters"] == {
        "dose": [1000.0],
        "view": ["dense"],
        "split": ["train"],
        "gridsize": [],
        "repeat": [],
    }
    assert skipped["skipped_jobs"][0]["reason"]


def test_dry_run_json_lists_cells_under_their_manifest_names(tmp_path, fly64dask):
    done = fly64dask("run", DEMO, "--out", tmp_path / "run", "--dry-run", "--json")
    cells = json.loads(done.stdout)["cells"]
    dense = next(c for c in cells if c["view"] == "dense" and c["split"] == "train")
    baseline = next(c for c in cells if c["view"] == "baseline")
    assert len(cells) == 18
    assert dense.keys() >= FIVE | {"dose", "view", "split", "image_overlap", "group_overlap", "predicted_memory_bytes"}
    assert not FIVE & baseline.keys()


def test_dry_run_writes_nothing(tmp_path, fly64dask):
    fly64dask("run", DEMO, "--out", tmp_path / "run", "--dry-run")
    assert not (tmp_path / "run").exists()


def test_dry_run_of_a_submission_writes_nothing(tmp_path, fly64dask):
    cluster = Path(__file__).parents[2] / "cluster" / "slurm-cpu.toml"
    done = fly64dask("submit", TOY, "--cluster", cluster, "--out", tmp_path / "runs" / "a b", "--dry-run")
    assert done.returncode == 0
    assert not (tmp_path / "runs").exists()


def test_dry_run_reads_the_cluster_file(tmp_path, fly64dask):
    done = fly64dask("run", DEMO, "--out", tmp_path / "run", "--dry-run", "--cluster", tmp_path / "absent.toml")
    assert done.returncode == 2
    assert "read cluster file" in done.stderr


def test_dry_run_names_a_position_of_a_scan_file_that_moves_the_cut_of_the_split(tmp_path, fly64dask):
    positions = 60.0 + 6.0 * np.stack(np.divmod(np.arange(100), 10), axis=1)
    positions[7, 0] = 380
    np.savetxt(tmp_path / "scan.csv", positions, delimiter=",", header="y_px,x_px", comments="")
    source = '[source.scan]\nkind = "file"\npath = "scan.csv"\n'
    text = DEMO.read_text()
    before, after = text[: text.index("[source.scan]")], text[text.index("[[views]]") :]
    study = before.replace("object_shape_px = [232, 232]", "object_shape_px = [450, 450]") + source + after
    (tmp_path / "glitch.toml").write_text(study)
    done = fly64dask("run", tmp_path / "glitch.toml", "--out", tmp_path / "run", "--dry-run")
    assert done.returncode == 1  # its sparse cells will fail
    said = " ".join(done.stdout.split())
    assert "1 of 100 positions lies 266 px or more above all others in y: exposure 7 at y 380 px" in said
    assert "the split's cut is at 220 px, without them at 87" in said


def test_dry_run_predicts_the_degenerate_cells_of_toy(tmp_path, fly64dask):
    cells = json.loads(fly64dask("run", TOY, "--out", tmp_path / "run", "--dry-run", "--json").stdout)["cells"]
    assert {c["view"] for c in cells if "degenerate_scan" in c.get("warning", "")} == {"sparse"}


@pytest.mark.parametrize(("gridsize", "views"), [("1", {"baseline"}), ("2", {"dense", "sparse"})])
def test_dry_run_filters_by_gridsize(tmp_path, fly64dask, gridsize, views):
    done = fly64dask("run", DEMO, "--out", tmp_path / "run", "--dry-run", "--json", "--gridsize", gridsize)
    assert {c["view"] for c in json.loads(done.stdout)["cells"]} == views


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run", str(DEMO), "--out", "o", "--view", "dnese"], "dnese"),
        (["run", str(DEMO), "--out", "o", "--dose", "2000"], "2000"),
        (["run", str(DEMO), "--out", "o", "--dose", "many"], "many"),
        (["run", str(DEMO), "--out", "o", "--split", "left"], "left"),
        (["run", str(DEMO), "--out", "o", "--workers", "0"], "0"),
        (["run", str(DEMO), "--out", "o", "--json"], "--dry-run"),
        (["run", "absent.toml", "--out", "o"], "absent.toml"),
        (["run", str(DEMO)], "--out"),
        (["run", str(ROOT / "data" / "star.toml"), "--out", "o", "--dose", "7"], "7"),
        (["run", str(DEMO), "--out", "o", "--cluster", "tpc://127.0.0.1:1"], "127.0.0.1:1"),
        (["status", "."], "study.json"),
        (["status", "absent"], "absent"),
        (["export", ".", "--out", "x.npz", "--dose", "1"], "--split"),
        (["table", ".", "--out", "t.csv"], "study.json"),
        (["nonsense"], "nonsense"),
    ],
)
def test_command_exits_2_on_bad_input_and_names_it(tmp_path, fly64dask, arguments, named):
    done = fly64dask(*arguments)
    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_run_exits_2_when_cuda_is_wanted_and_missing(tmp_path, fly64dask):
    done = fly64dask("run", TOY, "--out", tmp_path / "run", "--device", "cuda", CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 2
    assert "none of" in done.stderr
    assert "offers the resource GPU" in done.stderr


def test_run_exits_2_when_the_measured_store_is_missing(tmp_path, fly64dask):
    study = edited(tmp_path, ROOT / "data" / "star.toml")
    done = fly64dask("run", study, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert str(tmp_path / "star.zarr") in done.stderr
    assert "fly64dask ingest" in done.stderr
    assert not (tmp_path / "run").exists()


CROWD = "positions_px = [\n" + "  [40.0, 40.0],\n" * 400 + "  [94.0, 118.0],\n"


@pytest.fixture
def unselectable(tmp_path):
    """The record case with 400 positions in one corner and one in the other: a box that would
    hold 3.6 discs of 38.4 px, of which greedy keeps 2."""
    text = TOY.read_text()
    start, end = text.index("positions_px = [\n"), text.index("  [150.0, 40.0]")
    path = tmp_path / "crowd.toml"
    path.write_text(text[:start] + CROWD + text[end:])
    return path


def test_run_records_a_view_that_cannot_be_selected(tmp_path, fly64dask, unselectable):
    out = tmp_path / "run"
    wanted = ("--view", "dense", "--split", "train")
    done = fly64dask("run", unselectable, "--out", out, *wanted)
    row = rows_of(out)[1e3, "dense", "train"]
    skipped = json.loads((out / "skip_summary.json").read_text())["skipped_jobs"]
    assert done.returncode == 1
    assert (row["state"], row["failure_kind"]) == ("skipped", "not_selectable")
    assert any("not_selectable" in job["reason"] for job in skipped)


def test_run_allows_missing_views_when_asked(tmp_path, fly64dask, unselectable):
    wanted = ("--view", "dense", "--split", "train")
    done = fly64dask("run", unselectable, "--out", tmp_path / "run", *wanted, "--allow-missing")
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("given", "asked"), [(("--dose", "1e3"), "give --split"), (("--split", "train"), "give --dose and --split")]
)
def test_export_of_a_run_asks_for_dose_and_split(toy, tmp_path, fly64dask, given, asked):
    done = fly64dask("export", toy[0], *given, "--out", tmp_path / "x.npz")
    assert done.returncode == 2
    assert asked in done.stderr


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_shows_an_example(fly64dask, command):
    done = fly64dask(*command, "--help")
    assert done.returncode == 0
    assert f"fly64dask {command[0]} " in done.stdout if command else all(c in done.stdout for c in COMMANDS)


def test_help_lists_every_command_once_with_a_whole_sentence(fly64dask):
    commands = fly64dask("--help").stdout.partition("A study and its run:")[2].replace("\n" + " " * 14, " ")
    listed = re.findall(r"^  ([a-z]+) +(\S.*)$", commands, re.MULTILINE)
    assert sorted(name for name, _ in listed) == sorted(cli.commands)
    assert [name for name, said in listed if not said.endswith(".")] == []


def test_limits_names_the_keys_of_a_target(toy, fly64dask):
    done = fly64dask("limits", toy[0], "--target", "phase_rad=0.1")
    assert done.returncode == 2
    assert "'phase_rad' is not one of resolution_px, resolution_nm, phase_error_rad" in done.stderr


def test_help_imports_nothing_heavy():
    heavy = {"torch", "ptychi", "distributed", "dask", "zarr", "scipy", "rich"}
    assert not heavy & loaded_by("import fly64dask.cli.main")


def test_doctor_json_reports_every_check(fly64dask):
    done = fly64dask("doctor", "--json")
    checks = {check["name"]: check["state"] for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 0
    assert checks == dict.fromkeys(["versions", "torch", "gpu", "pty-chi", "zarr", "dashboard port"], "ok")


@pytest.mark.parametrize(
    ("document", "file"), [("study", DEMO), ("cluster-file", ROOT / "cluster" / "slurm-pools.toml")]
)
def test_schema_accepts_an_example(fly64dask, document, file):
    import tomllib

    jsonschema.validate(tomllib.loads(file.read_text()), json.loads(fly64dask("schema", document).stdout))


def test_glossary_prints_the_meaning_of_a_word(fly64dask):
    done = fly64dask("glossary", "Split")
    assert (done.returncode, done.stdout.split()) == (0, ["split", *GLOSSARY["split"].meaning.split()])


def test_glossary_refuses_a_word_that_it_does_not_have(fly64dask):
    done = fly64dask("glossary", "flat")
    assert done.returncode == 2
    assert "explain 'flat': it is not in the glossary, which has adaptive study, " in done.stderr


def test_export_of_a_run_writes_what_numpy_reads_without_pickle(toy, tmp_path, fly64dask):
    path = tmp_path / "dense.npz"
    done = fly64dask("export", toy[0], "--dose", "1e3", "--split", "train", "--view", "dense", "--out", path)
    with np.load(path, allow_pickle=False) as arrays:
        metadata = json.loads(str(arrays["_metadata"]))
        n_patterns = len(arrays["diffraction"])
        flat = np.unique(arrays["objectGuess"])
    assert done.returncode == 0
    assert (n_patterns, metadata["n_accepted"], metadata["selection_strategy"]) == (4, 4, "greedy")
    assert flat.tolist() == [1.0]


def test_export_names_the_doses_of_a_run(toy, tmp_path, fly64dask):
    done = fly64dask("export", toy[0], "--dose", "999", "--split", "train", "--out", tmp_path / "x.npz")
    assert done.returncode == 2
    assert "the run has 1000, found --dose 999; give --dose" in done.stderr


@pytest.mark.parametrize(
    ("command", "name", "first_bytes"),
    [
        (("export", "--dose", "1e3", "--split", "train"), "x.npz", b"PK"),
        (("table",), "t.csv", b"dose,view,split,"),
        (("report",), "page.html", b"<!doctype html>"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_file_that_exists_is_replaced_with_force_alone(command, name, first_bytes, toy, tmp_path, fly64dask):
    path = tmp_path / name
    path.write_text("mine")
    done = fly64dask(command[0], toy[0], *command[1:], "--out", path)
    assert (done.returncode, path.read_text()) == (2, "mine")
    assert "give --out another name, or add --force to replace the file" in done.stderr
    assert fly64dask(command[0], toy[0], *command[1:], "--out", path, "--force").returncode == 0
    assert path.read_bytes().startswith(first_bytes)


def test_every_option_for_a_file_to_write_comes_with_force():
    options = {
        (name, option.opts[0], any(other.opts == ["--force"] for other in command.params))
        for name, command in cli.commands.items()
        for option in command.params
        if isinstance(option, click.Option) and isinstance(option.type, click.Path)
        if option.type.file_okay and not option.type.dir_okay and not option.type.exists
    }
    assert options == {
        ("export", "--out", True),
        ("probe", "--png", True),
        ("report", "--out", True),
        ("table", "--out", True),
    }


def test_export_of_a_reconstruction_writes_what_its_suffix_says(toy, tmp_path, fly64dask):
    path, chosen = tmp_path / "x.cxi", ("--dose", "1e3", "--split", "train", "--view", "dense")
    done = fly64dask("export", toy[0], "--reconstruction", *chosen, "--pixel-size-nm", "8,9", "--out", path)
    assert done.returncode == 0, done.stderr
    with h5py.File(path) as file:
        assert file["entry_1/image_1/data"].ndim == 2
        assert file["entry_1/image_1/y_pixel_size"][()] == pytest.approx(8e-9)


def test_export_gives_the_truth_only_when_asked(toy, tmp_path, fly64dask):
    path = tmp_path / "truth.npz"
    fly64dask("export", toy[0], "--dose", "1e3", "--split", "train", "--with-truth", "--out", path)
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["objectGuess"].shape == (244, 160)
        assert len(np.unique(arrays["objectGuess"])) > 1


def test_run_of_an_npz_pair_simulates_from_it(tmp_path, fly64dask):
    rng = np.random.default_rng(0)
    probe = np.zeros((64, 64), np.complex64)
    probe[16:48, 16:48] = 1 + 0.5j
    np.savez(
        tmp_path / "pair.npz",
        objectGuess=np.exp(0.3j * rng.standard_normal((244, 160))).astype(np.complex64),
        probeGuess=probe,
    )
    study = edited(
        tmp_path,
        TOY,
        ('kind = "synthetic"\nobject_shape_px = [244, 160]\nprobe_shape_px = [64, 64]\nseed_pair = 7', PAIR_LINES),
        ("n_epochs = 20", "n_epochs = 2"),
    )
    out = tmp_path / "run"
    done = fly64dask("run", study, "--out", out, "--view", "baseline", "--split", "train")
    assert done.returncode == 0
    assert rows_of(out)[1e3, "baseline", "train"]["metrics"]["empty_phase_rmse_rad"] == pytest.approx(0.3, abs=0.02)


PAIR_LINES = 'kind = "pair"\npath = "pair.npz"'
