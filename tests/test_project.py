"""What the project says of itself, to people and to indexes, is the same everywhere."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT: dict[str, Any] = PYPROJECT["project"]
DEPENDENCIES = (ROOT / "docs/dependencies.md").read_text("utf-8")
FALLBACK: str = PYPROJECT["tool"]["hatch"]["version"]["fallback-version"]


def test_citations_describe_the_project() -> None:
    """Name, version, licence, authors and keywords of pyproject.toml stand in what is cited."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    code = json.loads((ROOT / "codemeta.json").read_text("utf-8"))
    deposit = json.loads((ROOT / ".zenodo.json").read_text("utf-8"))
    authors = [author["name"] for author in PROJECT["authors"]]
    assert [author["name"] for author in citation["authors"]] == authors
    assert [author["name"] for author in code["author"]] == authors
    assert [author["name"] for author in deposit["creators"]] == authors
    assert f"{citation['version']}.dev0" == FALLBACK
    assert citation["version"] == code["version"]
    assert citation["license"] == deposit["license"] == PROJECT["license"]
    assert code["license"].endswith(f"/{PROJECT['license']}")
    assert citation["title"] == deposit["title"]
    assert citation["title"].startswith(f"{PROJECT['name']}: ")
    assert code["description"] == PROJECT["description"]
    for keywords in (citation["keywords"], code["keywords"], deposit["keywords"]):
        assert set(keywords) <= set(PROJECT["keywords"])


def names_of(*lists: list[str]) -> set[str]:
    """Return the names of packages that are asked for."""
    return {re.split(r"[\[<>=!~; ]", one)[0] for some in lists for one in some} - {"stemzarr"}


def test_every_dependency_has_a_row() -> None:
    """The table of dependencies names what is installed, and under which extra."""
    extras = dict(PROJECT["optional-dependencies"])
    for name in ("all", "docs", "test"):
        del extras[name]
    rows = re.findall(r"^\| (\w+) \| (?:`(\w+)` \| )?", DEPENDENCIES, re.MULTILINE)
    always = names_of(PROJECT["dependencies"])
    more = {name: names_of(some) - always for name, some in extras.items()}
    assert {name for name, extra in rows if name != "package" and not extra} == always
    found = {extra: {name for name, other in rows if other == extra} for extra in extras}
    assert found == more


WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_hosted_steps_name_what_is_here(path: Path) -> None:
    """Extras, scripts and constraints that the hosted jobs use are in the repository."""
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"]]
    commands = "\n".join(step.get("run", "") for step in steps)
    assert steps
    for step in steps:
        assert ("uses" in step) != ("run" in step), step
    for part in commands.split():
        if part.startswith('".['):
            for extra in part.strip('"')[2:-1].split(","):
                assert extra in PROJECT["optional-dependencies"]
        if part.endswith("constraints.txt") or part.startswith("./."):
            assert (ROOT / part).exists()


def test_slow_tests_are_tests() -> None:
    """What is left out as slow is there; another name would leave out nothing, or a new test."""
    for name in json.loads((ROOT / "tests/slow.json").read_text("utf-8")):
        path, _, test = name.partition("::")
        assert test.partition("::")[0] in (ROOT / path).read_text("utf-8"), name


def test_the_paper_cites_what_it_lists() -> None:
    """Each key of the paper is in its bibliography, and each of those is cited."""
    paper, books = (
        (ROOT / "paper" / name).read_text("utf-8") for name in ("paper.md", "paper.bib")
    )
    listed = re.findall(r"^@\w+\{(\w+),", books, re.MULTILINE)
    assert set(re.findall(r"\[@(\w+)\]", paper)) == set(listed)
