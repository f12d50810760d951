"""One cell to one committed record: what is stored, kept, redone and refused. Real Zarr, real pty-chi."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import json
import logging
import re
import shutil
import warnings

import numpy as np
import pytest
import zarr
from one_cell import request_of, run_one
from tiny import tiny_study
from zarr.storage import ZipStore

from fly64dask.base import Failure, FailureKind, IntegrityError, describe, digest, failure_kind
from fly64dask.cells import Caller, EngineCall, RunId, commit_lost, new_run_id, stop_run
from fly64dask.datasets import expose_split, prepare_scan, select_view
from fly64dask.monitoring import CellOutcome, read_live
from fly64dask.records import cell_key, next_attempt, read_record, read_rows, write_manifest
from fly64dask.report import CellReader, draw_cell
from fly64dask.runs import Run
from fly64dask.store import (
    ExposureAttributes,
    ReconstructionAttributes,
    RunLayout,
    ViewAttributes,
    counts_array,
    note,
    open_group,
    photons_array,
    positions_array,
    probe_array,
    started,
    write_group,
)
from fly64dask.study import Cell, Checkpoints, Filters, Limits, MeasuredSource, Recipe


def cell_of(view, split="train"):
    return Cell(dose=1e5, view=view, split=split)


def silent(epoch, loss):
    pass


@pytest.fixture
def layout(tmp_path):
    found = RunLayout(tmp_path / "run")
    study = tiny_study()
    prepare_scan(study, found)
    expose_split(study, 1e5, "train", found)
    for view in ("all", "few", "one"):
        select_view(study, view, "train", found)
    return found


def test_run_cell_commits_a_record_with_what_ran(layout):
    outcome = run_one(tiny_study(), cell_of("few"), layout, None, silent)
    record = read_record(layout, cell_of("few"))
    assert outcome.failure is None
    assert (record.state, record.returncode, record.attempt, record.n_epochs) == ("completed", 0, 1, 3)
    assert record.selection.n_accepted == record.n_kept
    assert record.device == "cpu"
    assert record.acceleration.startswith("accelerated by compiled loops with transforms of ")
    assert set(record.versions) >= {"ptychi", "torch", "zarr", "fly64dask", "python"}
    assert record.seeds.grouping == 123


def test_run_cell_stores_the_reconstruction_that_its_digests_name(layout):
    run_one(tiny_study(), cell_of("few"), layout, None, silent)
    record = read_record(layout, cell_of("few"))
    group = layout.reconstruction_group(cell_of("few"))
    reconstruction = open_group(group, ReconstructionAttributes)
    loss = reconstruction.read("loss")
    assert {record.digests[name] for name in reconstruction.names} == {*reconstruction.array_sha256.values()}
    assert loss[-1] == record.final_loss
    assert reconstruction.attributes.n_epochs == len(loss)


def test_run_cell_stores_the_halves_the_curve_and_which_epoch_was_kept(layout):
    study = tiny_study(stop="half_sets", halves="counts", patience=3)
    run_one(study, cell_of("all"), layout, None, silent)
    record = read_record(layout, cell_of("all"))
    group = zarr.open_group(ZipStore(layout.reconstruction_group(cell_of("all"))), mode="r")
    assert (record.stopping.rule, record.stopping.n_epochs_run) == ("half_sets", 3)
    assert np.argmin(group["validation"][:]) + 1 == record.stopping.best_epoch
    assert group["half_objects"].shape == (2, *group["object_recon"].shape[1:])
    assert group["frc_halves"].shape == group["frc_halves_frequency"].shape
    assert (record.half_sets.split_by, record.half_sets.missing) == ("counts", None)
    assert record.half_sets.n_pixels > 0


def test_run_cell_stores_refined_positions_and_weights_of_opr_modes(layout):
    run_one(tiny_study(refine_positions=True, opr_modes=2), cell_of("all"), layout, None, silent)
    record = read_record(layout, cell_of("all"))
    group = open_group(layout.reconstruction_group(cell_of("all")), ReconstructionAttributes)
    kept = open_group(layout.view_group("all", "train"), ViewAttributes).read("kept_indices")
    exposures = open_group(layout.exposure_group(cell_of("all").dose, "train"), ExposureAttributes)
    moved = group.read("positions_recon_px") - exposures.read("positions_px", kept)
    assert record.position_drift_px == pytest.approx(np.sqrt((moved**2).sum(axis=1).mean()))
    assert 0 < record.position_drift_px < 0.5
    assert group.read("opr_weights_recon").shape == (len(kept), 2)


def test_plot_of_a_cell_shows_how_far_positions_moved(layout):
    study = tiny_study(refine_positions=True)
    run_one(study, cell_of("all"), layout, None, silent)
    record = read_record(layout, cell_of("all"))
    arrays = CellReader(study, layout, read_rows(layout, [cell_of("all")])).read(*read_rows(layout, [cell_of("all")]))
    titles = [axis.get_title() for axis in draw_cell(*read_rows(layout, [cell_of("all")]), arrays).axes]
    assert any(f"{record.position_drift_px:.2g} px rms" in title for title in titles)


def test_run_cell_times_the_comparison_of_half_sets_where_there_is_no_truth(layout):
    shutil.rmtree(layout.truth_group())
    run_one(tiny_study(halves="counts", n_epochs=2), cell_of("few"), layout, None, silent)
    record = read_record(layout, cell_of("few"))
    assert record.metrics is None
    assert 0 < record.metrics_seconds < record.seconds


def test_run_cell_says_why_there_are_no_halves(layout):
    # Of one exposure there are no two halves.
    study = tiny_study(halves="exposures", on_degenerate="guarded", n_epochs=2)
    run_one(study, cell_of("one"), layout, None, silent)
    record = read_record(layout, cell_of("one"))
    assert record.state == "completed"
    assert "kept 1 of 1 exposure by turns" in record.half_sets.missing


def test_cell_key_changes_with_each_setting_of_the_recipe_but_the_device():
    key = functools.partial(
        cell_key, {"counts": "c"}, seed=1, engine="engine", versions={"ptychi": "2.2.0", "torch": "2.5"}
    )
    recipe = tiny_study().recipe
    changes = [{"halves": "counts"}, {"halves": "exposures"}, {"threads": 2}, {"stop": "held_out"}, {"patience": 5}]
    assert len({key(recipe), *(key(recipe.model_copy(update=change)) for change in changes)}) == 6
    assert key(recipe.model_copy(update={"device": "cuda"})) == key(recipe)


def test_cell_key_is_what_it_was_before_a_recipe_had_a_key_that_is_at_its_default():
    before = {
        **{"algorithm": "LSQML", "n_epochs": 7, "batch_size": 96, "noise_model": "poisson", "optimise_probe": True},
        **{"on_degenerate": "fail", "guarded": False, "accelerated": True, "stop": "epochs", "patience": None},
        **{"halves": "none", "threads": 1},
    }
    versions = {"ptychi": "2.2.0", "torch": "2.5"}
    key = functools.partial(cell_key, {"counts": "c"}, seed=1, engine="engine", versions=versions)
    recipe = Recipe(n_epochs=7, noise_model="poisson")
    assert key(recipe) == digest([{"counts": "c"}, before, 1, "engine", versions])
    later = [{"batching": "uniform"}, {"object_step_size": 0.5}, {"probe_step_size": 0.5}, {"momentum_gain": 0.5}]
    later += [{"object_update_start": 2}, {"probe_update_start": 2}, {"probe_modes": 2}]
    later += [{"opr_modes": 2}, {"probe_support": 0.1}, {"probe_power_photons": 1e4}, {"refine_positions": True}]
    later += [{"position_update_start": 2}, {"position_step_size": 1.0}, {"position_limit_px": 2.0}]
    assert len({key(recipe), *(key(recipe.model_copy(update=change)) for change in later)}) == 15


def test_engine_call_leaves_the_log_of_its_process_as_it_was(tmp_path):
    def settings():
        loggers = [logging.getLogger(name) for name in ("fly64dask", "ptychi", "py.warnings")]
        return [(log.level, log.propagate, list(log.handlers)) for log in loggers], warnings.showwarning

    logging.captureWarnings(True)
    try:
        before = settings()
        request = request_of(tiny_study(), cell_of("few"), RunLayout(tmp_path / "empty"))
        result = EngineCall(request=request, directory=tmp_path, cell_key="key")(silent)
        assert settings() == before
    finally:
        logging.captureWarnings(False)
    assert result.kind == "bad_input"
    assert "state=failed kind=bad_input" in (tmp_path / "ptychi.log").read_text()


def test_run_cell_writes_each_epoch_to_its_log(layout):
    run_one(tiny_study(), cell_of("few"), layout, None, silent)
    log = layout.log_file(cell_of("few")).read_text()
    assert [f"epoch={i}" in log for i in (1, 2, 3, 4)] == [True, True, True, False]


def test_run_cell_measures_the_truth_only_where_there_is_one(layout):
    run_one(tiny_study(), cell_of("few"), layout, None, silent)
    assert read_record(layout, cell_of("few")).metrics.empty_phase_rmse_rad > 0
    layout.truth_group().rename(layout.root / "elsewhere")
    run_one(tiny_study(n_epochs=2), cell_of("few"), layout, None, silent)
    assert read_record(layout, cell_of("few")).metrics is None


def test_run_cell_measures_no_measured_scan_against_the_truth_of_an_older_study(layout):
    measured = MeasuredSource(kind="measured", path="scan.zarr")
    run_one(tiny_study(source=measured), cell_of("few"), layout, None, silent)
    record = read_record(layout, cell_of("few"))
    assert (record.state, record.metrics) == ("completed", None)


def test_run_counts_an_attempt_that_was_not_committed(layout):
    cell = cell_of("few")
    run_one(tiny_study(), cell, layout, None, silent)
    write_manifest(tiny_study(), layout, Filters(), {}, read_rows(layout, [cell]))
    n_failed = {}
    for committed in (True, False):
        outcome = CellOutcome(cell=cell, failure=None, seconds=1.0, committed=committed)
        run = Run(tiny_study(), layout, requested=(cell,), outcomes={cell: outcome})
        n_failed[committed] = run.n_failed(allow_missing=False)
    assert n_failed == {True: 0, False: 1}


def test_run_cell_gives_the_engine_no_way_to_the_truth(layout):
    run_one(tiny_study(), cell_of("all"), layout, None, silent)
    with_truth = read_record(layout, cell_of("all")).digests["object_recon"]
    layout.truth_group().rename(layout.root / "elsewhere")
    layout.cell_directory(cell_of("all")).rename(layout.root / "first")
    run_one(tiny_study(), cell_of("all"), layout, None, silent)
    assert read_record(layout, cell_of("all")).digests["object_recon"] == with_truth


def test_run_cell_does_nothing_when_the_same_cell_is_done(layout):
    run_one(tiny_study(), cell_of("few"), layout, None, silent)
    before = layout.record_file(cell_of("few")).read_bytes()
    outcome = run_one(tiny_study(), cell_of("few"), layout, None, silent)
    assert outcome.was_done
    assert layout.record_file(cell_of("few")).read_bytes() == before


def test_run_cell_runs_again_for_another_recipe_and_keeps_the_old_attempt(layout):
    run_one(tiny_study(), cell_of("few"), layout, None, silent)
    before = layout.record_file(cell_of("few")).read_bytes()
    run_one(tiny_study(n_epochs=2), cell_of("few"), layout, None, silent)
    kept = layout.history_directory(cell_of("few"), 1) / "record.json"
    assert kept.read_bytes() == before
    assert read_record(layout, cell_of("few")).attempt == 2


def test_run_cell_runs_again_on_pty_chis_own_steps_when_the_recipe_wants_them(layout):
    run_one(tiny_study(), cell_of("few"), layout, None, silent)
    run_one(tiny_study(accelerated=False), cell_of("few"), layout, None, silent)
    attributes = open_group(layout.reconstruction_group(cell_of("few")), ReconstructionAttributes).attributes
    record = read_record(layout, cell_of("few"))
    assert (record.attempt, record.acceleration) == (2, "unmodified: the recipe says so")
    assert attributes.acceleration == record.acceleration


def test_run_cell_records_a_degenerate_scan(layout):
    outcome = run_one(tiny_study(), cell_of("one"), layout, None, silent)
    record = read_record(layout, cell_of("one"))
    assert outcome.failure.kind is FailureKind.DEGENERATE_SCAN
    assert (record.state, record.returncode, record.failure_kind) == ("failed", 1, "degenerate_scan")
    assert record.final_loss is None
    assert "at >= 60 px" in record.error


def test_run_cell_records_an_engine_that_takes_too_long(layout):
    study = tiny_study(n_epochs=1_000_000, limits=Limits(wall_time_s=2.0))
    run_one(study, cell_of("few"), layout, None, silent)
    record = read_record(layout, cell_of("few"))
    assert (record.state, record.failure_kind) == ("failed", "timed_out")
    assert "allowed are 2 s" in layout.log_file(cell_of("few")).read_text()


def test_run_cell_tries_again_after_a_failure_that_may_pass(layout):
    study = tiny_study(n_epochs=1_000_000, limits=Limits(wall_time_s=1.0))
    run_one(study, cell_of("few"), layout, None, silent)
    assert not run_one(study, cell_of("few"), layout, None, silent).was_done
    assert read_record(layout, cell_of("few")).attempt == 2


def test_run_cell_keeps_a_lasting_failure(layout):
    run_one(tiny_study(), cell_of("one"), layout, None, silent)
    assert run_one(tiny_study(), cell_of("one"), layout, None, silent).was_done


def test_run_cell_flags_a_guarded_result_as_underdetermined(layout):
    run_one(tiny_study(on_degenerate="guarded"), cell_of("one"), layout, None, silent)
    record = read_record(layout, cell_of("one"))
    assert (record.state, record.underdetermined) == ("completed", True)


def test_run_cell_flags_no_other_result_as_underdetermined(layout):
    run_one(tiny_study(on_degenerate="guarded"), cell_of("few"), layout, None, silent)
    assert read_record(layout, cell_of("few")).underdetermined is False


def test_run_cell_records_why_it_was_blocked(layout):
    blocked = Failure(kind=FailureKind.NOT_SELECTABLE, message="kept none")
    run_one(tiny_study(), cell_of("few"), layout, blocked, silent)
    record = read_record(layout, cell_of("few"))
    assert (record.state, record.failure_kind, record.error) == ("skipped", "not_selectable", "kept none")


def test_run_cell_refuses_damaged_counts_by_name(layout):
    chunk = layout.exposure_group(1e5, "train") / "counts" / "c.0.0.0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 4
    chunk.write_bytes(data)
    run_one(tiny_study(), cell_of("all"), layout, None, silent)
    record = read_record(layout, cell_of("all"))
    assert record.failure_kind == "bad_input"
    assert "chunk c.0.0.0" in record.error


def test_run_cell_records_exposures_without_light(layout):
    group = layout.exposure_group(1e5, "train")
    # Written by our own writer: whole, only without a photon.
    exposures = open_group(group, ExposureAttributes)
    positions, probe = exposures.read("positions_px"), exposures.read("probe_guess")
    dark = np.zeros((len(positions), 24, 24), np.uint16)
    group.rename(layout.root / "lit")
    group.mkdir()
    photons = dark.sum(axis=(1, 2))
    arrays = [
        counts_array(dark.shape, dark.dtype, [dark]),
        photons_array(len(photons), [photons], dtype=photons.dtype),
        positions_array(positions),
        probe_array(probe),
    ]
    write_group(group, exposures.attributes, arrays)
    run_one(tiny_study(), cell_of("all"), layout, None, silent)
    assert "0 photons" in read_record(layout, cell_of("all")).error


def test_run_cell_reports_a_record_that_cannot_be_written(layout):
    (layout.root / "dose_100000").write_text("a file where the directory belongs")
    outcome = run_one(tiny_study(n_epochs=1), cell_of("few"), layout, None, silent)
    assert not outcome.committed
    assert outcome.failure is not None


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"attempt": 1', '"attempt": 2'),
        lambda text: "",
        lambda text: json.dumps([1, 2]),
        lambda text: text.replace("completed", "failed"),
    ],
)
def test_read_record_refuses_a_damaged_record(layout, damage):
    run_one(tiny_study(n_epochs=1), cell_of("few"), layout, None, silent)
    path = layout.record_file(cell_of("few"))
    path.write_text(damage(path.read_text()))
    with pytest.raises(IntegrityError, match=r"few/train/record\.json"):
        read_record(layout, cell_of("few"))


def test_read_record_refuses_the_record_of_another_cell(layout):
    run_one(tiny_study(n_epochs=1), cell_of("few"), layout, None, silent)
    layout.cell_directory(cell_of("few")).rename(layout.cell_directory(cell_of("all", "train")).parent.parent / "x")
    layout.cell_directory(cell_of("all")).parent.mkdir(parents=True, exist_ok=True)
    (layout.root / "dose_100000" / "x").rename(layout.cell_directory(cell_of("all")))
    with pytest.raises(IntegrityError, match="is the record of dose_100000/few/train"):
        read_record(layout, cell_of("all"))


def test_run_cell_redoes_a_damaged_record_and_keeps_it_in_the_history(layout):
    run_one(tiny_study(n_epochs=1), cell_of("few"), layout, None, silent)
    layout.record_file(cell_of("few")).write_text("{")
    outcome = run_one(tiny_study(n_epochs=1), cell_of("few"), layout, None, silent)
    assert not outcome.was_done
    assert read_record(layout, cell_of("few")).attempt == 2
    assert (layout.history_directory(cell_of("few"), 1) / "record.json").read_text() == "{"


def test_next_attempt_starts_at_one(layout):
    assert next_attempt(layout, cell_of("few")) == 1


def test_expose_split_leaves_the_same_exposures_alone(layout):
    chunk = layout.exposure_group(1e5, "train") / "counts" / "c.0.0.0"
    before = chunk.stat().st_mtime_ns
    expose_split(tiny_study(), 1e5, "train", layout)
    assert chunk.stat().st_mtime_ns == before


def test_expose_split_replaces_exposures_of_another_seed(layout):
    study = tiny_study()
    other = study.model_copy(update={"seeds": study.seeds.model_copy(update={"simulation": 43})})
    before = zarr.open_group(str(layout.exposure_group(1e5, "train")), mode="r")["counts"][:]
    prepare_scan(other, layout)
    expose_split(other, 1e5, "train", layout)
    after = zarr.open_group(str(layout.exposure_group(1e5, "train")), mode="r")["counts"][:]
    assert before.shape != after.shape or not np.array_equal(before, after)


def test_expose_split_stores_the_dose_it_was_asked_for(layout):
    group = zarr.open_group(str(layout.exposure_group(1e5, "train")), mode="r")
    assert group.attrs["dose_photons"] == 1e5
    assert group.attrs["mean_counts_photons"] == pytest.approx(group["counts"][:].sum() / group["counts"].shape[0])


class _LinAlgError(Exception):
    """torch's class of this name."""


