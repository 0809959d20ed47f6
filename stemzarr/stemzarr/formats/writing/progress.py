"""Resources of an export for each document of a file that holds several."""

from __future__ import annotations

import dataclasses

from stemzarr.pixels.resources import Resources
from stemzarr.registry import ExportRequest

__all__ = ["share_resources"]


def share_resources(request: ExportRequest, number: int) -> Resources:
    """Return those of document `number`, its progress counted in that of all documents."""
    progress = request.progress
    if progress is None:
        return request.resources
    before = sum(document.nbytes for document in request.documents[:number])
    everything = sum(document.nbytes for document in request.documents)

    def report(done: int, total: int) -> None:
        del total
        progress(before + done, everything)

    return dataclasses.replace(request.resources, progress=report)
