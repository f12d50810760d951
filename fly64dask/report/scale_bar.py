"""A bar of a round length in a picture of an object, for figures."""

from __future__ import annotations

import math
from typing import Any


def draw_scale_bar(axis: Any, corner: tuple[float, float], width_px: int, side_nm: float) -> None:
    """Draw a bar of a round length, at most a third of the width, above the lower left corner (x, y) of an image."""
    most_nm = width_px * side_nm / 3
    power = 10.0 ** math.floor(math.log10(most_nm))
    length_nm = next(step * power for step in (5, 2, 1) if step * power <= most_nm)
    x, y = corner[0] + 0.05 * width_px, corner[1] - 0.07 * width_px
    for line_width, colour in ((4.5, "black"), (3, "white")):
        axis.plot([x, x + length_nm / side_nm], [y, y], color=colour, linewidth=line_width, solid_capstyle="butt")
    words = f"{length_nm / 1000:g} µm" if length_nm >= 1000 else f"{length_nm:g} nm"
    box = {"facecolor": "black", "alpha": 0.5, "pad": 1, "linewidth": 0}
    middle = x + length_nm / side_nm / 2
    axis.text(middle, y - 0.03 * width_px, words, color="white", fontsize=6, ha="center", va="bottom", bbox=box)