class OutOfMemoryError(RuntimeError):
    """torch's class of this name."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "out_of_memory"),
        (OutOfMemoryError("CUDA"), "out_of_memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "out_of_memory"),
        (_LinAlgError("linalg.solve"), "singular_matrix"),
        (np.linalg.LinAlgError("Singular matrix"), "singular_matrix"),
        (RuntimeError("The input matrix is singular"), "singular_matrix"),
        (ZeroDivisionError(), "crashed"),
        (IntegrityError("x", remedy="y"), "bad_input"),
    ],
)
def test_failure_kind_names_an_exception(error, kind):
    assert failure_kind(error) == kind


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("a sum is negative"), "ValueError: a sum is negative; read the cell's ptychi.log"),
        (MemoryError(), "MemoryError; lower batch_size"),
        (np.linalg.LinAlgError("Singular matrix"), "LinAlgError: Singular matrix; the scan does not determine"),
        (OSError(28, "No space left on device"), "make space, rights or descriptors available and run again"),
        (IntegrityError("chunk is gone", remedy="repair it"), "chunk is gone; repair it"),
        (ValueError("\x1b[2J"), "ValueError: \\x1b[2J; read"),
    ],
)
def test_describe_says_what_was_found_and_what_to_do(error, text):
    assert text in describe(error)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EMFILE, errno.EIO, errno.EDQUOT])
def test_failure_kind_names_what_the_storage_refused(number):
    assert failure_kind(OSError(number, "refused")) == "storage_failed"


def test_run_cell_ends_without_a_record_when_nobody_waits_for_it(layout):
    study = tiny_study(n_epochs=1_000_000)
    outcome = run_one(study, cell_of("few"), layout, None, silent, caller=Caller(abandoned=lambda: True))
    assert (outcome.committed, outcome.failure.kind) == (False, "interrupted")
    assert read_record(layout, cell_of("few")) is None
    assert [path for path in layout.scratch.rglob("*") if path.is_file()] == []


def test_run_cell_commits_that_it_was_interrupted_and_goes_on_from_its_checkpoint(layout):
    study = tiny_study(n_epochs=200, checkpoints=Checkpoints(every_n_epochs=10, min_seconds=0))
    run_id = RunId(root=str(layout.root), token="first")

    def stop_after_fifty(epoch, loss):
        if epoch == 50:
            asyncio.run(stop_run_now(run_id))

    run_one(study, cell_of("few"), layout, None, stop_after_fifty, run_id=run_id)
    first = read_record(layout, cell_of("few"))
    checkpoint = layout.checkpoint_file(cell_of("few"))
    head, _, state = checkpoint.read_bytes().partition(b"\n")
    checkpoint.write_bytes(json.dumps(json.loads(head) | {"seconds": 1000.0}).encode() + b"\n" + state)
    run_one(study, cell_of("few"), layout, None, silent)
    second = read_record(layout, cell_of("few"))
    assert (first.state, first.failure_kind) == ("interrupted", "interrupted")
    assert (second.state, second.n_epochs) == ("completed", 200)
    assert second.resumed_from_epoch >= 40
    assert second.seconds > 1000.0  # those of the attempt from whose checkpoint it went on too
    assert not layout.checkpoint_file(cell_of("few")).exists()


def test_run_cell_removes_the_checkpoint_of_a_worker_that_died_right_after_its_record(layout):
    cell = cell_of("one")  # degenerate, which no later run changes
    run_one(tiny_study(), cell, layout, None, silent)
    left = layout.checkpoint_file(cell)
    left.parent.mkdir(parents=True, exist_ok=True)
    left.touch()
    assert run_one(tiny_study(), cell, layout, None, silent).was_done
    assert not left.exists()


async def stop_run_now(run_id):
    """Ask without waiting: the cell that shall stop is the caller."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop_run(run_id), timeout=0.01)


