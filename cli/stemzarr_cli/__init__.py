"""The command ``stemzarr``."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process and exit with its status."""
    try:
        from stemzarr_cli.program import run
    except Exception as error:  # noqa: BLE001 - no user should see a traceback
        said = str(error).strip().partition("\n")[0]
        advice = "raise a limit on memory (ulimit -v), or install it again"
        sys.exit(f"stemzarr: cannot be started: {said} ({advice})")
    sys.exit(run())
