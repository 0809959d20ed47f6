"""Inventories of other projects, fetched where there is a network and left out where there is none.

Sphinx itself would warn of each that it cannot fetch, and wait long for it.
"""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Mapping
from pathlib import Path

_SECONDS = 4.0


def fetch_inventories(
    addresses: Mapping[str, str], folder: Path
) -> dict[str, tuple[str, str | None]]:
    """Return what `intersphinx_mapping` takes, of the inventories that are there or come in time.

    Parameters
    ----------
    addresses
        Name → address of the documentation of a project, which ends in ``/``.
    folder
        Where inventories are kept for the next time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = {name: folder / f"{name}.inv" for name in addresses}
    # Daemons, for the look-up of a name can take longer than anybody waits.
    threads = [
        threading.Thread(target=_fetch, args=(addresses[name], path), daemon=True)
        for name, path in kept.items()
        if not path.exists()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_SECONDS)
    return {name: (addresses[name], str(path)) for name, path in kept.items() if path.exists()}


def _fetch(address: str, path: Path) -> None:
    try:
        with urllib.request.urlopen(f"{address}objects.inv", timeout=_SECONDS) as answer:  # noqa: S310 - addresses of conf.py
            content = answer.read()
    except (OSError, ValueError):
        return
    if content.startswith(b"# Sphinx inventory"):
        temporary = path.with_suffix(".part")
        temporary.write_bytes(content)
        temporary.replace(path)