def test_run_cell_runs_nothing_twice_within_a_run(layout):
    study = tiny_study(n_epochs=1_000_000, limits=Limits(wall_time_s=1.0))
    run_id = RunId(root=str(layout.root), token="same")
    run_one(study, cell_of("few"), layout, None, silent, run_id=run_id)
    assert run_one(study, cell_of("few"), layout, None, silent, run_id=run_id).was_done


def test_run_cell_drops_its_attempt_when_another_worker_has_committed_the_cell_meanwhile(layout):
    """A worker whose link was lost goes on for a while, after another has been given its cell."""
    study = tiny_study()
    inner = []

    def other_worker(epoch, loss):
        if epoch == study.recipe.n_epochs:
            inner.append(run_one(study, cell_of("few"), layout, None, silent))

    outer = run_one(study, cell_of("few"), layout, None, other_worker)
    journal = layout.journal_file(cell_of("few")).read_text()
    assert [inner[0].was_done, outer.was_done] == [False, True]
    assert [word for word in ("ended", "dropped") for _ in re.findall(f" {word} ", journal)] == ["ended", "dropped"]
    assert next_attempt(layout, cell_of("few")) == 2
    assert [path for path in layout.scratch.rglob("*") if path.is_file()] == []


def test_commit_lost_leaves_a_record_that_its_worker_committed_before_it_died(layout):
    run_one(tiny_study(), cell_of("few"), layout, None, silent)
    lost = Failure(kind=FailureKind.WORKER_LOST, message="its workers died")
    outcome = commit_lost(request_of(tiny_study(), cell_of("few"), layout), lost)
    assert (outcome.failure, outcome.was_done) == (None, True)
    assert read_record(layout, cell_of("few")).state == "completed"


