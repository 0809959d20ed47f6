"""Sessions, as a microscopist thinks of them: one day of one person at one instrument."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from stemzarr_catalog.query import parse_query
from stemzarr_catalog.sql import compile_query
from stemzarr_catalog.tables import fetch

__all__ = ["Session", "read_sessions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The entries of one day, person and instrument; what is not known is empty."""

    day: str
    """Day of the acquisition, as 2026-01-31."""
    instrument: str
    """The microscope."""
    operator: str
    """Who acquired them."""
    first: str
    """When the first entry was acquired."""
    last: str
    """When the last one was."""
    specimens: tuple[str, ...]
    """What was looked at, sorted."""
    names: tuple[str, ...]
    """Names of the entries, in the order of their acquisition."""
    size: int
    """Bytes of their sources."""

    def json(self) -> dict[str, Any]:
        """Return the session as ``ls --sessions --json`` prints it."""
        return {
            "day": self.day or None,
            "instrument": self.instrument or None,
            "operator": self.operator or None,
            "first": self.first or None,
            "last": self.last or None,
            "specimens": list(self.specimens),
            "entries": len(self.names),
            "names": list(self.names),
            "size": self.size,
        }


def read_sessions(connection: sqlite3.Connection, query: str = "") -> list[Session]:
    """Return the sessions that the entries of a query belong to, the latest first."""
    condition, values = compile_query(parse_query(query), connection)
    sql = (
        "SELECT name, coalesce(substr(acquired, 1, 10), ''), coalesce(instrument, ''),"
        " coalesce(operator, ''), coalesce(acquired, ''), coalesce(specimen, ''),"
        f" coalesce(size, 0) FROM entry WHERE {condition} ORDER BY acquired, name"
    )
    groups: dict[tuple[str, str, str], list[tuple[Any, ...]]] = {}
    for row in fetch(connection, sql, values):
        groups.setdefault((row[1], row[2].lower(), row[3].lower()), []).append(row)
    sessions = [_session(rows) for rows in groups.values()]
    return sorted(sessions, key=lambda session: (session.day, session.first), reverse=True)


def _session(rows: list[tuple[Any, ...]]) -> Session:
    names, days, instruments, operators, times, specimens, sizes = zip(*rows, strict=True)
    return Session(
        day=days[0],
        instrument=instruments[0],
        operator=operators[0],
        first=times[0],
        last=times[-1],
        specimens=tuple(sorted({specimen for specimen in specimens if specimen})),
        names=names,
        size=sum(sizes),
    )
