"""The sources of a study: where its exposures come from, and for a simulation with which object, probe and model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from fly64dask.base import Frozen
from fly64dask.study.quantities import PathText, PixelSizeNm, refuse_repeats
from fly64dask.study.sources.scans import Scan

# 2 GB of complex64: beyond any detector's field (our choice).
MAX_OBJECT_PIXELS = 2**28
# One seed, or several of as many objects; told apart by type, so that a wrong seed is one fault and not two.
Seed = Annotated[int, Field(ge=0)]
SeedOrSeeds = Annotated[
    Annotated[Seed, Tag("one")] | Annotated[tuple[Seed, ...], Field(min_length=1), Tag("several")],
    Discriminator(lambda seeds: "several" if isinstance(seeds, list | tuple) else "one"),
]
ShapePx = tuple[Annotated[int, Field(ge=8, le=65536)], Annotated[int, Field(ge=8, le=65536)]]


# The forward model of a simulation: the object is illuminated on a grid so many times as fine as the detector's.
Oversampling = Literal[1, 2, 4]
ForwardModel = Literal["grid", "fine_2", "fine_4"]
FORWARD_MODELS: dict[Oversampling, ForwardModel] = {1: "grid", 2: "fine_2", 4: "fine_4"}


# What a built-in object shows (`fly64dask.simulation.make_object`).
ObjectKind = Literal["speckle", "siemens_star", "photographs", "white_noise"]


class SimulatedSource(Frozen):
    """The fields that all sources of simulated exposures have: the forward model and the scan.

    Parameters
    ----------
    oversampling : 1, 2 or 4
        How many times as fine as the detector's the grid is on which exposures are simulated; 1 is the engine's own
        model.
    scan : scan
        Positions of the exposures.
    pixel_size_nm : float or (float, float), optional
        Side of a pixel of the object, or its sides (y, x), nm; if omitted no length is given in nm.
    """

    oversampling: Oversampling = 1
    scan: Scan
    pixel_size_nm: PixelSizeNm | None = None

    @property
    def forward_model(self) -> ForwardModel:
        """The forward model that makes the exposures."""
        return FORWARD_MODELS[self.oversampling]


class SyntheticSource(SimulatedSource):
    """Exposures simulated from a built-in object and probe; of several objects if `seed_pair` lists their seeds.

    Parameters
    ----------
    kind : "synthetic"
        Simulate from a built-in object.
    object_shape_px, probe_shape_px : (int, int)
        Height and width of the array of the object and of the probe, px; the probe's is also the detector's.
    seed_pair : int or tuple of int
        Seed from which object and probe are made; several make as many objects with one probe, each cell with each of
        them.
    object : "speckle", "siemens_star", "photographs" or "white_noise"
        What the object shows.
    """

    kind: Literal["synthetic"]
    object_shape_px: ShapePx
    probe_shape_px: ShapePx
    seed_pair: SeedOrSeeds
    object: ObjectKind = "speckle"

    @model_validator(mode="after")
    def _object_fits_in_memory(self) -> SyntheticSource:
        height, width = (self.oversampling * size for size in self.object_shape_px)
        if height * width > MAX_OBJECT_PIXELS:
            raise ValueError(
                f"object_shape_px with oversampling {self.oversampling} is {height} x {width}, more than "
                f"{MAX_OBJECT_PIXELS} px; give a smaller object or oversampling"
            )
        return self

    @field_validator("seed_pair")
    @classmethod
    def _distinct_seeds(cls, seeds: SeedOrSeeds) -> SeedOrSeeds:
        if isinstance(seeds, tuple):
            refuse_repeats("seed", list(map(str, seeds)))
        return seeds


class PairSource(SimulatedSource):
    """Exposures simulated from an object and a probe in a file.

    Parameters
    ----------
    kind : "pair"
        Simulate from a file.
    path : str
        An NPZ that holds `objectGuess` and `probeGuess`; a relative path starts at the study file.
    """

    kind: Literal["pair"]
    path: PathText


class MeasuredSource(Frozen):
    """Measured exposures, as `fly64dask ingest` stored them.

    Parameters
    ----------
    kind : "measured"
        Use a measured scan.
    path : str
        The Zarr store that `fly64dask ingest` wrote; a relative path starts at the study file.
    pixel_size_nm : float or (float, float), optional
        Side of a pixel of the object, or its sides (y, x), nm; if omitted the store's own, if it has one.
    """

    kind: Literal["measured"]
    path: PathText
    pixel_size_nm: PixelSizeNm | None = None

    @property
    def forward_model(self) -> None:
        """None: nothing is simulated."""
        return


Source = Annotated[SyntheticSource | PairSource | MeasuredSource, Field(discriminator="kind")]
