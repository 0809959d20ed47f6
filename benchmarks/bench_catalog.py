"""How fast a lake of many entries answers, beside intake's YAML and intake-esm.

Run ``python benchmarks/bench_catalog.py --entries 100000`` for the table; pytest runs it once with
a few entries. The rows are real metadata: one synthetic scan is ingested, and its record is
repeated with other facts, names and tags. Every entry has a folder with a ``zarr.json``, so that
opening the lake compares the index with as many folders as a real lake has.

Each figure is the median of several runs, wall time beside the time of the processor; whole
processes are started again for each run. intake-esm is asked in a process of its own, whose
interpreter ``--esm-python`` names; where it is not installed, its lines are left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from stemzarr.options import IngestOptions
from stemzarr.testing import write_synthetic_dm4
from stemzarr_catalog import Lake, open_lake, tables
from stemzarr_catalog.intake_yaml import render_yaml
from stemzarr_catalog.notes import Notes
from stemzarr_catalog.record import Record, read_record, read_signature

SPECIMENS = ["SrTiO3", "graphene", "LiFePO4", "MoS2", "BaTiO3 domain wall", "Si [110]", "Au on C"]
INSTRUMENTS = ["Titan X", "TEAM I", "Themis Z", "ARM200F"]
DETECTORS = ["K3 IS", "EMPAD", "OneView", "Arina"]
OPERATORS = ["A. Curie", "B. Ångström", "C. Raman", "D. Bragg", "E. Noether"]
RUNS = 7
BATCH = 2000


def vary(record: Record, number: int, random_: random.Random) -> Record:
    """Return the record of another scan: other facts, name and some other tags."""
    name = f"scan_{number:06d}"
    day = f"20{random_.randint(18, 26)}-{random_.randint(1, 12):02d}-{random_.randint(1, 28):02d}"
    facts: dict[str, Any] = {
        "beam_energy_keV": random_.choice([60.0, 80.0, 200.0, 300.0]),
        "camera_length_mm": random_.choice([60.0, 91.0, 115.0, 145.0, 230.0]),
        "convergence_angle_mrad": round(random_.uniform(0.5, 30.0), 2),
        "exposure_s": random_.choice([0.0005, 0.001, 0.005, 0.02]),
        "probe_current_nA": round(random_.uniform(0.01, 1.0), 4),
        "instrument": random_.choice(INSTRUMENTS),
        "detector": random_.choice(DETECTORS),
        "operator": random_.choice(OPERATORS),
        "specimen": random_.choice(SPECIMENS),
        "acquired": f"{day}T{random_.randint(8, 20):02d}:{random_.randint(0, 59):02d}:00",
    }
    kind = random_.choices(["4d-stem", "image", "spectrum-image"], [0.7, 0.2, 0.1])[0]
    source = {**record.json["source"], "name": f"{name}.dm4", "hash": f"{number:032x}"}
    documents = [
        {**document, "title": name, "kind": kind} if document["main"] else document
        for document in record.json["documents"]
    ]
    return dataclasses.replace(
        record,
        name=name,
        columns={**record.columns, **facts, "name": name, "kind": kind, "source": f"{name}.dm4"}
        | {"hash": source["hash"], "title": name},
        json={
            **record.json,
            "name": name,
            "title": name,
            "kind": kind,
            "facts": {**record.json["facts"], **facts},
            "source": source,
            "documents": documents,
        },
        header_hash=source["hash"],
        tags={
            **record.tags,
            "Session Info": {"Operator": facts["operator"], "Specimen": facts["specimen"]},
            "Microscope Info": {"Voltage": facts["beam_energy_keV"] * 1e3, "Number": number},
        },
    )


def fill(lake: Lake, count: int) -> None:
    """Fill a lake with varied copies of one ingested scan."""
    scan = lake.path / "seed.dm4"
    write_synthetic_dm4(scan, (4, 4), (16, 16))
    lake.ingest(scan, name="seed", options=IngestOptions(sync=False))
    scan.unlink()
    seed = read_record(lake["seed"].path, "seed")
    metadata = (lake["seed"].path / "zarr.json").read_bytes()
    random_ = random.Random(0)
    # One transaction: a thousand small ones would each rewrite pages all over the index.
    with lake.index.writing() as connection:
        connection.execute("PRAGMA cache_size = -2000000")
        for start in range(0, count, BATCH):
            rows = []
            for number in range(start, min(count, start + BATCH)):
                record = vary(seed, number, random_)
                folder = lake.stores / f"{record.name}.zarr"
                folder.mkdir()
                (folder / "zarr.json").write_bytes(metadata[:1024])
                signed = dataclasses.replace(record, signature=read_signature(folder) or "")
                notes = Notes(tags=("good",) if number % 50 == 0 else ())
                rows.append(
                    tables.NewRow(record=signed, notes=notes, added=tables.Added(signature=""))
                )
            tables.put_rows(connection, rows)
    time.sleep(2.1)  # Folders that have just changed are looked through again.
    lake.refresh()
    lake.refresh()


Cost = tuple[float, float]
"""Milliseconds by the clock on the wall and of the processor."""


def spent() -> Cost:
    """Return the two clocks, the second one with processes that have ended."""
    times = os.times()
    work = time.process_time() + times.children_user + times.children_system
    return time.perf_counter(), work


def median_ms(function: Callable[[], Any], runs: int = RUNS) -> Cost:
    """Return the median times of a call in milliseconds, the first call apart."""
    function()
    walls, works = [], []
    for _ in range(runs):
        start, before = spent()
        function()
        end, after = spent()
        walls.append((end - start) * 1e3)
        works.append((after - before) * 1e3)
    return statistics.median(walls), statistics.median(works)


def process_ms(*command: str, runs: int = 5) -> Cost:
    """Return the median times of a whole process in milliseconds."""
    return median_ms(lambda: subprocess.run(command, check=True, capture_output=True), runs=runs)


QUERIES = {
    "typed filter": "beam_energy_keV>=200 camera_length<12cm",
    "typed filter, rare": "exposure<0.7ms probe_current_nA>0.99",
    "full text": "SrTiO3",
    "full text, phrase": '"domain wall"',
    "full text, one entry": "scan_000042",
    "full text, one letter": "s",
    "combined": "kind=4d-stem beam_energy=300keV detector~K3 acquired>2025 SrTiO3",
    "combined, a day": 'acquired=2025-03-07 "Titan X"',
    "combined, or / not": "(MoS2 or graphene) not beam_energy>100 tag=good",
    "combined, or of the common": "exposure<1ms or camera_length>20cm MoS2",
    "combined, another document": "document:kind=image SrTiO3 kind=4d-stem",
    "combined, calibration": "det_x.scale>0 kind=image SrTiO3",
    "tag of the source": "tag:Microscope Info.Voltage>2e5",
    "tag of the source, one entry": "tag:Microscope Info.Number=4321",
}
SORTS = ("acquired", "probe_current_nA")

Line = tuple[str, str, Cost]
"""What was measured, of whom, and what it cost."""


def measure(lake: Lake) -> Iterator[Line]:
    """Give what the lake costs."""
    path = str(lake.path)
    yield "open", "stemzarr", median_ms(lambda: open_lake(path))
    names = list(lake)
    yield "one entry by name", "stemzarr", median_ms(lambda: lake[names[len(names) // 2]].facts)
    for title, query in QUERIES.items():
        found = len(lake.search(query))
        first = median_ms(lambda query=query: lake.search(query, limit=100))
        yield f"{title}, first 100 of {found}", "stemzarr", first
    for field in SORTS:
        for title in ("full text", "typed filter, rare", "combined"):
            ordered = median_ms(
                lambda title=title, field=field: lake.search(
                    QUERIES[title], limit=100, sort=field, descending=True
                )
            )
            yield f"{title}, by {field}", "stemzarr", ordered
    for field in ("kind", "beam_energy_keV", "specimen", "operator", "acquired"):
        yield f"facet {field}", "stemzarr", median_ms(lambda field=field: lake.facets(field))
    yield "facet kind of a query", "stemzarr", median_ms(lambda: lake.facets("kind", "SrTiO3"))
    command = (sys.executable, "-m", "stemzarr_cli")
    ls = (*command, "ls", "--lake", path)
    first = process_ms(*ls, "SrTiO3", "--limit", "100")
    yield "stemzarr ls QUERY --limit 100, process", "stemzarr", first
    several = process_ms(*ls, QUERIES["combined"])
    yield "stemzarr ls QUERY, combined, process", "stemzarr", several
    yield "stemzarr ls QUERY, all found, process", "stemzarr", process_ms(*ls, "SrTiO3")
    yield "stemzarr --help, process", "stemzarr", process_ms(*command, "--help")


def measure_intake(lake: Lake, most: int) -> Iterator[Line]:
    """Give what intake takes over the index, and over YAML of its own."""
    import intake
    from yaml import safe_dump, safe_load

    path = str(lake.path)
    catalog = intake.open_stemzarr_lake(path)
    name = "scan_000042"
    yield "open", "intake, stemzarr_lake", median_ms(lambda: intake.open_stemzarr_lake(path))
    yield "one entry by name", "intake, stemzarr_lake", median_ms(lambda: catalog[name])
    found = median_ms(lambda: list(catalog.search("SrTiO3")), runs=3)
    yield "full text, all", "intake, stemzarr_lake", found
    count = min(most, len(lake))
    yaml = lake.path / "peer.yaml"
    content = safe_load(render_yaml(lake.search(limit=count)))
    # intake's own search would descend into the entry for the whole lake.
    del content["sources"]["lake"]
    yaml.write_text(safe_dump(content), encoding="utf-8")
    plain = intake.open_catalog(str(yaml))
    whose = f"intake, YAML of {count}"
    yield "open", whose, median_ms(lambda: list(intake.open_catalog(str(yaml))), runs=3)
    yield "one entry by name", whose, median_ms(lambda: plain[name])
    yield "full text, all", whose, median_ms(lambda: list(plain.search("SrTiO3")), runs=3)


_ESM = """
import json, statistics, sys, time
import intake_esm

