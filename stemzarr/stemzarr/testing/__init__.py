"""What tests of stemzarr and of its extensions share: writers, strategies, contracts."""

from stemzarr.testing.arrays import StreamedArray
from stemzarr.testing.dm_image import DMAxis, DMImage
from stemzarr.testing.dm_scan import microscope_tags, write_synthetic_dm4
from stemzarr.testing.dm_writer import write_dm
from stemzarr.testing.scans import synthetic_scan

__all__ = [
    "DMAxis",
    "DMImage",
    "StreamedArray",
    "microscope_tags",
    "synthetic_scan",
    "write_dm",
    "write_synthetic_dm4",
]
