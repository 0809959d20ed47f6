"""Views: frozen recipes over a 4D document, and the array work that renders them."""

from __future__ import annotations

from stemzarr.pixels.boxes import Box, BoxPlan, plan_boxes
from stemzarr.pixels.threads import map_in_threads as map_boxes
from stemzarr.views.kernels import downsample
from stemzarr.views.moments import measure_blocks
from stemzarr.views.region import parse_roi
from stemzarr.views.render import ViewBlocks
from stemzarr.views.tile_sums import TileSums, tile_sums
from stemzarr.views.view import Method, Normalize, Reduce, View
from stemzarr.views.viewed import apply, measure_document
from stemzarr.views.virtual import find_center, virtual_image

__all__ = [
    "Box",
    "BoxPlan",
    "Method",
    "Normalize",
    "Reduce",
    "TileSums",
    "View",
    "ViewBlocks",
    "apply",
    "downsample",
    "find_center",
    "map_boxes",
    "measure_blocks",
    "measure_document",
    "parse_roi",
    "plan_boxes",
    "tile_sums",
    "virtual_image",
]
