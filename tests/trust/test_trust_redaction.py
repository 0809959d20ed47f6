"""What is redacted is in no byte of the lake, whatever place and format it came from."""

from __future__ import annotations

import base64
import dataclasses
import functools
import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

import stemzarr
from stemzarr.errors import OptionError, StemzarrError, WriteError
from stemzarr.metadata.privacy import Redactor, find_secrets, is_path, is_personal, strip_paths
from stemzarr.options import IngestOptions, PublishOptions
from stemzarr.registry import read_source
from stemzarr.store import read_record, read_store, rebuild, redact_store, verify_store, write_store
from stemzarr.testing import DMAxis, DMImage, write_dm
from stemzarr.testing.faults import Crash, Faults, no_space
from stemzarr.testing.files import FILE_WRITERS, NEEDED_MODULES
from stemzarr.testing.sources import document_of, source_of
from stemzarr_catalog import Lake, open_lake
from stemzarr_catalog.publishing import publish_lake
from stemzarr_catalog.watch import Watcher, WatchOptions
from stemzarr_cli.program import run

SECRET = "Quetzalcoatl"  # noqa: S105 - to be looked for
"""In every place: the operator, the specimen, a folder, and what was noted of them."""
FORMS = (SECRET, SECRET.lower())


def write_dm4(folder: Path) -> Path:
    """Write a DM file with the secret in each kind of tag, in a title, in texts and paths."""
    tags = {
        "Session Info": {"Operator": SECRET, "Specimen": f"SrTiO3 {SECRET}", "Microscope": "Titan"},
        "Microscope Info": {"Voltage": 200e3, "Name": "Titan"},
        "Author": {"Name": SECRET},
        "Settings": {
            "Script": f"run by {SECRET} on Monday",
            "Saved as": rf"C:\Users\{SECRET}\x.dm4",
            "Log": f"wrote '/scratch/{SECRET}/log.txt' twice",
            "Share": rf"\\server\{SECRET}\data",
            "Backup": f"smb of ~{SECRET}/old/x",
            "Address": f"file:///C:/{SECRET}/x",
            "Elsewhere": f"/odd/{SECRET}/place",
            "Kept": "bin 2",
        },
        "Comment": f"for {SECRET}",
        SECRET: 7,
    }
    axis = DMAxis(scale=0.5, units="nm")
    rng = np.random.default_rng(0)
    scan = DMImage(
        data=rng.poisson(3, (2, 3, 4, 4)).astype("u2"),
        axes=(axis, axis, axis, axis),
        swapped=True,
        name=f"scan of {SECRET}",
        tags=tags,
    )
    survey = DMImage(data=rng.random((3, 4)).astype("f4"), axes=(axis, axis), name="map", tags=tags)
    path = folder / "scan.dm4"
    write_dm(path, [scan, survey], thumbnail=False)
    return path


def write_hdf5(folder: Path) -> Path:
    """Write an HDF5 file whose attributes hold it."""
    return FILE_WRITERS["hdf5"](folder, COUNTS, SECRET)


def write_npy(folder: Path) -> Path:
    """Write a file that can hold it nowhere but in the folder's name."""
    return FILE_WRITERS["npy"](folder, COUNTS)


PLAIN = IngestOptions(sync=False, threads=1, preview=False)
COUNTS = np.random.default_rng(0).integers(0, 9, (2, 3, 16, 16))
WRITERS: dict[str, Callable[[Path], Path]] = {
    "all tags of a dm4": write_dm4,
    **{
        name: functools.partial(write, values=COUNTS, secret=SECRET)
        for name, write in FILE_WRITERS.items()
    },
}
STORED = ("all tags of a dm4", "npy", "mib", "hspy", "hdf5", "nxs", "unf", "dectris")
"""Once it is stored, what a file said lies in the same places whatever the format."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder like a person's, where the files lie."""
    folder = tmp_path / "home" / SECRET
    folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    return folder


def contents(lake: Path) -> Iterator[tuple[str, bytes]]:
    """Yield all files of a lake, and all arrays as they are decoded."""
    for path in lake.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()
            node = json.loads(path.read_bytes()) if path.name == "zarr.json" else {}
            if node.get("node_type") == "array":
                values = np.asarray(zarr.open_array(path.parent, mode="r")[...])
                yield f"values of {path.parent}", values.tobytes()


