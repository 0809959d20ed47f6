"""The tree of exceptions."""

from __future__ import annotations

import pickle

import pytest

from stemzarr import errors
from stemzarr.errors import StemzarrError

TREE = {
    "CorruptFileError": ValueError,
    "DamagedStoreError": OSError,
    "EntryNotFoundError": KeyError,
    "LayoutError": ValueError,
    "MissingDependencyError": ImportError,
    "OptionError": ValueError,
    "QueryError": ValueError,
    "ReadError": OSError,
    "SchemaVersionError": ValueError,
    "SourceChangedError": RuntimeError,
    "SourceNotFoundError": FileNotFoundError,
    "StoreBusyError": RuntimeError,
    "StoreExistsError": FileExistsError,
    "TruncatedFileError": ValueError,
    "UnknownFormatError": ValueError,
    "UnsupportedDataError": TypeError,
    "WorkerError": RuntimeError,
    "WriteError": OSError,
}


def test_the_tree_is_pinned() -> None:
    """A new error is added here too: callers catch these by name."""
    assert set(errors.__all__) == {"StemzarrError", *TREE}


@pytest.mark.parametrize("name", TREE)
def test_an_error_is_the_builtin_that_a_caller_expects(name: str) -> None:
    """`except ValueError` and the like catch it, and so does the root."""
    assert issubclass(getattr(errors, name), (TREE[name],))
    assert issubclass(getattr(errors, name), StemzarrError)


@pytest.mark.parametrize("name", errors.__all__)
def test_an_error_survives_pickling_and_says_where_and_what_to_do(name: str) -> None:
    """Errors of worker processes arrive with path and hint, on one line."""
    error = getattr(errors, name)("has no header", path="scan.dm4", hint="copy it again")
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error) == "scan.dm4: has no header (copy it again)"
    assert (copy.message, copy.path, copy.hint) == ("has no header", "scan.dm4", "copy it again")
