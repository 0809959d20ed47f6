"""The search of a page is that of ``ls``: it finds what the index finds, word for word."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import stemzarr_catalog
from stemzarr.errors import QueryError
from stemzarr_catalog import Lake
from stemzarr_catalog.gallery import write_gallery

SCRIPT = Path(stemzarr_catalog.__file__).parent / "gallery_query.js"

QUERIES = """
SrTiO3
srti
"SrTiO3"
"SrTi"
200 keV
300 keV
300keV
kind=4d-stem
kind=image,4d-stem
kind!=4d-stem
kind=4d*
title=*v*
specimen~graph
specimen!~graph
specimen=""
specimen!=""
beam_energy_keV>=200
beam_energy>=200
beam_energy=300keV
beam_energy=3e5V
beam_energy=80..300
beam_energy!=300
BEAM_ENERGY<100
exposure<10ms
exposure < 10 ms
exposure=5ms
exposure=0.005
acquired>2026-01
acquired=2026-01
acquired=2026-01-15
acquired=2026-01-15T10
acquired=2026-01-15T10:20
acquired=2026-01-15T10:20:30
acquired<=2025
acquired>=2025-12-31T23:59:59
acquired=2025-12..2026-01
acquired=2025..2025
acquired~2026
complete=0
complete=yes
not complete=0
not specimen=SrTiO3
(kind=image or specimen=SrTiO3) not grain=3
kind=image or kind=4d-stem and specimen=SrTiO3
tag=good
tag=g*
tag~oo
tag!=good
tag=""
tag=other,good
grain=3
grain>=2
grain=2..4
grain<3
grain=three
grain=""
GRAIN=3
det_x.scale=0.5
det_x.units=nm
document:kind=image
document:slug=survey
document:ndim=4
document:title~surv
scan_x=3
scan_x>=3 det_x<9
ndim=2
documents=2
size>0
size>=1kB
virtual=no
lovely
lovel
"lovely scan"
"scan lovely"
Ångström
angstrom
instrument="titan x"
source=scan.dm4
name=scan or name=map
name=SCAN
"""
WRONG = """
kimd=3
kind>3
exposure=5keV
exposure=much
complete=maybe
acquired=soon
acquired=2026-13
kind=
(kind=image
kind=image)
kind=>3
"open
and
or kind=image
not
document:nothing=3
document:
exposure~5
...
"""


@pytest.fixture
def page(lake: Lake, tmp_path: Path) -> Path:
    """Return the page of a lake with tags, own fields and remarks."""
    lake.tag("scan", "good", "other", remark="A lovely scan", fields={"grain": 3})
    lake.tag("map", fields={"grain": "three"})
    write_gallery(lake, tmp_path / "page.html")
    return tmp_path / "page.html"


def ask(page: Path, queries: list[str]) -> list[Any]:
    """Return the names that the script of a page finds for each query, or what it says."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node: the page's JavaScript is not tried outside a browser")
    text = page.read_text(encoding="utf-8")
    data = {
        key: json.loads(text.partition(f'id="{key}">')[2].partition("</script>")[0])
        for key in ("about", "entries")
    }
    script = (
        SCRIPT.read_text(encoding="utf-8")
        + """
const {about, entries, wanted} = JSON.parse(require("fs").readFileSync(0, "utf-8"));
const queries = makeQueries(about.fields, about.units,
  new Set(entries.flatMap((entry) => Object.keys(entry.more))));
for (const entry of entries) entry.words = ` ${entry.said.map(queries.plain).join(" | ")} `;
console.log(JSON.stringify(wanted.map((text) => {
  try { return entries.filter(queries.parse(text)).map((entry) => entry.name).sort(); }
  catch (error) { return error.message; }
})));
"""
    )
    done = subprocess.run(
        [node, "-e", script],
        input=json.dumps({**data, "wanted": queries}).encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    found: list[Any] = json.loads(done.stdout)
    return found


def test_the_page_finds_what_the_index_finds(lake: Lake, page: Path) -> None:
    """Each query of the language, on the same entries."""
    queries = QUERIES.strip().splitlines()
    expected = [sorted(lake.search(query).names) for query in queries]
    assert dict(zip(queries, ask(page, queries), strict=True)) == dict(
        zip(queries, expected, strict=True)
    )
    assert len({tuple(names) for names in expected}) >= 6


def test_what_the_index_refuses_the_page_refuses(lake: Lake, page: Path) -> None:
    """With a message, which a person reads while typing on."""
    queries = WRONG.strip().splitlines()
    for query, found in zip(queries, ask(page, queries), strict=True):
        with pytest.raises(QueryError):
            lake.search(query)
        assert isinstance(found, str), query
    (said,) = ask(page, ["tag:Microscope Info.Voltage>2"])
    assert "stemzarr ls" in said


def test_a_page_to_mail_names_no_folder(lake: Lake, tmp_path: Path, page: Path) -> None:
    """Neither of stores nor of sources, unless it is asked for; what differs is there."""
    from stemzarr.testing import write_synthetic_dm4

    for name in ("Diff1", "Diff2"):
        (tmp_path / "secret" / name).mkdir(parents=True)
        write_synthetic_dm4(tmp_path / "secret" / name / "SI.dm4", (2, 3), (8, 8), seed=len(name))
        lake.ingest(tmp_path / "secret" / name / "SI.dm4", name=name)
    (tmp_path / "elsewhere").mkdir()
    for dest in (page, tmp_path / "elsewhere" / "page.html"):
        write_gallery(lake, dest, "name=Diff*", paths=False)
        assert str(tmp_path) not in dest.read_text(encoding="utf-8")
        assert str(tmp_path.parent.name) not in dest.read_text(encoding="utf-8")
        assert ask(dest, ["Diff1", "folder=Diff2", "folder=secret/Diff2"]) == [
            ["Diff1"],
            ["Diff2"],
            ["Diff2"],
        ]
    write_gallery(lake, page, "name=Diff*", paths=True)
    assert str(lake.store_path("Diff1")) in page.read_text(encoding="utf-8")
    assert ask(page, [f"folder={tmp_path}/secret/Diff1"]) == [["Diff1"]]