def places_of(lake: Path) -> list[str]:
    """Return where the secret stands, as text of any usual encoding or as a name."""
    coded = [
        encoded
        for form in FORMS
        for encoded in (form.encode(), form.encode("utf-16-le"), form.encode("utf-16-be"))
    ]
    coded.append(base64.b64encode(SECRET.encode()).rstrip(b"="))
    found = [where for where, content in contents(lake) if any(one in content for one in coded)]
    named = [str(p) for p in lake.rglob("*") if any(f in str(p.relative_to(lake)) for f in FORMS)]
    return found + named


def fill(lake: Lake, name: str) -> None:
    """Let people say it, too."""
    lake.calibrate(name, {"specimen": SECRET, "camera_length_mm": 80})
    lake.calibrate(name, {"specimen": "sapphire, cut by hand", "title": f"{SECRET} again"})
    lake.tag(name, "good", SECRET, remark=f"ask {SECRET}", fields={"owner": "me", "run": 5})
    exported = stemzarr.export(lake[name].path, lake.path.parent / "out.npy")
    lake.add_export(name, {**exported.json(), "dest": f"/home/{SECRET}/out.npy"})


@pytest.mark.parametrize("writer", WRITERS)
def test_what_is_redacted_at_the_ingest_is_in_no_byte(
    home: Path, tmp_path: Path, writer: str
) -> None:
    """Facts, tags, titles, notes, paths, set facts and the journal: in none of them."""
    pytest.importorskip(NEEDED_MODULES.get(writer, "numpy"))
    lake = open_lake(tmp_path / "lake", create=True)
    set_by_hand = {"operator": SECRET, "title": f"by {SECRET}", "camera_length_mm": 80.0}
    options = dataclasses.replace(PLAIN, redact=True, facts=set_by_hand)
    source = WRITERS[writer](home)
    lake.ingest(source, options=options)
    assert places_of(lake.path) == []
    [name] = lake
    assert verify_store(lake[name].path).ok
    assert lake[name].facts["camera_length_mm"] == 80
    assert read_record(lake[name].path)["name"] == source.name


@pytest.mark.parametrize("writer", STORED)
def test_what_is_redacted_afterwards_is_in_no_byte(home: Path, tmp_path: Path, writer: str) -> None:
    """Store, earlier values, notes, index, ``catalog.yaml``: in none of them; all else stays."""
    lake = open_lake(tmp_path / "lake", create=True)
    lake.ingest(WRITERS[writer](home), options=PLAIN, name="scan")
    fill(lake, "scan")
    assert places_of(lake.path)
    before = lake["scan"].open().intensity.values
    done = lake.redact("scan")
    assert done.changed
    documents = read_store(lake["scan"].path).documents
    named = [one.slug for one in documents if SECRET.lower() in one.slug]
    assert sorted(done.left) == sorted(named)
    assert bool(places_of(lake.path)) == bool(named)
    entry = open_lake(lake.path)["scan"]
    assert not {"operator", "specimen", "session"} & set(entry.facts)
    assert entry.facts["camera_length_mm"] == 80
    assert (entry.notes.tags, entry.notes.fields) == (("good",), {"run": 5})
    assert entry.notes.exports[0]["dest"] == "out.npy"
    np.testing.assert_array_equal(entry.open().intensity.values, before)
    assert verify_store(entry.path).problems == ()
    assert not lake.redact("scan").changed
    assert verify_store(entry.path).ok


@pytest.mark.parametrize("writer", ["all tags of a dm4", "hspy"])
def test_what_is_published_redacted_is_in_no_byte(home: Path, tmp_path: Path, writer: str) -> None:
    """The copy names nobody, and is the same each time; the lake it comes from stays as it is."""
    lake = open_lake(tmp_path / "lake", create=True)
    lake.ingest(WRITERS[writer](home), options=PLAIN, name="scan")
    fill(lake, "scan")
    before = {path: path.read_bytes() for path in lake["scan"].path.rglob("*") if path.is_file()}
    options = PublishOptions(redact=True, sync=False)
    [done] = publish_lake(lake, tmp_path / "public", options=options)
    assert done.publication is not None
    assert done.publication.redaction is not None
    assert bool(places_of(tmp_path / "public")) == bool(done.publication.redaction.left)
    entry = open_lake(tmp_path / "public")["scan"]
    assert verify_store(entry.path).problems == ()
    assert entry.notes.tags == ("good",)
    assert {path: path.read_bytes() for path in before} == before
    [again] = publish_lake(lake, tmp_path / "public", options=options)
    assert again.publication is not None
    assert again.publication.status == "unchanged"


