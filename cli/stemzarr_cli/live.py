"""The page of a lake, served beside another command for as long as that runs."""

from __future__ import annotations

import contextlib
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path

from stemzarr_cli.report import Report

__all__ = ["serve_lake"]

_START_S = 30.0


@contextlib.contextmanager
def serve_lake(report: Report, lake: Path, *, browser: bool = True) -> Iterator[str]:
    """Serve the live gallery of a lake while the block runs, and give its address.

    Parameters
    ----------
    report
        Where the address is said.
    lake
        Folder of the lake; what is ingested meanwhile appears by itself.
    browser
        Whether to open it in the browser.
    """
    from stemzarr.explorer import Explorer
    from stemzarr_catalog import open_lake
    from stemzarr_catalog.exploring import LakeSubjects

    server = Explorer(LakeSubjects(open_lake(lake, read_only=True)))
    ready = threading.Event()
    serving = threading.Thread(target=server.run, args=(ready.set,), name="stemzarr-explore")
    serving.start()
    try:
        ready.wait(_START_S)
        report.note(f"{server.address} shows the lake")
        if browser:
            # A browser that runs in the terminal would keep this command from going on.
            threading.Thread(target=webbrowser.open, args=(server.address,), daemon=True).start()
        yield server.address
    finally:
        server.stop()
        serving.join()