def test_commit_lost_keeps_the_last_words_of_the_engine(layout):
    left = layout.cell_scratch(cell_of("few")) / ".train-1"
    left.mkdir(parents=True)
    (left / "ptychi.log").write_text("the last words\n")
    commit_lost(request_of(tiny_study(), cell_of("few"), layout), Failure(kind=FailureKind.WORKER_LOST, message="died"))
    assert layout.log_file(cell_of("few")).read_text().startswith("the last words\n")


def test_run_cell_refuses_to_start_what_the_disk_cannot_hold(layout, monkeypatch):
    """The disk's own figure is the one thing that a test cannot make small everywhere."""
    usage = shutil.disk_usage(layout.root)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    run_one(tiny_study(limits=Limits(room_wait_s=0)), cell_of("few"), layout, None, silent)
    record = read_record(layout, cell_of("few"))
    assert record.failure_kind == "storage_failed"
    assert "0.0 of" in record.error
    assert "needed are" in record.error


@pytest.fixture
def filling(layout, monkeypatch):
    """A disk that is full as long as this holds something."""
    usage, full = shutil.disk_usage(layout.root), [True]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000) if full else usage)
    return full


def test_run_cell_waits_on_a_full_disk_and_goes_on_once_there_is_room(layout, filling):
    reasons, shown = [], []

    def free(reason):
        reasons.append(reason)
        shown.append([live.waits for live in read_live(layout, [cell_of("few")]).values()])
        filling.clear()

    run_one(tiny_study(), cell_of("few"), layout, caller=Caller(progress=silent, waiting=free))
    assert shown == [[reasons[0]], []], "its live file says why it waits, and is gone once it does not"
    record = read_record(layout, cell_of("few"))
    assert (record.state, record.attempt) == ("completed", 1)
    assert re.fullmatch(rf"write {layout.root}: 0\.0 of \d+ MB are free, needed are \d\.\d MB", reasons[0])
    assert reasons[1:] == [None]


