from .cxi import (
    IMAGE as IMAGE,
    image_pixel_nm as image_pixel_nm,
    read_cxi as read_cxi,
    recognise_cxi as recognise_cxi,
)
from .data001 import (
    read_data001 as read_data001,
    recognise_data001 as recognise_data001,
)
from .detector import (
    read_detector as read_detector,
    recognise_detector as recognise_detector,
)
from .electron import (
    read_empad as read_empad,
    read_mib as read_mib,
    read_py4dstem as read_py4dstem,
    recognise_py4dstem as recognise_py4dstem,
)
from .named import (
    names_something as names_something,
    read_named as read_named,
    read_options as read_options,
    refuse_names as refuse_names,
)
from .ptychodus import (
    read_pattern_arrays as read_pattern_arrays,
    read_product as read_product,
    recognise_pattern_arrays as recognise_pattern_arrays,
    recognise_product as recognise_product,
)
from .ptychoshelves import (
    read_patterns as read_patterns,
    read_shelves_result as read_shelves_result,
    recognise_patterns as recognise_patterns,
    recognise_shelves_result as recognise_shelves_result,
)
from .ptylab import (
    read_ptylab as read_ptylab,
    recognise_ptylab as recognise_ptylab,
)
from .ptypy import (
    read_prepared as read_prepared,
    read_result as read_result,
    recognise_prepared as recognise_prepared,
    recognise_result as recognise_result,
)
from .text_positions import (
    read_text_positions as read_text_positions,
)
from .tike import (
    read_tike as read_tike,
    recognise_tike as recognise_tike,
)