def median_ms(function, runs=3):
    function()
    costs = []
    for _ in range(runs):
        start, before = time.perf_counter(), time.process_time()
        function()
        costs.append((time.perf_counter() - start, time.process_time() - before))
    return [statistics.median(clock) * 1e3 for clock in zip(*costs)]

file, wanted = sys.argv[1], json.loads(sys.argv[2])
catalog = intake_esm.esm_datastore(file)
print(json.dumps({
    "open": median_ms(lambda: intake_esm.esm_datastore(file)),
    "equal values, all": median_ms(lambda: catalog.search(**wanted)),
    "facet kind": median_ms(catalog.df["kind"].value_counts),
}))
"""


def measure_esm(lake: Lake, python: str) -> Iterator[Line]:
    """Give what intake-esm costs on the same rows; nothing where it is not installed."""
    probe = subprocess.run([python, "-c", "import intake_esm"], capture_output=True, check=False)
    if probe.returncode:
        print(f"intake-esm is not installed for {python}: left out", file=sys.stderr)
        return
    table = lake.search().to_dataframe().reset_index()
    keep = ["name", "kind", "beam_energy_keV", "specimen", "detector", "store"]
    csv = lake.path / "peer.csv"
    table[keep].to_csv(csv, index=False)
    description = {
        "esmcat_version": "0.1.0",
        "id": "peer",
        "attributes": [{"column_name": name} for name in keep[:-1]],
        "assets": {"column_name": "store", "format": "zarr"},
        "catalog_file": str(csv),
    }
    file = lake.path / "peer.json"
    file.write_text(json.dumps(description), encoding="utf-8")
    wanted = {"kind": "4d-stem", "specimen": "SrTiO3"}
    command = [python, "-W", "ignore", "-c", _ESM, str(file), json.dumps(wanted)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    for what, cost in json.loads(done.stdout.splitlines()[-1]).items():
        yield what, "intake-esm", tuple(cost)
    ours = "kind=4d-stem specimen=SrTiO3"
    yield "equal values, all", "stemzarr", median_ms(lambda: lake.names(ours), runs=3)


def run(folder: Path, count: int, *, esm_python: str, yaml: int) -> list[Line]:
    """Fill a lake, unless it is there, and return all that was measured."""
    lake = open_lake(folder / "lake", create=True)
    rows: list[Line] = []
    if len(lake) == 0:
        start, before = spent()
        fill(lake, count)
        end, after = spent()
        each = (end - start) / count * 1e3, (after - before) / count * 1e3
        rows.append(("fill the index, per entry", "stemzarr", each))
    for part in (measure(lake), measure_intake(lake, yaml), measure_esm(lake, esm_python)):
        rows += part
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument(
        "--folder", type=Path, help="where to make the lake, or where it was made before"
    )
    parser.add_argument(
        "--esm-python", default=sys.executable, help="interpreter that has intake-esm"
    )
    parser.add_argument(
        "--yaml", type=int, default=1000, help="entries of intake's YAML; ten times take 14 s"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        rows = run(folder, given.entries, esm_python=given.esm_python, yaml=given.yaml)
        index = (folder / "lake" / "catalog.sqlite").stat().st_size
        count = len(open_lake(folder / "lake"))
    print(f"{count} entries, index of {index / 1e6:.0f} MB; medians in milliseconds")
    print(f"{'':<52} {'':<24} {'wall':>10} {'processor':>10}")
    for what, whose, (wall, work) in rows:
        print(f"{what:<52} {whose:<24} {wall:>10.2f} {work:>10.2f}")


def test_the_catalog_is_measured(tmp_path: Path) -> None:
    """Every figure of the table can be had, on a lake of a few entries."""
    rows = run(tmp_path, 60, esm_python=sys.executable, yaml=60)
    assert {whose for _, whose, _ in rows} >= {"stemzarr", "intake, stemzarr_lake"}
    assert all(wall > 0 for *_, (wall, _) in rows)


if __name__ == "__main__":
    main()