def test_a_name_in_a_folder_of_the_store_is_said(home: Path, tmp_path: Path) -> None:
    """Another document's slug is the name of a folder: it stays, and the redaction tells so."""
    data = np.ones((3, 4), "f4")
    tags = {"Session Info": {"Operator": SECRET}}
    images = [
        DMImage(data=np.ones((5, 6), "f4"), name="map", tags=tags),
        DMImage(data=data, name=SECRET),
    ]
    write_dm(home / "two.dm4", images, thumbnail=False)
    source = read_source(home / "two.dm4")
    write_store(source, tmp_path / "x.zarr", IngestOptions(sync=False))
    done = redact_store(tmp_path / "x.zarr")
    assert done.left == tuple({one.slug for one in source.documents} - {source.document.slug})
    assert verify_store(tmp_path / "x.zarr").ok
    options = IngestOptions(sync=False, redact=True)
    write_store(source, tmp_path / "lake.zarr", options)
    assert places_of(tmp_path / "lake.zarr") == []


def test_what_is_harmless_stays(home: Path, tmp_path: Path) -> None:
    """Voltage, microscope and settings are still there; the file is given back, and is a DM."""
    source, store = write_dm4(home), tmp_path / "x.zarr"
    write_store(read_source(source), store, IngestOptions(sync=False))
    pixels = read_store(store).document.blocks
    redact_store(store)
    text = json.dumps(read_store(store).load_metadata())
    for kept in ('"Voltage": 200000.0', '"Microscope": "Titan"', '"Kept": "bin 2"'):
        assert kept in text
    assert "on Monday" in text
    assert not rebuild(store, tmp_path / "again.dm4").exact
    content = (tmp_path / "again.dm4").read_bytes()
    assert len(content) == source.stat().st_size
    assert SECRET.encode("utf-16-le") not in content
    assert SECRET.encode() not in content
    again = read_source(tmp_path / "again.dm4").document
    assert (again.shape, again.facts["beam_energy_keV"]) == (pixels.shape, 200)


def test_a_redaction_is_made_or_not_whenever_it_stops(
    home: Path, tmp_path: Path, sweep: Any
) -> None:
    """A crash or a full disk at any call: the same call again leaves nothing."""
    template = tmp_path / "template"
    template.mkdir()
    write_store(read_source(write_dm4(home)), template / "x.zarr", IngestOptions(sync=False))
    folder = tmp_path / "place" / "lake"
    raised: list[BaseException] = []

    def redact() -> None:
        raised.clear()
        try:
            redact_store(folder / "x.zarr")
        except (StemzarrError, Crash) as error:
            raised.append(error)

    def check(_: Faults) -> None:
        assert all(isinstance(error, WriteError | Crash) for error in raised)
        sweep.release_locks(folder)
        assert verify_store(folder / "x.zarr", threads=1).ok
        redact_store(folder / "x.zarr")
        assert verify_store(folder / "x.zarr", threads=1).ok
        assert places_of(folder) == []

    for error, mode in ((Crash, "crash"), (no_space, "lasting")):
        sweep(folder, redact, check, error=error, mode=mode, template=template)


