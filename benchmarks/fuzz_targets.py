"""What `fuzz.py` can feed: for each format its seeds, its mutations, and what is done with it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, cast
from unittest import mock

import numpy as np

from stemzarr.errors import StemzarrError
from stemzarr.storage.files import forget_open_files
from stemzarr.testing.mutation import dump_loosely, mutate_bytes, mutate_dm, mutate_json

_SMALL = 1 << 20
_EVERY = 64
"""One input of so many that can be read passes the whole contract of readers."""


class Target:
    """One format; `run` returns what became of an input, or raises what it must not."""

    name: ClassVar[str]
    suffix: ClassVar[str]
    salvages: ClassVar[bool] = False
    """Whether half of the inputs are salvaged."""

    def __init__(self) -> None:
        memory = Path("/dev/shm")  # noqa: S108 - a file system without a disk
        where = memory if os.access(memory, os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix="stemzarr-fuzz-", dir=where))
        self.path = self.folder / f"damaged{self.suffix}"

    def prepare(self) -> None:
        """Import all that is needed, before memory is limited."""
        import dask.array  # noqa: F401 - the contract of readers makes Datasets

        for seed in self.seeds():
            with contextlib.suppress(Exception):  # it is run again as the first input
                self.run(seed)

    def seeds(self) -> list[bytes]:
        """Return inputs that are whole."""
        raise NotImplementedError

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        """Return a damaged form of an input."""
        return mutate_bytes(data, rng)

    def run(self, data: bytes) -> str:
        """Read an input as far as it goes."""
        self.path.write_bytes(data)
        try:
            return self.read(data)
        except StemzarrError as error:
            str(error).encode()
            return type(error).__name__

    def read(self, data: bytes) -> str:
        """Read all that the input holds: facts, metadata, header, pixels."""
        from stemzarr.api import info
        from stemzarr.options import ReadOptions
        from stemzarr.registry import read_source
        from stemzarr.testing.contracts import check_reader

        chance = zlib.crc32(data)
        options = ReadOptions(salvage=self.salvages and bool(chance & 1))
        source = read_source(self.path, options)
        json.dumps(source.load_metadata(), allow_nan=False, ensure_ascii=False).encode()
        for document in source.documents:
            _read_corners(document.blocks, len(data))
        if source.complete and source.segments:
            pixels = sum(segment.nbytes for segment in source.segments)
            assert pixels + len(source.load_header()) == len(data), "header and pixels are not all"
        if chance // 2 % _EVERY == 0 and all(d.nbytes < _SMALL for d in source.documents):
            json.dumps(info(self.path, options), allow_nan=False)
            check_reader(self.path, options, memory=len(data) + (64 << 20))
            forget_open_files()
        return "read"


def _read_corners(blocks: Any, size: int) -> None:  # noqa: ANN401 - any Blocks
    from stemzarr.model import read_all, read_box

    one = (1,) * len(blocks.shape)
    read_box(blocks, (0,) * len(blocks.shape), one)
    read_box(blocks, tuple(n - 1 for n in blocks.shape), one)
    nbytes = int(np.prod(blocks.shape, dtype=object)) * blocks.dtype.itemsize
    if nbytes <= 2 * size + _SMALL:
        read_all(blocks)


class Dm(Target):
    """DM3 and DM4 files, their fields known."""

    name = "dm"
    suffix = ".dm4"
    salvages = True

    def seeds(self) -> list[bytes]:
        """Return whole inputs."""
        return list(dm_seeds(self.folder))

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        """Return a damaged form of an input."""
        return mutate_dm(data, rng)


def dm_seeds(folder: Path) -> Iterator[bytes]:
    """Yield small files of every kind, both versions and both byte orders."""
    from stemzarr.testing import DMAxis, DMImage, microscope_tags, write_dm

    nm, inverse = DMAxis(scale=0.5, origin=1, units="nm"), DMAxis(scale=0.1, units="1/nm")
    scan = np.arange(2 * 3 * 4 * 5, dtype=np.uint16).reshape(2, 3, 4, 5)
    plane = np.fft.fftshift(np.fft.fft2(np.arange(16.0).reshape(4, 4))).astype(np.complex64)
    scan_image = DMImage(
        data=scan,
        axes=(nm, nm, inverse, inverse),
        swapped=True,
        format="Diffraction image",
        tags=microscope_tags((2, 3)),
        name="scan",
    )
    slow = DMImage(data=scan, layout="scan-fast", axes=(nm, nm, inverse, inverse))
    survey = DMImage(data=np.ones((6, 7), np.float32), axes=(nm, nm), unique_id=(1, 2, 3, 4))
    spectra = DMImage(
        data=scan[0].astype(np.float32),
        kind="spectrum-image",
        layout="scan-fast",
        axes=(nm, nm, DMAxis(scale=0.5, units="eV")),
        tags={"SI": {"Acquisition": {"Date": "1.2.24"}}},
    )
    colour = DMImage(data=np.ones((3, 4, 4), np.uint8), color=True)
    titan = DMImage(
        data=scan.reshape(6, 4, 5),
        kind="stack",
        tags={"4D STEM Tags": {"Scan shape X": np.uint32(3), "Scan shape Y": np.uint32(2)}},
    )
    packed = DMImage(data=plane, packed=True, kind="image")
    bare = DMImage(data=np.arange(5, dtype=np.int32), kind="spectrum")
    path = folder / "seed.dm4"
    fewer: dict[str, Any] = {"DocumentObjectList": [], "ImageSourceList": [], "Image Behavior": {}}
    for images in (
        [scan_image],
        [slow],
        [survey, scan_image],
        [spectra],
        [titan],
        [packed],
        [bare],
    ):
        for version, little, thumbnail in ((4, True, False), (3, True, False), (4, False, False)):
            write_dm(
                path, images, version=version, little_endian=little, thumbnail=thumbnail, tags=fewer
            )
            yield path.read_bytes()
    write_dm(path, [colour, bare], thumbnail=np.zeros((2, 2, 4), np.uint8))
    yield path.read_bytes()
    path.unlink()


class Npy(Target):
    """numpy's own files."""

    name = "npy"
    suffix = ".npy"

    def seeds(self) -> list[bytes]:
        """Return whole inputs."""
        import io

        found = []
        for values in (
            np.ones((2, 3, 4, 4), "<u2"),
            np.ones((3, 4), ">f4", order="F"),
            np.ones(7, "c8"),
        ):
            file = io.BytesIO()
            np.save(file, values)
            found.append(file.getvalue())
        return found


