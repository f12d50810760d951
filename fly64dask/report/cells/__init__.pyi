from .content import (
    cell_content as cell_content,
    places_of as places_of,
    quantities_of as quantities_of,
)
from .reading import (
    CellArrays as CellArrays,
    CellReader as CellReader,
    read_group as read_group,
)