def test_run_cell_does_not_take_a_start_that_waited_for_one_that_a_worker_died_of(layout, filling):
    run_id = new_run_id(layout)
    for _ in range(2):
        killed_while_running(layout, run_id, "")
    caller = Caller(waiting=lambda reason: filling.clear())
    assert run_one(tiny_study(), cell_of("few"), layout, run_id=run_id, caller=caller).failure is None
    lines = layout.journal_file(cell_of("few")).read_text().splitlines()
    words = [line.split(maxsplit=3)[3].partition(" attempt=")[0] for line in lines]
    assert words == ["started"] * 3 + ["waits for room", "goes on", "started", "ended state=completed kind=None"]


def test_run_cell_stops_waiting_for_room_when_its_run_is_stopped(layout, filling):
    run_id = RunId(root=str(layout.root), token="waits")

    def stop(reason):
        asyncio.run(stop_run_now(run_id))

    outcome = run_one(tiny_study(), cell_of("few"), layout, run_id=run_id, caller=Caller(waiting=stop))
    assert outcome.committed is False
    assert read_record(layout, cell_of("few")) is None


def test_run_cell_keeps_a_journal_of_its_attempts(layout):
    run_one(tiny_study(), cell_of("few"), layout, None, silent)
    run_one(tiny_study(n_epochs=2), cell_of("few"), layout, None, silent)
    lines = layout.journal_file(cell_of("few")).read_text().splitlines()
    assert [re.sub(r"run=[0-9a-f]+", "run=RUN", line.split(maxsplit=3)[3]) for line in lines] == [
        "started attempt=1 run=RUN checkpoint=-",
        "ended state=completed kind=None",
        "started attempt=2 run=RUN checkpoint=-",
        "ended state=completed kind=None",
    ]


