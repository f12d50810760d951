"""What a report shows of a run -> one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from fly64dask.report.columns import csv_bytes, parquet_bytes
from fly64dask.report.pictures import ColourMap, hex_colours, palette_png, shrink

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fly64dask.report.cells import CellView, Curve, Image

# All pictures and positions of a page together, as text; the rest is a few kB a cell (our choice).
PICTURE_BYTES = 10_000_000
# A picture is first tried at this length of its longer side; below the other it says nothing (our choice).
BEST_SIDE_PX, LEAST_SIDE_PX = 400, 40
MAX_POSITIONS, MAX_CURVE_POINTS = 2000, 240
N_KEY_COLOURS = 64
# In this order pictures are given up where there is no room; any other goes first.
GIVEN_UP = (
    "half_difference",
    "probe_phase",
    "amplitude_difference",
    "amplitude_truth",
    "probe_amplitude",
    "amplitude",
    "light",
    "phase_truth",
    "phase_difference",
    "phase",
)


@dataclass(slots=True)
class PictureStore:
    """Pictures of a page, each one once, within a budget that the cells still to come share evenly."""

    n_cells: int
    budget_bytes: int = PICTURE_BYTES
    images: list[str] = field(default_factory=list)
    scans: dict[str, Any] = field(default_factory=dict)
    _index: dict[str, int] = field(default_factory=dict)

    def add_cell(self, view: CellView) -> dict[str, Any]:
        """Take in what one cell shows, made smaller or left out where it is too much.

        Parameters
        ----------
        view : CellView
            The cell.

        Returns
        -------
        dict
            `pictures`, each with its place in `images`; `scan`, the key of its positions; `left_out`.
        """
        allowance = self.budget_bytes // max(1, self.n_cells)
        self.n_cells -= 1
        scan, cost = self._add_scan(view.positions_px, allowance)
        pictures, left_out = self._fitting(view.images, allowance - cost)
        return {"pictures": [self._keep(*one) for one in pictures], "scan": scan, "left_out": left_out}

    def _fitting(self, images: Sequence[Image], allowance: int) -> tuple[list[tuple[Image, bytes, int]], list[str]]:
        """Draw images at the largest size that fits."""
        wanted, side = list(images), BEST_SIDE_PX
        while wanted:
            drawn = [(image, *_draw(image, side)) for image in wanted]
            cost = sum(_text_bytes(png) for png in {png for _, png, _ in drawn if _digest(png) not in self._index})
            if cost <= allowance:
                return drawn, [image.key for image in images if image not in wanted]
            longest = max(max(image.values.shape) for image in wanted)
            side = int(min(side, longest) * min(0.9, math.sqrt(max(allowance, 0) / cost)))
            if side < LEAST_SIDE_PX:
                side = LEAST_SIDE_PX
                if all(block >= max(image.values.shape) / LEAST_SIDE_PX for image, _, block in drawn):
                    wanted.remove(min(wanted, key=_rank))
        return [], [image.key for image in images]

    def _keep(self, image: Image, png: bytes, block: int) -> dict[str, Any]:
        key = _digest(png)
        if key not in self._index:
            self._index[key] = len(self.images)
            self.images.append(base64.b64encode(png).decode())
            self.budget_bytes -= _text_bytes(png)
        scale = image.scale
        return {
            "key": image.key,
            "image": self._index[key],
            "height_px": image.values.shape[0],
            "width_px": image.values.shape[1],
            "y_px": image.origin_px[0],
            "x_px": image.origin_px[1],
            "block_px": block,
            "scale": {"low": scale.low, "high": scale.high, "colours": scale.colours, "unit": scale.unit},
        }

    def _add_scan(self, positions_px: NDArray[np.float64] | None, allowance: int) -> tuple[str | None, int]:
        """Keep positions once for all cells that share them; they may take a quarter of what a cell has."""
        if positions_px is None:
            return None, 0
        key = hashlib.sha256(positions_px.tobytes()).hexdigest()[:16]
        if key in self.scans:
            return key, 0
        bytes_each = 16
        n_shown = min(len(positions_px), MAX_POSITIONS, max(1, allowance // 4 // bytes_each))
        shown = np.unique(np.linspace(0, len(positions_px) - 1, n_shown).astype(int))
        self.scans[key] = {"n": len(positions_px), "yx": positions_px[shown].round(1).tolist()}
        self.budget_bytes -= n_shown * bytes_each
        return key, n_shown * bytes_each


def curve_points(curve: Curve) -> dict[str, list[float | None]]:
    """Points of a curve for the page: evenly taken where there are many, to five digits, null where not finite."""
    some = np.unique(np.linspace(0, len(curve.x) - 1, min(len(curve.x), MAX_CURVE_POINTS)).astype(int))
    return {axis: [_short(value) for value in getattr(curve, axis)[some].tolist()] for axis in ("x", "y")}


def render_page(content: Mapping[str, Any], store: PictureStore, flat_rows: Sequence[Mapping[str, Any]]) -> str:
    """Join content, pictures, table, style and script to one page.

    Parameters
    ----------
    content : mapping
        JSON-like; what the page's script reads, but for pictures and colours. `study` is its name.
    store : PictureStore
        Pictures and positions.
    flat_rows : sequence of mapping
        Rows for the table that can be downloaded.

    Returns
    -------
    str
        HTML. Its policy lets nothing be loaded and no script run but its own, whatever a run's names
        and messages hold; these come as JSON, and are only ever set as text.
    """
    style, script = _file("page.css", of="monitoring") + _file("report.css"), _file("report.js")
    colours = {name: hex_colours(name, N_KEY_COLOURS) for name in get_args(ColourMap)}
    data = {**content, "images": store.images, "scans": store.scans, "colours": colours}
    policy = (
        f"default-src 'none'; img-src data:; style-src {_source(style)}; script-src {_source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "POLICY": policy,
        "TITLE": html.escape(f"{content['study']} · fly64dask report"),
        "NAME": html.escape(str(content["study"])),
        "STYLE": style,
        "SCRIPT": script,
        "DATA": _script_json(data),
        "CSV": base64.b64encode(csv_bytes(flat_rows)).decode(),
        "PARQUET": base64.b64encode(parquet_bytes(flat_rows)).decode(),
    }
    return re.sub("@([A-Z]+)@", lambda found: parts[found[1]], _file("report.html"))


def _draw(image: Image, side: int) -> tuple[bytes, int]:
    """PNG of an image, and how many pixels of it a pixel of that averages along each axis."""
    small = shrink(image.values, side, cyclic=image.cyclic)
    return palette_png(small, image.scale), math.ceil(max(image.values.shape) / side)


def _rank(image: Image) -> int:
    return GIVEN_UP.index(image.key) if image.key in GIVEN_UP else -1


def _digest(png: bytes) -> str:
    return hashlib.sha256(png).hexdigest()


def _text_bytes(png: bytes) -> int:
    """Length of a PNG in base64."""
    return -(-len(png) // 3) * 4


def _short(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None


def _script_json(document: Any) -> str:
    """JSON that may stand inside a script element: no character of it can end the element."""
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _file(name: str, *, of: str = "report") -> str:
    """Text of a static file of a package; the report shares colours with the page of a run under way."""
    return resources.files(f"fly64dask.{of}").joinpath("web", name).read_text(encoding="utf-8")
