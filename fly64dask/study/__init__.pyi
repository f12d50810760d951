from .adaptive import (
    Adaptive as Adaptive,
    Addition as Addition,
    Repeats as Repeats,
    doses_of as doses_of,
    n_added_cells as n_added_cells,
    with_additions as with_additions,
)
from .additions import (
    additions_of as additions_of,
)
from .choice import (
    choose_cell as choose_cell,
    part_of_study as part_of_study,
)
from .differences import (
    StudyDifference as StudyDifference,
    study_differences as study_differences,
)
from .files import (
    absolute_source as absolute_source,
)
from .matrix import (
    Cell as Cell,
    CellCoordinates as CellCoordinates,
    Filters as Filters,
    Realisation as Realisation,
    Section as Section,
    cells as cells,
    realisation_of as realisation_of,
    realisations as realisations,
    repeats_of as repeats_of,
    section_of as section_of,
    sections as sections,
    skip_reasons as skip_reasons,
)
from .model import Study as Study
from .names import (
    DOSE_UNITS as DOSE_UNITS,
    DOSE_WORDS as DOSE_WORDS,
    MAX_DOSE_PHOTONS as MAX_DOSE_PHOTONS,
    SPLIT_NAMES as SPLIT_NAMES,
    Dose as Dose,
    DoseBy as DoseBy,
    DoseWord as DoseWord,
    Split as Split,
    dose_name as dose_name,
    object_name as object_name,
    photons_name as photons_name,
)
from .parsing import (
    checked_study as checked_study,
    parse_study as parse_study,
    parse_toml as parse_toml,
)
from .quantities import (
    MAX_EXPOSURES as MAX_EXPOSURES,
    MAX_LENGTH_PX as MAX_LENGTH_PX,
    MIN_LENGTH_PX as MIN_LENGTH_PX,
    two_sides_nm as two_sides_nm,
)
from .recipes.named import (
    NamedRecipe as NamedRecipe,
)
from .recipes.recipe import (
    PATIENCE as PATIENCE,
    Algorithm as Algorithm,
    Checkpoints as Checkpoints,
    Limits as Limits,
    Recipe as Recipe,
)
from .recipes.remedy import (
    GUARDED_MAX_EPOCHS as GUARDED_MAX_EPOCHS,
    MENDS as MENDS,
    REMEDY_KINDS as REMEDY_KINDS,
    Remedy as Remedy,
    RemedyKind as RemedyKind,
    overridden_by_guard as overridden_by_guard,
    remedied_recipe as remedied_recipe,
)
from .reference import (
    CellReference as CellReference,
    FileReference as FileReference,
    Reference as Reference,
)
from .settings import (
    OverlapMeasure as OverlapMeasure,
    Seeds as Seeds,
    SplitRule as SplitRule,
    Splitting as Splitting,
)
from .sources.scans import (
    ConcentricScan as ConcentricScan,
    FermatSpiralScan as FermatSpiralScan,
    FileScan as FileScan,
    ListedScan as ListedScan,
    RasterScan as RasterScan,
    Scan as Scan,
    UniformScan as UniformScan,
)
from .sources.setup import (
    Setup as Setup,
    SetupAxes as SetupAxes,
)
from .sources.source import (
    MAX_OBJECT_PIXELS as MAX_OBJECT_PIXELS,
    ForwardModel as ForwardModel,
    MeasuredSource as MeasuredSource,
    ObjectKind as ObjectKind,
    PairSource as PairSource,
)
from .targets import (
    AGAINST_WORDS as AGAINST_WORDS,
    CRITERION_WORDS as CRITERION_WORDS,
    Target as Target,
    resolved_target as resolved_target,
)
from .views import (
    BaselineView as BaselineView,
    FirstView as FirstView,
    FractionView as FractionView,
    SpacingView as SpacingView,
    StrideView as StrideView,
    View as View,
)
