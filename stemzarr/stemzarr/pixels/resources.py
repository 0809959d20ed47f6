"""What one pass over the pixels of a document may use, and its progress callback."""

from __future__ import annotations

from dataclasses import dataclass, field

from stemzarr.model import Progress
from stemzarr.options import available_threads
from stemzarr.pixels.workers import Workers, check_client

__all__ = ["Resources"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Threads, memory and progress, handed down together to where the work is done."""

    threads: int = field(default_factory=available_threads)
    """How many threads work at once."""
    memory: int = 256 * 1024**2
    """Budget in bytes for all buffers."""
    progress: Progress | None = None
    """Progress callback: bytes of values done, and in all."""
    client: Workers = None
    """A client of dask.distributed whose workers do it; None for threads of this process."""

    def __post_init__(self) -> None:
        """Raise `OptionError` where the client is none."""
        if self.client is not None:
            check_client(self.client)
