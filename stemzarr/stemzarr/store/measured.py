"""What a store keeps of the pass that wrote it, read when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from stemzarr.model import Measured, Tiles
from stemzarr.storage.objects import Readable
from stemzarr.store.format.nodes import SMALL_PREVIEWS
from stemzarr.store.format.schema import Nodes
from stemzarr.store.format.tree import read_small_array
from stemzarr.store.scan_array import ScanArrayBlocks

__all__ = ["read_measured", "read_tiles"]


@dataclass(frozen=True, slots=True)
class _Previews:
    """Loads arrays of one group ``preview``; picklable."""

    store: Readable
    group: str
    nodes: Nodes

    def __call__(self, name: str) -> NDArray[Any]:
        return read_small_array(self.store, self.nodes, f"{self.group}/{name}")


def read_measured(store: Readable, nodes: Nodes, group: str) -> Measured | None:
    """Return what a group ``preview`` holds; None where there is no central disk in it."""
    disk = nodes.get(group, {"attributes": {}})["attributes"].get("disk")
    if disk is None:
        return None
    names = tuple(name for name in SMALL_PREVIEWS if f"{group}/{name}" in nodes)
    kept = {f"{group}/{name}": nodes[f"{group}/{name}"] for name in names}
    return Measured(disk=disk, names=names, load=_Previews(store, group, kept))


def read_tiles(store: Readable, nodes: Nodes, group: str, identity: str) -> Tiles | None:
    """Return the tile sums in a group ``preview``; None where there are none."""
    path = f"{group}/tile_sums"
    if path not in nodes:
        return None
    blocks = ScanArrayBlocks.from_node(store, path, nodes[path], identity)
    return Tiles(side=nodes[path]["attributes"]["tile_side"], blocks=blocks)
