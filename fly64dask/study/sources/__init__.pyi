from .scans import (
    ConcentricScan as ConcentricScan,
    FermatSpiralScan as FermatSpiralScan,
    FileScan as FileScan,
    ListedScan as ListedScan,
    RasterScan as RasterScan,
    Scan as Scan,
    UniformScan as UniformScan,
)
from .setup import (
    Setup as Setup,
    SetupAxes as SetupAxes,
)
from .source import (
    MAX_OBJECT_PIXELS as MAX_OBJECT_PIXELS,
    ForwardModel as ForwardModel,
    MeasuredSource as MeasuredSource,
    ObjectKind as ObjectKind,
    PairSource as PairSource,
    Source as Source,
)