class Ndata(Target):
    """Nion Swift's zip files."""

    name = "ndata"
    suffix = ".ndata"
    salvages = True

    def seeds(self) -> list[bytes]:
        """Return whole inputs."""
        from stemzarr.testing.files import FILE_WRITERS

        values = np.arange(2 * 3 * 4 * 4, dtype="u1").reshape(2, 3, 4, 4)
        names = ("ndata", "ndata1")
        return [FILE_WRITERS[name](self.folder, values, "x").read_bytes() for name in names]


class Ser(Target):
    """Series of TIA."""

    name = "ser"
    suffix = ".ser"
    salvages = True

    def seeds(self) -> list[bytes]:
        """Return whole inputs."""
        from stemzarr.testing.tia import write_ser

        values = np.arange(2 * 3 * 4 * 4, dtype="u2").reshape(2, 3, 4, 4)
        path, found = self.folder / "seed.ser", []
        for used, inner in ((values, 2), (values[0], 2), (values[0, 0], 2), (values[0], 1)):
            for version in (0x0210, 0x0220):
                write_ser(path, used, inner=inner, version=version)
                found.append(path.read_bytes())
        return found


class Empad2(Target):
    """Words of an EMPAD-G2 and the constants beside them: either is damaged."""

    name = "empad2"
    suffix = "_x2_y2.raw"
    salvages = True

    def __init__(self) -> None:
        super().__init__()
        from stemzarr.testing.empad2 import write_calibration

        self.sensor = self.folder / "sensor.h5"
        write_calibration(self.sensor)
        self.constants = self.sensor.read_bytes()

    def seeds(self) -> list[bytes]:
        """Return whole inputs: words, and constants, which are known by their first bytes."""
        return [np.arange(4 * 128**2, dtype="<u4").tobytes(), self.constants]

    def run(self, data: bytes) -> str:
        """Read an input as far as it goes."""
        if data[:4] != self.constants[:4]:
            self.sensor.write_bytes(self.constants)
            return super().run(data)
        self.sensor.write_bytes(data)
        try:
            return super().run(self.seeds()[0])
        finally:
            forget_open_files()


