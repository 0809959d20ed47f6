"""A folder is acquisitions, not files: each becomes one entry under its own name."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from stemzarr.errors import UnknownFormatError
from stemzarr.recognition import lead_by_name, parts_of
from stemzarr.registry import lead_of, read_source
from stemzarr.storage.acquisitions import acquisition_name
from stemzarr_catalog import open_lake
from stemzarr_catalog.watch import Watcher, WatchOptions
from stemzarr_cli.program import run


def touch(folder: Path, *names: str) -> None:
    """Make empty files."""
    for name in names:
        (folder / name).write_bytes(b"")


@pytest.mark.parametrize(
    ("lead", "parts"),
    [
        ("s_master.h5", ["s.h5", "s_data_000001.h5", "s_data_000002.h5"]),
        ("S_MASTER.H5", ["s_data_000001.h5"]),
        ("t_000.tvips", ["t_001.tvips", "t_012.tvips"]),
        ("a.emi", ["a_1.ser", "a_12.ser"]),
        ("m.mib", ["m.hdr", "m.HDR"]),
        ("k_.gtg", ["k_1.bin", "k_8.bin"]),
        ("k3.dm5", ["k3.raw"]),
    ],
)
def test_parts_know_their_lead(tmp_path: Path, lead: str, parts: list[str]) -> None:
    """A part leads to its lead where that is there, in whatever case; a lead is no part."""
    touch(tmp_path, *parts)
    for part in parts:
        assert lead_of(tmp_path / part) is None
    touch(tmp_path, lead, "other.h5", "other.hdr", "other.raw")
    for part in parts:
        assert lead_of(tmp_path / part) == tmp_path / lead
    assert lead_of(tmp_path / lead) is None
    assert {path.name for path in parts_of(tmp_path / lead)} == set(parts)
    for part in parts:
        if part.lower().endswith((".hdr", ".bin", ".raw")):
            (tmp_path / part).write_bytes(b"part")
            with pytest.raises(UnknownFormatError, match=f"read by {re.escape(lead)}"):
                read_source(tmp_path / part)
    for other in ("other.h5", "other.hdr", "other.raw"):
        assert lead_by_name(tmp_path / other) is None


def test_names_are_those_of_acquisitions() -> None:
    """What only tells files of one acquisition apart is no part of its name."""
    names = ("s_master.h5", "t_000.tvips", "s_master.dm4", "t_000.dm4", "a.b_master.h5")
    stems = [acquisition_name(Path(name)) for name in names]
    assert stems == ["s", "t", "s_master", "t_000", "a.b"]


def write_empad(folder: Path, stem: str) -> None:
    """Write two frames and their description."""
    np.zeros((2, 130, 128), "<f4").tofile(folder / f"{stem}.raw")
    text = f'<root><raw_file filename="{stem}.raw"/><pix_x>2</pix_x><pix_y>1</pix_y></root>'
    (folder / f"{stem}.xml").write_text(text)


def write_tvips(folder: Path, stem: str) -> None:
    """Write a recording of two files with one frame each."""
    head = struct.pack("<13I204s", 256, 2, 8, 8, 16, 0, 0, 1, 1, 5, 200_000, 1000, 60, b"")
    frame = struct.pack("<4If2I5fI2f", 1, 1_700_000_000, 0, 0, 0.0, 0, 2, *[0.0] * 5, 0, 0.0, 0.0)
    frame += np.arange(64, dtype="<u2").tobytes()
    (folder / f"{stem}_000.tvips").write_bytes(head + frame)
    (folder / f"{stem}_001.tvips").write_bytes(frame + frame)


def write_dectris(folder: Path, stem: str) -> None:
    """Write a master, its data file and the record of the scan."""
    with h5py.File(folder / f"{stem}_data_000001.h5", "w") as file:
        data = file.create_dataset("entry/data/data", data=np.zeros((4, 8, 8), "u2"))
        data.attrs["image_nr_low"], data.attrs["image_nr_high"] = 1, 4
    with h5py.File(folder / f"{stem}_master.h5", "w") as file:
        file["entry/data/data_000001"] = h5py.ExternalLink(
            f"{stem}_data_000001.h5", "/entry/data/data"
        )
        file["entry/instrument/detector/count_time"] = 1e-4
    with h5py.File(folder / f"{stem}.h5", "w") as file:
        file.create_group("STEM Metadata").attrs.update(NumPixelsX=2, NumPixelsY=2)


def test_a_folder_becomes_one_entry_for_each_acquisition(
    tmp_path: Path, say: Callable[..., list[dict[str, Any]]]
) -> None:
    """Exit status 0, one line an acquisition, and none for a part."""
    folder = tmp_path / "day"
    folder.mkdir()
    write_empad(folder, "frames")
    write_tvips(folder, "tilt")
    write_dectris(folder, "scan")
    lines = say("ingest", folder, "--lake", tmp_path / "lake")
    assert sorted(line["name"] for line in lines) == ["frames", "scan", "tilt"]
    assert {line["status"] for line in lines} == {"ingested"}
    sizes = {line["name"]: line["source_bytes"] for line in lines}
    assert sizes["tilt"] == sum(path.stat().st_size for path in folder.glob("tilt*"))
    (shown,) = say("show", "scan_master", "--lake", tmp_path / "lake")
    assert shown["name"] == "scan"


def test_a_watch_waits_for_all_files_of_an_acquisition(tmp_path: Path) -> None:
    """While a part still grows, its lead is not ingested; afterwards it is, once."""
    folder = tmp_path / "day"
    folder.mkdir()
    write_tvips(folder, "tilt")
    now = [0.0]
    lake = open_lake(tmp_path / "lake", create=True)
    watcher = Watcher(lake, [folder], patience=WatchOptions(settle_s=10), clock=lambda: now[0])
    assert list(watcher.step()) == []
    now[0] = 11.0
    part = folder / "tilt_001.tvips"
    part.write_bytes(part.read_bytes() * 2)
    os.utime(part, (2e9, 2e9))
    assert list(watcher.step()) == []
    now[0] = 22.0
    assert [event.name for event in watcher.step()] == ["tilt"]
    assert lake["tilt"].shape == (5, 8, 8)
    now[0] = 40.0
    assert list(watcher.step()) == []


def test_show_counts_the_bad_pixels(
    tmp_path: Path, say: Callable[..., list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    """`show` gives the number of pixels that a file marks as bad, and says nothing of none."""
    mask = np.zeros((8, 9), "u4")
    mask[2:5, 3:7] = 1
    for name, flags in (("bad", mask), ("good", 0 * mask)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["entry/data"] = np.ones((3, 4, 8, 9), "u2")
            file["entry/pixel_mask"] = flags
    lake = ("--lake", str(tmp_path / "lake"))
    say("ingest", tmp_path / "bad.h5", tmp_path / "good.h5", *lake)
    for name, number in (("bad", 12), ("good", 0)):
        (shown,) = say("show", name, *lake)
        (inside,) = say("info", tmp_path / f"{name}.h5")
        for record in (shown, inside):
            main = [one for one in record["documents"] if one["shape"] == [3, 4, 8, 9]]
            assert [one["bad_pixels"] for one in main] == [number]
        assert run(["show", name, *lake]) == 0
        lines = [line.split() for line in capsys.readouterr().out.splitlines()]
        assert (["pixels", "12", "bad:", "12", "named"] in lines) == bool(number)


def test_what_a_folder_does_not_stand_for_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pictures beside data are not taken with their folder, and nothing of that is silent."""
    folder, lake = tmp_path / "session", tmp_path / "lake"
    (folder / "below").mkdir(parents=True)
    np.save(folder / "scan.npy", np.zeros((2, 3, 8, 8), "u2"))
    touch(folder / "below", "a.tif", "b.PNG", "c.tif", "notes.txt")
    assert run(["ingest", str(folder), "--lake", str(lake)]) == 0
    assert "1 .png, 2 .tif left out (name the files" in capsys.readouterr().err
    (folder / "scan.npy").unlink()
    assert run(["ingest", str(folder), "--lake", str(lake)]) == 1
    assert "such as a.tif" in capsys.readouterr().err
