"""What every run of pytest has: extras that are not installed, and tests that are slow."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path

import pytest
from _pytest.doctest import DoctestItem

NEEDED = {
    "torch": ("stemzarr/stemzarr/formats/torch_tensor/writer.py", "stemzarr/stemzarr/torch/*"),
    "anywidget": ("stemzarr/stemzarr/explorer/notebook.py",),
    "libertem": ("stemzarr/stemzarr/bridges/libertem_dataset.py",),
}
"""Modules that cannot be imported without an extra package."""

collect_ignore_glob = ["tests/programs/*"] + [
    name for package, names in NEEDED.items() if not find_spec(package) for name in names
]

SLOW = Path(__file__).parent / "tests" / "slow.json"
"""Processor seconds of the tests that take the most, which `tests/slow_tests.py` writes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that are known to be slow: ``-m "not slow"`` leaves them out."""
    slow = json.loads(SLOW.read_text("utf-8"))
    for item in items:
        if item.nodeid.partition("[")[0] in slow:
            item.add_marker("slow")


@pytest.fixture(scope="session")
def example_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a scan and a lake that has it, as examples of docstrings name them."""
    from stemzarr.testing import write_synthetic_dm4
    from stemzarr_catalog import open_lake

    folder = tmp_path_factory.mktemp("examples")
    write_synthetic_dm4(folder / "scan.dm4", (8, 9), (16, 16))
    open_lake(folder / "stemzarr-lake", create=True).ingest(folder / "scan.dm4")
    return folder


@pytest.fixture(autouse=True)
def where_examples_run(request: pytest.FixtureRequest) -> None:
    """Let the examples of a docstring that name a scan find it in the present folder."""
    if not isinstance(request.node, DoctestItem) or request.node.dtest is None:
        return
    text = "".join(example.source for example in request.node.dtest.examples)
    if re.search(r"scan\.(dm4|stem|isel)|stemzarr-lake", text):
        import stemzarr

        request.getfixturevalue("monkeypatch").chdir(request.getfixturevalue("example_folder"))
        request.getfixturevalue("doctest_namespace")["scan"] = stemzarr.open("scan.dm4")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Append the processor seconds of a test to the file that ``STEMZARR_DURATIONS`` names."""
    kept = os.environ.get("STEMZARR_DURATIONS")
    before = sum(os.times()[:4])
    result = yield
    if kept:
        with Path(kept).open("a", encoding="utf-8") as file:
            file.write(f"{sum(os.times()[:4]) - before:.3f} {item.nodeid}\n")
    return result
