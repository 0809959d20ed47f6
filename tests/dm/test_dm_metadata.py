"""Tag trees: what is written comes back, as a tree, as JSON with its types, and as bytes."""

import base64
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stemzarr.formats.dm.metadata import read_metadata, type_name
from stemzarr.formats.dm.tags import Tag, TagData, TagGroup, TagTree, read_tags
from stemzarr.testing import DMImage, write_dm
from stemzarr.testing.dm_tags import make_group, write_tree

FILES = (
    sorted(Path(os.environ["STEMZARR_SAMPLES"], "dm").glob("*.dm[34]"))
    if os.environ.get("STEMZARR_SAMPLES")
    else []
)

names = st.text(st.characters(max_codepoint=255), max_size=12)
scalars = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(),
    st.floats(width=32).map(np.float32),
    st.sampled_from(["i1", "u1", "i2", "u2", "u4", "i8"]).flatmap(
        lambda code: hnp.from_dtype(np.dtype(code))
    ),
)
texts = st.text(max_size=30)
arrays = st.sampled_from(["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8", "i8", "u8"]).flatmap(
    lambda code: hnp.arrays(code, st.integers(0, 90))
)
structs = st.lists(scalars, min_size=1, max_size=4).map(tuple)
struct_arrays = hnp.arrays(np.dtype([("a", "i2"), ("b", "f4")]), st.integers(0, 5))
values = st.one_of(scalars, texts, arrays, structs, struct_arrays, st.binary(max_size=100))


def groups(children: st.SearchStrategy) -> st.SearchStrategy:
    """Return groups by name, lists, and groups whose names repeat."""
    repeated = st.lists(st.tuples(names, children), max_size=4).map(Entries)
    return st.one_of(
        st.dictionaries(names, children, max_size=5), st.lists(children, max_size=4), repeated
    )


class Entries(list):
    """Named values of a group whose names may repeat."""


trees = groups(st.recursive(values, groups, max_leaves=12))


def to_group(tree: Any, order: str) -> Any:
    """Return a tree of Python values as tags."""
    if isinstance(tree, Entries):
        entries = [tag(name, value, order) for name, value in tree]
        return TagGroup(sorted=0, entries=entries)
    if isinstance(tree, dict):
        return TagGroup(entries=[tag(name, value, order) for name, value in tree.items()])
    if isinstance(tree, list):
        return TagGroup(sorted=0, entries=[tag("", value, order) for value in tree])
    return tree


def tag(name: str, value: Any, order: str) -> Tag:
    """Return an entry."""
    (entry,) = make_group({name: to_group(value, order)}, order).entries
    return entry


def plain(node: TagGroup | TagData) -> Any:
    """Return a tree without offsets, for comparison."""
    if isinstance(node, TagData):
        return node.info, node.dtype, node.payload
    return node.sorted, [(entry.name, plain(entry.body)) for entry in node.entries]


@given(tree=trees, version=st.sampled_from([3, 4]), little=st.booleans())
@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=150)
def test_any_tree_comes_back(tmp_path: Path, tree: Any, version: int, little: bool) -> None:
    """Tags of any type and name come back equal, as bytes too, and as JSON with their types."""
    path = tmp_path / "tags.dm"
    order = "<" if little else ">"
    written = to_group(tree, order)
    image = DMImage(data=np.zeros((2, 2), "u2"))
    write_dm(path, image, version=version, little_endian=little, tags={"Zz": written})
    read = read_tags(path)
    found = read.root.find("Zz")
    assert found is not None
    assert plain(found) == plain(written)
    assert serialise(read, path) == path.read_bytes()
    metadata = json.loads(json.dumps(read_metadata(path), allow_nan=False))
    assert from_json(metadata["Zz"], "/Zz", metadata["@types"], order) == loosely(written)