class K2is(Target):
    """One sector of a K2-IS, mostly in the headers of its blocks, or its tags."""

    name = "k2is"
    suffix = "_.gtg"
    salvages = True

    def __init__(self) -> None:
        super().__init__()
        from stemzarr.testing.k2is import K2IS_SHAPE, write_k2is

        frames = np.arange(4 * 1860 * 2048, dtype="u2").reshape(4, *K2IS_SHAPE) % 4096
        write_k2is(self.folder, frames, (1, 3), opened=1, lead=[2] * 8, name="damaged_")
        self.sector = self.folder / "damaged_3.bin"
        self.whole = {path: path.read_bytes() for path in (self.path, self.sector)}

    def seeds(self) -> list[bytes]:
        """Return whole inputs, which are known by their first bytes."""
        return list(self.whole.values())

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        """Return a damaged form of an input: headers of blocks, blocks that are lost or twice."""
        if data[:4] == self.whole[self.path][:4]:
            return mutate_bytes(data, rng)
        size = 0x5758
        blocks = [data[at : at + size] for at in range(0, len(data), size)]
        for _ in range(rng.randrange(1, 4)):
            place = rng.randrange(len(blocks))
            changed = [mutate_bytes(blocks[place][:40], rng) + blocks[place][40:]]
            blocks[place : place + 1] = rng.choice([changed, [], 2 * [blocks[place]]])
        return b"".join(blocks)[: rng.choice([None, rng.randrange(len(data))])]

    def run(self, data: bytes) -> str:
        """Read an input as far as it goes, the other files whole."""
        tags = data[:4] == self.whole[self.path][:4]
        self.sector.write_bytes(self.whole[self.sector] if tags else data)
        return super().run(data if tags else self.whole[self.path])


class Store(Target):
    """The metadata of a store: ``zarr.json`` of the root, its other files whole."""

    name = "store"
    suffix = ".zarr"

    def __init__(self) -> None:
        super().__init__()
        from stemzarr.api import ingest
        from stemzarr.options import IngestOptions
        from stemzarr.testing import DMImage, write_dm

        source = self.folder / "scan.dm4"
        values = np.arange(2 * 3 * 4 * 5, dtype=np.uint16).reshape(2, 3, 4, 5)
        write_dm(source, DMImage(data=values, swapped=True), thumbnail=False)
        ingest(source, self.path, IngestOptions(sync=False))
        self.whole = (self.path / "zarr.json").read_bytes()
        self.stores = self.folder / "lake" / "stores"
        self.stores.mkdir(parents=True)
        (self.folder / "lake" / "catalog.yaml").write_text("sources: {}\n", encoding="utf-8")
        self.path = self.path.rename(self.stores / "damaged.zarr")

    def seeds(self) -> list[bytes]:
        """Return whole inputs."""
        return [self.whole]

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        """Return a damaged form of an input."""
        if rng.random() < 0.05:
            return mutate_bytes(data, rng)
        try:
            return dump_loosely(mutate_json(json.loads(data), rng))
        except (ValueError, RecursionError):
            return mutate_bytes(data, rng)

    def run(self, data: bytes) -> str:
        """Read an input as far as it goes."""
        (self.path / "zarr.json").write_bytes(data)
        if data == self.whole:
            return "whole"
        steps = [self._read, self._verify, self._catalog]
        outcomes = [_outcome(step) for step in steps[: 1 + 2 * (zlib.crc32(data) % 8 == 0)]]
        if outcomes[0] == "DamagedStoreError":
            # As if the digests had been forged to fit.
            with mock.patch("stemzarr.store.open.check_digests"):
                outcomes.append(_outcome(self._read))
        return outcomes[-1]

    def _read(self) -> None:
        from stemzarr.api import open as open_dataset
        from stemzarr.options import ReadOptions
        from stemzarr.store import open_previews, read_store

        source = read_store(self.path, ReadOptions())
        for document in source.documents:
            open_previews(self.path, document.index)
            _read_corners(document.blocks, 0)
        source.load_metadata()
        source.load_header()
        open_dataset(self.path).close()

    def _verify(self) -> None:
        from stemzarr.store import verify_store

        report = verify_store(self.path, threads=1)
        json.dumps(report.json())
        changed = _said((self.path / "zarr.json").read_bytes()) != _said(self.whole)
        assert not (report.ok and changed), "verify takes changed metadata for good ones"

    def _catalog(self) -> None:
        from stemzarr_catalog.record import read_record

        read_record(self.path, "damaged")


