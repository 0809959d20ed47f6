"""The command ``stemzarr``."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process and exit with its status."""
    from stemzarr_cli.program import run

    sys.exit(run())
