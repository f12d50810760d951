"""The smallest study that reconstructs: 60 exposures of 24 x 24, one view of it degenerate."""

from __future__ import annotations

from fly64dask.study import Study, parse_study

TEXT = """
schema_version = 1
name = "tiny"
doses_photons = [1e4, 1e5]
views = [
    {name = "all", rule = "baseline"},
    {name = "few", rule = "min_spacing", threshold_px = 12.0},
    {name = "one", rule = "min_spacing", threshold_px = 60.0},
]
overlap = {diameter_px = 10.0}
recipe = {n_epochs = 3, batch_size = 16, device = "cpu"}
[source]
kind = "synthetic"
object_shape_px = [72, 72]
probe_shape_px = [24, 24]
seed_pair = 1
scan = {kind = "uniform", n_exposures = 60, low_px = 12, high_px = 60}
"""


def tiny_study(**changes: object) -> Study:
    """The study with some of its own fields or its recipe's changed."""
    study = parse_study(TEXT, origin="tiny.toml")
    of_recipe = {name: value for name, value in changes.items() if name in type(study.recipe).model_fields}
    of_study = {name: value for name, value in changes.items() if name not in of_recipe}
    return study.model_copy(update=of_study | {"recipe": study.recipe.model_copy(update=of_recipe)})