def test_the_journal_of_a_redacted_ingest_names_nobody(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An ingest that is interrupted leaves shards and a journal without names."""
    source, store = write_dm4(home), tmp_path / "lake" / "x.zarr"
    store.parent.mkdir()
    options = IngestOptions(sync=False, redact=True, facts={"operator": SECRET})

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stemzarr.store.ingest.write._complete", stop)
    with pytest.raises(KeyboardInterrupt):
        write_store(read_source(source), store, options)
    assert (store.parent / ".x.zarr.ingest" / "journal").is_file()
    assert places_of(store.parent) == []
    monkeypatch.undo()
    assert write_store(read_source(source), store, options).status == "resumed"


def test_the_command_asks(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal it needs --yes; it says what was removed, and not what that was."""
    lake = open_lake(tmp_path / "lake", create=True)
    lake.ingest(write_hdf5(home), options=IngestOptions(sync=False), name="scan")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    place = ["--lake", str(lake.path)]
    assert run(["redact", "scan", *place]) == 1
    assert "--yes" in capsys.readouterr().err
    assert places_of(lake.path)
    assert run(["redact", "scan", "--yes", *place]) == 0
    said = capsys.readouterr()
    assert SECRET not in said.out
    assert "redacted" in said.out
    assert places_of(lake.path) == []
    assert run(["redact", "scan", "--yes", "--json", *place]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "unchanged"


def test_a_virtual_store_is_not_redacted(home: Path, tmp_path: Path) -> None:
    """It names its source: that is refused, not half done."""
    store = tmp_path / "x.zarr"
    write_store(read_source(write_npy(home)), store, IngestOptions(sync=False, virtual=True))
    with pytest.raises(OptionError, match="--redact"):
        redact_store(store)


NOTES: dict[str, Callable[[Path], str]] = {
    "posix": lambda path: f"unclosed file <_io.BufferedReader name='{path}'>",
    "folder": lambda path: f"nothing else in {path.parent}",
    "module": lambda _: f"{np.__file__}:7: UserWarning: odd",
    "home": lambda _: f"see {Path.home() / 'settings.ini'}",
    "beside": lambda path: f"{path.parent / 'other.raw'} is missing",
}


@pytest.mark.parametrize("kind", NOTES)
def test_notes_name_no_folder_of_this_machine(home: Path, kind: str) -> None:
    """What a reader or a library says is kept, but for where it was."""
    path = write_npy(home)
    said = strip_paths(NOTES[kind](path), path)
    assert SECRET not in said
    assert str(path.parent) not in said
    assert str(Path(np.__file__).parent) not in said
    name = {"posix": "scan.npy", "module": "__init__.py", "home": "settings.ini"}.get(kind, "")
    assert name in said


def test_notes_keep_what_is_no_path_of_this_machine(tmp_path: Path) -> None:
    """Data sets, units and commands that a note names are left as they are."""
    for note in (
        "data set 'two/data' is left out; --dataset two/data takes it",
        "dataset /entry/data/images is left out",
        "scale 0.1 1/nm, and/or 3/4 of https://zenodo.org/records/1",
    ):
        assert strip_paths(note, tmp_path / "x.h5") == note


def test_every_source_is_read_without_paths_in_its_notes(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the reader: notes of the source and of its documents."""
    path = write_npy(home)
    said = f"read {path} with care"
    document = document_of(np.ones((2, 3, 4, 4)), notes=(said,))
    source = dataclasses.replace(source_of(path, [document]), notes=(said,))

    class Reading:
        def read(self, *_: object) -> Any:
            return source

    monkeypatch.setattr("stemzarr.registry.find_reader", lambda _: Reading())
    found = read_source(path)
    assert found.notes == found.document.notes == ("read scan.npy with care",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C:/a", True), (r"D:\x", True), (r"\\host\share", True), ("//host/share", True),
        ("/Users/ann/x", True), ("/Volumes/stick/a b.dm4", True), ("file:///tmp/x", True),
        ("~/x", True), ("/a/b", True), ("1/nm", False), ("a/b/c", False), ("/nm", False),
        ("https://zenodo.org/x", False), ("Titan: 300 kV", False), ("", False),
    ],
)  # fmt: skip
def test_paths_of_every_system_are_known(text: str, *, expected: bool) -> None:
    """Windows, UNC, macOS, Linux, homes and addresses of files; not units, nor parts of paths."""
    assert is_path(text) is expected
    if expected:
        assert Redactor(()).tree({"odd": text, "list": [text]}) == {"list": []}


def test_names_of_tags_are_known_by_their_words() -> None:
    """In any spelling; words that only look alike are left."""
    for name in (
        "Operator",
        "userName",
        "USER_NAME",
        "Specimen ID",
        "originalPath",
        "author",
        "microscopist",
        "Experimenter",
        "Artist",
        "session_metadata",
        "sample",
    ):
        assert is_personal(name)
    for name in (
        "Voltage",
        "Denoted gain",
        "Dirac",
        "Hosting",
        "Session Info",
        "Sample rate",
        "Samples",
    ):
        assert not is_personal(name)


TEXTS = {
    "JSON": json.dumps({"session_metadata": {"microscopist": SECRET, "site": "x"}, "kV": 200}),
    "XML": f'<OME><Experimenter FirstName="{SECRET}"/><Pixels SizeX="12"/></OME>',
    "elements": f"<?xml version='1.0'?><r><User><Name>{SECRET}</Name></User><kV>200</kV></r>",
    "CDATA": f"<r><kV>200</kV><Artist><![CDATA[{SECRET}]]></Artist></r>",
    "lines": f"High tension = 200\n[Operator] = {SECRET}\nSample: {SECRET}",
}


@pytest.mark.parametrize("form", TEXTS)
def test_a_text_that_holds_named_values_is_redacted_by_their_names(form: str) -> None:
    """As they are in attributes of HDF5, in OME-TIFF and in records of the scan; the rest stays."""
    tree = {"description": TEXTS[form], "elsewhere": f"seen by {SECRET.lower()} twice"}
    secrets = tuple(find_secrets(tree))
    cleaned = Redactor(secrets).tree(tree)
    assert SECRET in secrets
    assert SECRET.lower() not in json.dumps(cleaned).lower()
    assert "200" in cleaned["description"] or "12" in cleaned["description"]
    assert "twice" in cleaned["elsewhere"]
    assert Redactor(secrets).tree(cleaned) == cleaned


def test_a_name_of_several_words_is_removed_however_they_are_joined() -> None:
    """Slugs of documents, names of files and of users are made of them."""
    redactor = Redactor(("Ann Mary Smith", "SrTiO3_lamella 7"))
    for text in ("ann_mary_smith", "Ann.Mary-Smith.dm4", "by ANN  MARY SMITH", "srtio3-lamella_7"):
        cleaned = redactor.text(f"a {text} z").lower()
        assert not {"ann", "smith", "lamella"} & set(re.findall("[a-z]+", cleaned))
        assert cleaned.startswith("a ")
        assert cleaned.endswith(" z")
    assert redactor.text("Ann Smith") == "Ann Smith"


def test_exif_tags_have_names_by_which_they_are_redacted(tmp_path: Path) -> None:
    """A picture says who took it by the number of a tag alone."""
    image = pytest.importorskip("PIL.Image").new("L", (4, 3))
    exif = image.getexif()
    exif[315], exif[271] = SECRET, "Titan"
    image.save(tmp_path / "x.png", exif=exif)
    tree = read_source(tmp_path / "x.png").load_metadata()
    assert Redactor(()).tree(tree)["exif_tags"] == {"Make": "Titan"}


def test_logs_of_a_lake_name_no_folder_of_what_is_redacted(home: Path, tmp_path: Path) -> None:
    """Neither the watcher's log, with failures and copies, nor moved folders; all stays known."""
    lake = open_lake(tmp_path / "lake", create=True)
    options, patience = IngestOptions(sync=False), WatchOptions(settle_s=0, attempts=1)
    source = write_npy(home)
    (home / "bad.npy").write_bytes(b"no numpy file")
    plain = tmp_path / "plain"
    plain.mkdir()
    np.save(plain / "other.npy", np.zeros((2, 3, 4, 4), "u2"))
    folders = [home, plain]
    seen = list(Watcher(lake, folders, options=options, patience=patience).step())
    assert {one.status for one in seen} == {"ingested", "given up"}
    moved = home.with_name(f"{SECRET}-2")
    lake.known.add_move(str(home), str(moved))
    lake.known.add_move(str(plain.parent / "old"), str(plain))
    lake.redact("scan")
    left = [place for place in places_of(lake.path) if not place.endswith("watch.jsonl")]
    assert left == []
    log = (lake.path / "watch.jsonl").read_text()
    assert str(source) not in log
    assert [line for line in log.splitlines() if SECRET in line and "bad.npy" not in line] == []
    assert list(lake.known.earlier_paths(str(plain / "other.npy")))
    again = Watcher(open_lake(lake.path), folders, options=options, patience=patience)
    assert list(again.step()) == []


def test_a_watcher_that_redacts_writes_no_path(home: Path, tmp_path: Path) -> None:
    """Its log has digests of paths, of failures too, by which the next watcher goes on."""
    lake = open_lake(tmp_path / "lake", create=True)
    patience = WatchOptions(settle_s=0, attempts=1)
    write_npy(home)
    (home / "bad.npy").write_bytes(b"no numpy file")
    for expected in ({"ingested", "given up"}, set()):
        watcher = Watcher(
            open_lake(lake.path),
            [home],
            options=IngestOptions(sync=False, redact=True),
            patience=patience,
        )
        assert {one.status for one in watcher.step()} == expected
        assert places_of(lake.path) == []
    assert "bad.npy: " in (lake.path / "watch.jsonl").read_text()