def killed_while_running(layout, run_id, checkpoint):
    """Leave behind what a worker leaves that was killed while it ran the cell."""
    note(layout.journal_file(cell_of("few")), started(1, run=run_id.token, checkpoint=checkpoint))


def test_run_cell_fails_a_cell_that_three_workers_of_its_run_died_of(layout):
    run_id = new_run_id(layout)
    for _ in range(3):
        killed_while_running(layout, run_id, "")
    outcome = run_one(tiny_study(), cell_of("few"), layout, None, silent, run_id=run_id)
    assert outcome.failure.kind == "worker_lost"
    assert read_record(layout, cell_of("few")).failure_kind == "worker_lost"


def test_run_cell_leaves_a_cell_alone_that_workers_of_its_run_died_of(layout):
    run_id = new_run_id(layout)
    for _ in range(3):
        killed_while_running(layout, run_id, "")
    for _ in range(2):  # Dask asks again if the worker is lost that told of the failure
        run_one(tiny_study(), cell_of("few"), layout, None, silent, run_id=run_id)
    assert read_record(layout, cell_of("few")).failure_kind == "worker_lost"
    assert read_record(layout, cell_of("few")).attempt == 1


def test_run_cell_runs_a_cell_whose_workers_died_in_another_run(layout):
    for _ in range(3):
        killed_while_running(layout, new_run_id(layout), "")
    assert run_one(tiny_study(), cell_of("few"), layout, None, silent).failure is None


def test_run_cell_forgives_deaths_between_which_the_cell_went_on(layout):
    run_id = new_run_id(layout)
    for checkpoint in ("", "", "1", "1", "2", "2"):
        killed_while_running(layout, run_id, checkpoint)
    assert run_one(tiny_study(), cell_of("few"), layout, None, silent, run_id=run_id).failure is None
