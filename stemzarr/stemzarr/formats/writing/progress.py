"""One progress for a file that holds several documents."""

from __future__ import annotations

from stemzarr.model import Progress
from stemzarr.registry import ExportRequest

__all__ = ["share_progress"]


def share_progress(request: ExportRequest, number: int) -> Progress | None:
    """Return the progress of document `number`, counted in that of all documents of a request."""
    progress = request.progress
    if progress is None:
        return None
    before = sum(document.nbytes for document in request.documents[:number])
    everything = sum(document.nbytes for document in request.documents)

    def report(done: int, total: int) -> None:
        del total
        progress(before + done, everything)

    return report
