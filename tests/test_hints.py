"""Every hint names something that exists: an extra, an option, a command, a package."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from stemzarr_cli.program import program

ROOT = Path(__file__).parent.parent
PACKAGES = ("stemzarr/stemzarr", "catalog/stemzarr_catalog", "cli/stemzarr_cli")
EXTERNAL = {
    "exspy",
    "hdf5plugin",
    "numcodecs",
    "pyxem",
    "rosettasciio",
    "stemzarr",
}
"""Packages that hints may name without being one of our dependencies."""


def texts(node: ast.AST) -> Iterator[str]:
    """Yield the text of an expression, with {} for what is filled in."""
    for part in ast.walk(node):
        if isinstance(part, ast.JoinedStr):
            pieces = (v.value if isinstance(v, ast.Constant) else "{}" for v in part.values)
            yield "".join(str(piece) for piece in pieces)
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def told(node: ast.AST) -> ast.expr | None:
    """Return what a node gives as a hint, note or message; None where it is none of them."""
    if isinstance(node, ast.keyword):
        return node.value if node.arg == "hint" else None
    if not isinstance(node, ast.Assign):
        return None
    names = {target.id for target in node.targets if isinstance(target, ast.Name)}
    return node.value if names & {"hint", "note", "msg", "_HINT"} else None


@pytest.fixture(scope="module")
def hints() -> list[tuple[str, str]]:
    """Return place and text of every hint and note in the source."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                value = told(node)
                if value is not None:
                    place = f"{path.relative_to(ROOT).as_posix()}:{value.lineno}"
                    found.extend((place, text) for text in texts(value))
    return found


def commands(group: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield every command by its full name."""
    yield name, group
    if isinstance(group, click.Group):
        context = click.Context(group)
        for word in group.list_commands(context):
            command = group.get_command(context, word)
            assert command is not None
            yield from commands(command, f"{name} {word}".strip())


COMMANDS = dict(commands(program))
OPTIONS = {
    option
    for command in COMMANDS.values()
    for parameter in command.params
    for option in (*parameter.opts, *parameter.secondary_opts)
} | {"--help", "--version"}


def test_hints_are_found(hints: list[tuple[str, str]]) -> None:
    """The walk through the source sees the hints at all."""
    assert len(hints) > 200
    assert any("--salvage" in text for _, text in hints)


def test_options_exist(hints: list[tuple[str, str]]) -> None:
    """Each option that a hint names is one of a command's."""
    named = [
        (place, option)
        for place, text in hints
        if "pip " not in text and "rclone" not in text
        for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", text)
    ]
    assert named
    assert [one for one in named if one[1] not in OPTIONS] == []


def test_commands_exist(hints: list[tuple[str, str]]) -> None:
    """Each command that a hint names is one of the program's."""
    words = {name.split()[0] for name in COMMANDS if name}
    named = [
        (place, command)
        for place, text in hints
        for command in re.findall(r"\bstemzarr ([a-z]+)\b(?! file)", text)
        if re.search(rf"(?:[`:;]|^|or |with |run |, )stemzarr {command}\b", text)
    ]
    assert named
    assert [one for one in named if one[1] not in words] == []


def test_extras_and_packages_exist(hints: list[tuple[str, str]]) -> None:
    """Each ``pip install`` names a dependency of ours by its name, and an extra that it has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    known = {re.split(r"[\[<>=!~; ]", one)[0].lower() for some in lists for one in some}
    known |= {one.lower() for one in EXTERNAL}
    extras = {
        "stemzarr": set(project["optional-dependencies"]),
        "rosettasciio": set(
            importlib.metadata.metadata("rosettasciio").get_all("Provides-Extra") or []
        ),
    }
    wrong = []
    for place, text in hints:
        for line in re.findall(r"pip install ([^;()]+)", text):
            for word in re.findall(r"[A-Za-z][\w.-]*(?:\[[^\]]*\])?", line):
                name, _, rest = word.partition("[")
                if name.lower() not in known:
                    wrong.append((place, word))
                    break
                some = [one for one in rest.removesuffix("]").split(",") if one and "{" not in one]
                wrong.extend((place, word) for one in some if one not in extras.get(name, set()))
                break
    assert wrong == []


@pytest.mark.parametrize("extra", ["blockfile", "image", "tiff"])
def test_the_formats_that_we_bring_exist(extra: str) -> None:
    """What the extra ``formats`` asks of RosettaSciIO is something that it has."""
    provided = importlib.metadata.metadata("rosettasciio").get_all("Provides-Extra") or []
    assert extra in provided
