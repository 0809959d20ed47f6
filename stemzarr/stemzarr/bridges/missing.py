"""Programs that are imported when they are used, and what to do where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from stemzarr.errors import MissingDependencyError

__all__ = ["import_program"]


def import_program(module: str, hint: str) -> Any:  # noqa: ANN401 - whatever it is
    """Return a module of another program.

    Parameters
    ----------
    module
        Its name.
    hint
        What to do where it cannot be imported.

    Raises
    ------
    MissingDependencyError
        It is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        msg = f"{module.partition('.')[0]} cannot be imported: {error}"
        raise MissingDependencyError(msg, hint=hint) from error
