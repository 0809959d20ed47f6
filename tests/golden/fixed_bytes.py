"""Make one output of every kind from fixed sources, and give the digest of each file.

What is allowed to change from one release to the next is left out: the record of the ingest
(times, versions, options), the wording of evidence and notes, and the manifest, which covers them.

    python tests/golden/fixed_bytes.py FOLDER > tests/golden/fixed_bytes.json
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import h5py
import numpy as np

import stemzarr
from stemzarr.options import IngestOptions, ReadOptions
from stemzarr.testing import DMAxis, DMImage, write_dm, write_synthetic_dm4
from stemzarr.views.view import View
from stemzarr_catalog import open_lake

SCAN, DETECTOR = (5, 6), (12, 16)
DTYPES: Final = ("uint8", "uint16", "int16", "int32", "float32")
FREE: Final = {
    "UUID", "authoring_user", "consolidated_metadata", "created", "evidence", "files", "ingest",
    "modified", "notes", "options", "provenance", "sample_hash", "version",
}  # fmt: skip
"""Keys of JSON whose values may change."""

LIBRARIES: Final = ("h5py", "hdf5plugin", "numcodecs", "numpy", "torch")
NOT_FIXED: Final = (
    "/source/manifest/",
    ".sqlite",
    "known.jsonl",
    "again.zarr/source/original_metadata/c",
)
"""Files that cover or repeat what may change."""


def write_sources(folder: Path) -> dict[str, IngestOptions]:
    """Write the sources, with the times that they always have, and how each is read."""
    plain = IngestOptions(threads=1)
    found: dict[str, IngestOptions] = {}
    for layout in ("detector-fast", "scan-fast"):
        for dtype in DTYPES:
            name = f"{layout}-{dtype}.dm4"
            write_synthetic_dm4(folder / name, SCAN, DETECTOR, dtype, layout=layout)
            found[name] = plain
    values = np.random.default_rng(1).poisson(3, (*SCAN, *DETECTOR)).astype(np.uint16)
    nm, inverse = DMAxis(scale=0.5, units="nm"), DMAxis(scale=0.125, units="1/nm")
    one = DMImage(data=values, axes=(nm, nm, inverse, inverse), swapped=True, name="cut")
    write_dm(folder / "cut.dm4", [one], thumbnail=False)
    content = (folder / "cut.dm4").read_bytes()
    cut = content.index(values.tobytes()) + values.nbytes * 2 // 3
    (folder / "cut.dm4").write_bytes(content[:cut])
    read = ReadOptions(salvage=True, scan_shape=SCAN)
    found["cut.dm4"] = IngestOptions(threads=1, read=read)
    whole = (folder / "detector-fast-uint16.dm4").read_bytes()
    (folder / "secret.dm4").write_bytes(whole + b" ")
    found["secret.dm4"] = IngestOptions(threads=1, redact=True)
    np.save(folder / "plain.npy", values)
    found["plain.npy"] = plain
    stemzarr.export(folder / "scan-fast-uint16.dm4", folder / "again.hspy")
    found["again.hspy"] = plain
    for path in folder.iterdir():
        os.utime(path, (1_700_000_000, 1_700_000_000))
    return found


@patch.object(stemzarr, "__version__", "0.1.0")
def write_outputs() -> None:
    """Write sources, a lake and exports below the working directory, as one version of the code."""
    (source := Path("sources")).mkdir()
    lake = open_lake(Path("lake"), create=True)
    for name, options in write_sources(source).items():
        lake.ingest(source / name, options=options)
    lake.ingest(source / "plain.npy", options=IngestOptions(threads=1, virtual=True), name="seen")
    exports = Path("exports")
    exports.mkdir()
    for path in sorted(source.glob("*-*.dm4")):
        for suffix in ("hspy", "pt", "npy", "emd", "zarr"):
            stemzarr.export(path, exports / f"{path.stem}.{suffix}")
    views = {
        "binned": View(downsample=(2, 2)),
        "region": View(roi="scan_y=1:4,det_x=2:9"),
        "log": View(normalize="log1p", dtype="float32"),
    }
    for name, view in views.items():
        for suffix in ("hspy", "pt", "npy", "emd"):
            stemzarr.export(
                source / "scan-fast-uint16.dm4", exports / f"{name}.{suffix}", view=view
            )
    for name in ("detector-fast-uint16", "scan-fast-float32"):
        stemzarr.export(Path("lake/stores") / f"{name}.zarr", exports / f"{name}-back.dm4")


def versions() -> dict[str, str]:
    """Return the versions of the libraries that have a say in the bytes."""
    return {name: importlib.metadata.version(name) for name in LIBRARIES}


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of each file below ``folder``, without what may change."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        key = path.relative_to(folder).as_posix()
        if any(part in key for part in NOT_FIXED) or key.startswith("sources/"):
            continue
        found[key] = hashlib.sha256(_kept(path, folder)).hexdigest()[:16]
    return found


def _kept(path: Path, folder: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".json":
        text = json.dumps(_without(json.loads(content)), sort_keys=True)
        return text.replace(json.dumps(str(folder))[1:-1], "").encode()
    if path.suffix == ".emd":
        return "\n".join(_members(path)).encode()
    return content


def _members(path: Path) -> Iterator[str]:
    """Give each group, data set and attribute of an HDF5 file, in the order of their names."""
    with h5py.File(path, "r") as file:
        names: list[str] = []
        file.visit(names.append)
        for name in ["/", *sorted(names)]:
            node = file[name]
            for key in sorted(set(node.attrs) - FREE):
                yield f"{name} {key} {node.attrs[key]!r}"
            if isinstance(node, h5py.Dataset):
                digest = hashlib.sha256(np.asarray(node[()]).tobytes()).hexdigest()
                yield f"{name} {node.dtype} {node.shape} {digest}"


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(inner) for key, inner in value.items() if key not in FREE}
    return [_without(inner) for inner in value] if isinstance(value, list) else value


if __name__ == "__main__":
    target = Path(sys.argv[1]).absolute()
    target.mkdir(parents=True)
    os.chdir(target)
    write_outputs()
    made = {"versions": versions(), "digests": digests(target)}
    sys.stdout.write(json.dumps(made, indent=1) + "\n")
