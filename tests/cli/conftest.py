"""Commands as scripts run them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from stemzarr_cli.program import run


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[dict[str, Any]]]:
    """Return a function that runs a command with ``--json`` and gives its lines."""

    def call(*words: object, status: int = 0) -> list[dict[str, Any]]:
        assert run([*map(str, words), "--json"]) == status, capsys.readouterr().err
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return call