def _said(metadata: bytes) -> object:
    """Return what metadata say; an empty member of an array may be there or not."""

    def without_empty(members: list[tuple[str, Any]]) -> dict[str, Any]:
        left_out = (("configuration", {}), ("storage_transformers", []))
        return {name: value for name, value in members if (name, value) not in left_out}

    try:
        return json.dumps(json.loads(metadata, object_pairs_hook=without_empty), sort_keys=True)
    except (ValueError, RecursionError):
        return metadata


def _outcome(step: Callable[[], None]) -> str:
    try:
        step()
    except StemzarrError as error:
        str(error).encode("utf-8", "backslashreplace")
        return type(error).__name__
    return "read"


class Hdf5(Target):
    """HDF5 files of all arrangements: their groups, data sets and attributes changed."""

    name = "hdf5"
    suffix = ".h5"

    def seeds(self) -> list[bytes]:
        """Return whole inputs."""
        return [json.dumps(tree).encode() for tree in hdf5_seeds()]

    def mutate(self, data: bytes, rng: random.Random) -> bytes:
        """Return a damaged form of an input."""
        return dump_loosely(mutate_json(json.loads(data), rng))

    def run(self, data: bytes) -> str:
        """Read an input as far as it goes."""
        tree = json.loads(data)
        try:
            content = build_hdf5(tree)
        except Exception:  # noqa: BLE001 - no such file can be made
            return "unmade"
        self.path.write_bytes(content)
        try:
            return self.read(content)
        except StemzarrError as error:
            str(error)
            return type(error).__name__
        finally:
            forget_open_files()


def hdf5_seeds() -> list[dict[str, Any]]:
    """Return trees of HyperSpy, EMD, py4DSTEM, DECTRIS and plain files, as JSON."""
    axis = {
        "@": {
            "name": "x",
            "scale": 0.5,
            "offset": 1.0,
            "size": 4,
            "units": "nm",
            "navigate": True,
            "index_in_array": 0,
        }
    }
    data = {"shape": [2, 3, 4, 5], "dtype": "uint16", "value": 1}
    axes = {f"axis-{n}": json.loads(json.dumps(axis)) for n in range(4)}
    for number, item in enumerate(axes.values()):
        item["@"] |= {"size": data["shape"][number], "index_in_array": number}  # type: ignore[index]
        item["@"] |= {"navigate": number < 2, "units": "nm" if number < 2 else "1/nm"}
    hspy = {
        "@": {"file_format": "HyperSpy", "file_format_version": "3.3"},
        "Experiments": {
            "scan": {
                "data": data,
                **axes,
                "metadata": {"General": {"@": {"title": "scan"}}},
                "original_metadata": {"a": {"@": {"b": 1}}},
            }
        },
    }
    dims = {
        f"dim{n + 1}": {
            "shape": [size],
            "dtype": "float64",
            "value": [*range(size)],
            "@": {"name": "x", "units": "[n_m]"},
        }
        for n, size in enumerate(data["shape"])
    }  # type: ignore[arg-type]
    emd = {
        "@": {"version_major": 0, "version_minor": 2},
        "data": {"scan": {"@": {"emd_group_type": 1}, "data": data, **dims}},
        "microscope": {"@": {"voltage": 300}},
        "user": {},
        "sample": {},
    }
    py4d = {
        "@": {
            "emd_group_type": "file",
            "version_major": 1,
            "version_minor": 0,
            "authoring_program": "py4DSTEM",
        },
        "root": {
            "@": {"emd_group_type": "root", "python_class": "Root"},
            "datacube": {
                "@": {"emd_group_type": "array", "python_class": "DataCube"},
                "data": data,
                **{
                    f"dim{n}": {
                        "shape": [2],
                        "dtype": "float64",
                        "value": [0, 1],
                        "@": {"name": "Rx", "units": "A"},
                    }
                    for n in range(4)
                },
                "metadatabundle": {},
            },
        },
    }
    arina = {
        "entry": {
            "data": {"data_000001": {"shape": [6, 4, 5], "dtype": "uint16", "value": 1}},
            "instrument": {
                "detector": {
                    "detectorSpecific": {"nimages": {"shape": [], "dtype": "int64", "value": 6}}
                }
            },
        },
        "STEM Metadata": {"@": {"High Tension": 300000, "Scan Size": [3, 2]}},
    }
    dm5_data = {"shape": [2, 3, 4, 5], "dtype": "uint16", "value": 3}
    dim5 = {f"[{n}]": {"@": {"Origin": 0.0, "Scale": 0.5, "Units": "nm"}} for n in range(4)}
    dm5 = {
        "@": {"InImageMode": 1},
        "ImageList": {
            "[0]": {
                "@": {"Name": "scan"},
                "ImageData": {
                    "@": {"DataType": 10, "PixelDepth": 2},
                    "Data": dm5_data,
                    "Dimensions": {"@": {"[0]": 5, "[1]": 4, "[2]": 3, "[3]": 2}},
                    "Calibrations": {"Dimension": dim5, "Brightness": {"@": {"Scale": 1.0}}},
                },
                "ImageTags": {"Meta Data": {"@": {"Data Order Swapped": 1}}},
            }
        },
        "DocumentObjectList": {"[0]": {"@": {"ImageSource": 0}}},
        "ImageSourceList": {"[0]": {"@": {"ImageRef": 0}}},
    }
    plain = {"a": {"b": data, "c": {"shape": [3], "dtype": "S5", "value": "x"}}, "d": data}
    return cast("list[dict[str, Any]]", [hspy, emd, py4d, arina, dm5, plain])


