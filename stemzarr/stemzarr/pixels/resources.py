"""What one pass over the pixels of a document may use, and its progress callback."""

from __future__ import annotations

from dataclasses import dataclass, field

from stemzarr.model import Progress
from stemzarr.options import available_threads

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