def serialise(tree: TagTree, path: Path) -> bytes:
    """Return the bytes of a file from its parsed tree, pixels copied from the file itself."""
    content = path.read_bytes()

    def write_payload(file: Any, data: TagData) -> None:
        file.write(content[data.offset : data.offset + data.nbytes])

    width = 8 if tree.version == 4 else 4
    file = io.BytesIO()
    file.write(tree.version.to_bytes(4, "big") + tree.declared_size.to_bytes(width, "big"))
    file.write(int(tree.little_endian).to_bytes(4, "big"))
    write_tree(file, tree.root, version=tree.version, write_payload=write_payload)
    assert file.tell() == tree.end
    return file.getvalue() + content[tree.end :]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_real_files_serialise_to_themselves(path: Path) -> None:
    """Every real file's tree writes back to the same bytes."""
    assert serialise(read_tags(path), path) == path.read_bytes()


def loosely(node: TagGroup | TagData) -> Any:
    """Return a tree as JSON can bring it back: names, type names and bytes of the values."""
    if isinstance(node, TagGroup):
        return [(entry.name, loosely(entry.body)) for entry in node.entries]
    name = type_name(node.dtype, node.info[1:2] if node.count is not None else node.info)
    if node.is_text:
        return "u2", node.count, node.payload
    return name, node.count, without_payload_of_nan(node.array())


def without_payload_of_nan(array: np.ndarray) -> bytes:
    """Return the bytes of an array; every NaN counts as the same one."""
    array = array.copy()
    for part in [array[name] for name in array.dtype.names] if array.dtype.names else [array]:
        if part.dtype.kind == "f":
            part[np.isnan(part)] = np.nan
    return array.tobytes()


def from_json(value: Any, pointer: str, types: dict[str, str], order: str) -> Any:
    """Return what `loosely` gives, from JSON and the types beside it."""
    kind = types.get(pointer)
    if isinstance(value, dict) and "@array" in value:
        described = value["@array"]
        dtype = described["dtype"]
        real = np.dtype([tuple(f) for f in dtype] if isinstance(dtype, list) else dtype)
        data = np.frombuffer(base64.b64decode(described["base64"]), real)
        return kind.rpartition("[")[0], described["count"], without_payload_of_nan(data)
    if isinstance(value, dict):
        entries = value.get("@entries")
        if entries is not None:
            place = f"{pointer}/@entries"
            return [
                (name, from_json(item, f"{place}/{n}/1", types, order))
                for n, (name, item) in enumerate(entries)
            ]
        return [
            (name, from_json(item, f"{pointer}/{escape(name)}", types, order))
            for name, item in value.items()
        ]
    if isinstance(value, str) and kind is None:
        encoded = value.encode("utf-16-le" if order == "<" else "utf-16-be", "surrogatepass")
        return "u2", len(encoded) // 2, encoded
    if isinstance(value, list) and kind is None:
        return [
            ("", from_json(item, f"{pointer}/{n}", types, order)) for n, item in enumerate(value)
        ]
    return scalar_from_json(value, kind, order)


def escape(name: str) -> str:
    """Return a name as a part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def scalar_from_json(value: Any, kind: str | None, order: str) -> Any:
    """Return type name, count and bytes of a number, truth value, struct or short array."""
    if kind is None:
        kind = "b1" if isinstance(value, bool) else "i4" if isinstance(value, int) else "f8"
    if kind.startswith("("):
        members = kind[1:-1].split(",")
        dtype = np.dtype([(f"f{n}", order + member) for n, member in enumerate(members)])
        item = tuple(float(part) if isinstance(part, str) else part for part in value)
        return kind, None, without_payload_of_nan(np.array(item, dtype))
    base, _, count = kind.partition("[")
    dtype = np.dtype("u1" if base == "b1" else order + base)
    if dtype.kind == "f":
        value = [float(part) for part in value] if isinstance(value, list) else float(value)
    array = np.array(value, dtype)
    return base, int(count[:-1]) if count else None, without_payload_of_nan(array)