def build_hdf5(tree: dict[str, Any]) -> bytes:
    """Return the bytes of the HDF5 file that a tree describes.

    A mapping with a shape is a data set, any other a group; ``@`` holds the attributes.
    """
    import io

    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as root:
        _fill(root, tree)
    return file.getvalue()


def _fill(group: Any, tree: dict[str, Any]) -> None:  # noqa: ANN401 - h5py is untyped
    for name, value in (tree.get("@") or {}).items():
        group.attrs[name] = value
    for name, node in tree.items():
        if name == "@" or not isinstance(node, dict):
            continue
        if "shape" in node and "dtype" in node:
            _data_set(group, name, node)
        else:
            _fill(group.create_group(name), node)


def _data_set(group: Any, name: str, node: dict[str, Any]) -> None:  # noqa: ANN401
    shape, dtype = tuple(node["shape"]), np.dtype(node["dtype"])
    if np.prod(shape, dtype=object) < _SMALL:
        values = np.broadcast_to(np.asarray(node["value"]).astype(dtype), shape)
        made = group.create_dataset(name, data=values)
    else:
        made = group.create_dataset(name, shape, dtype, chunks=True)
    for key, value in (node.get("@") or {}).items():
        made.attrs[key] = value


class Sample(Target):
    """A sample file of an instrument, by the variable ``STEMZARR_SAMPLES``."""

    file: ClassVar[str]

    def seeds(self) -> list[bytes]:
        """Return whole inputs."""
        return [(Path(os.environ["STEMZARR_SAMPLES"]) / "formats" / self.file).read_bytes()]


class Blo(Sample):
    """NanoMegas' block files, read by RosettaSciIO."""

    name = "blo"
    suffix = ".blo"
    file = "test2.blo"


class Tvips(Sample):
    """TVIPS' files, read by RosettaSciIO."""

    name = "tvips"
    suffix = "_000.tvips"
    file = "test_tvips_2345_000.tvips"


class Hdf5Bytes(Sample):
    """An HDF5 file with bytes flipped anywhere."""

    name = "hdf5-bytes"
    suffix = ".h5"
    file = "py4DSTEM_size2x3x4x5.h5"

    def run(self, data: bytes) -> str:
        """Read an input as far as it goes."""
        try:
            return super().run(data)
        finally:
            forget_open_files()


TARGETS: dict[str, type[Target]] = {
    target.name: target
    for target in (Dm, Npy, Ndata, Ser, Empad2, K2is, Store, Hdf5, Hdf5Bytes, Blo, Tvips)
}
"""All targets by name."""
