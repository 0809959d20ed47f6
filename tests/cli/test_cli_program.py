"""The program answers at once, and what is wrong is said on one line with a way out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from stemzarr.errors import CorruptFileError
from stemzarr.testing import write_synthetic_dm4
from stemzarr_cli.command import Command
from stemzarr_cli.program import COMMANDS, program, run

DOCS = Path(__file__).parents[2] / "docs" / "commands.md"
HEAVY = ("numpy", "rich", "zarr", "xarray", "dask", "torch", "hyperspy", "intake", "psutil")


def commands() -> dict[str, click.Command]:
    """Return all commands as the program finds them, those of a group by two words."""
    found: dict[str, click.Command] = {}
    for name in COMMANDS:
        command = program.get_command(click.Context(program), name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= {f"{name} {part}": inner for part, inner in command.commands.items()}
        else:
            found[name] = command
    return found


ALL = commands()


def test_help_imports_nothing_heavy() -> None:
    """``stemzarr -h`` answers at once because it imports none of what the commands use."""
    script = (
        "import sys; from stemzarr_cli.program import run; status = run(['-h']); "
        f"print([name for name in {HEAVY!r} if name in sys.modules]); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(name in done.stdout for name in COMMANDS)


def test_work_on_files_and_stores_imports_no_xarray(tmp_path: Path) -> None:
    """Where labelled arrays take no part, nobody waits for the import of what makes them."""
    write_synthetic_dm4(tmp_path / "scan.dm4", (3, 4), (8, 8))
    script = (
        "import sys; from stemzarr_cli.program import run\n"
        "for words in ('info scan.dm4', 'ingest scan.dm4', 'ls', 'show scan', 'verify scan',"
        " 'export scan scan.hspy', 'export scan.dm4 scan.emd',"
        " 'export scan ring.png --outer 2', 'export scan com.npy --image com-y',"
        " 'explore scan.dm4 --html page.html'):\n"
        "    status = run(words.split())\n"
        "    heavy = {'xarray', 'dask', 'pandas', 'torch'} & sys.modules.keys()\n"
        "    if status or heavy: sys.exit(f'{words}: {status} {heavy}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ALL)
def test_help_of_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command explains itself and has the options that all share."""
    assert run([*name.split(), "-h"]) == 0
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--json", "--quiet", "--debug", "-h"))
    assert isinstance(ALL[name], Command)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says(name: str) -> None:
    """The line of a command in the list is the first sentence of its own help."""
    command = program.get_command(click.Context(program), name)
    assert command is not None
    assert command.help is not None
    assert command.help.startswith(COMMANDS[name][1])


@pytest.mark.parametrize("name", ALL)
def test_every_command_and_option_is_documented(name: str) -> None:
    """The page of commands has a section for each, and names each of its options there."""
    page = DOCS.read_text(encoding="utf-8")
    section = page.partition(f"\n## {name.split(maxsplit=1)[0]}\n")[2].partition("\n## ")[0]
    assert f"`stemzarr {name}" in section
    shared = page.partition("\n## Every command\n")[2].partition("\n## ")[0]
    for parameter in ALL[name].params:
        if isinstance(parameter, click.Option):
            assert f"`{parameter.opts[0]}" in section + shared, parameter.opts


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["exprot"], "did you mean 'export'?"),
        (["ingest"], "Missing argument"),
        (["info", "x", "--layuot", "auto"], "--layuot"),
        (["info", "x", "--layout", "sideways"], "sideways"),
        (["ingest", "x", "--memory", "much"], "much"),
        (["ingest", "x", "--memory", "3"], "memory is 3"),
        (["ingest", "x", "--scan-shape", "3"], "Y,X"),
        (["ingest", "x", "--set", "voltage"], "FACT=VALUE"),
        (["export", "x", "y.pt", "--downsample", "two"], "FY,FX"),
        (["export", "x", "y.pt", "--sigma", "2"], "sigma"),
        (["export", "x", "y.pt", "--downsample", "0"], "downsample is 0"),
        (["ingest", "a", "b", "--name", "c"], "--name"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be meant is refused before anything is done, with the word that is wrong."""
    assert run(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert said in captured.err


def raising(error: BaseException) -> click.Group:
    """Return a program whose only command raises."""

    @click.command(cls=Command)
    @click.pass_obj
    def fail(_report: object, /) -> None:
        raise error

    return click.Group("stemzarr", {"fail": fail})


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (
            CorruptFileError("ends early", path="x.dm4", hint="copy it"),
            1,
            "x.dm4: ends early (copy",
        ),
        (CorruptFileError("two\nlines \x1b[2J", path="x\ny"), 1, r"lines \x1b[2J"),
        (OSError(28, "No space left on device", "x.zarr"), 1, "x.zarr: No space left"),
        (MemoryError(), 1, "not enough memory"),
        (ZeroDivisionError("division by zero"), 1, "--debug"),
        (KeyboardInterrupt(), 130, "Interrupted"),
    ],
)
def test_every_error_is_one_line(
    error: BaseException, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a command raises, the person sees one line, and no escape of a file's own."""
    group = raising(error)
    assert group.main(["fail"], standalone_mode=False) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert said in captured.err
    assert "\x1b" not in captured.err


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--debug`` the line is preceded by where it happened."""
    group = raising(CorruptFileError("ends early", path="x.dm4"))
    assert group.main(["fail", "--debug"], standalone_mode=False) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "test_cli_program.py" in said
    assert said.splitlines()[-1].endswith("x.dm4: ends early")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    """When nobody reads on, the program ends without a word."""
    script = (
        "import click; from stemzarr_cli.command import Command\n"
        "@click.command(cls=Command)\n@click.pass_obj\n"
        "def talk(report, /):\n    while True: report.say('x' * 1000)\n"
        "import sys; sys.exit(talk.main([], standalone_mode=False))"
    )
    read, write = os.pipe()
    os.close(read)
    with (tmp_path / "err").open("wb") as errors:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=write, stderr=errors, check=False, timeout=60
        )
    os.close(write)
    assert done.returncode == 141
    assert (tmp_path / "err").read_bytes() == b""


def test_json_survives_any_text(capsys: pytest.CaptureFixture[str]) -> None:
    """A JSON line is ASCII, one line, and gives back what went in."""
    from stemzarr_cli.report import Report

    record = {"title": "µ \x1b[2J \x9b \ud800 \u2028 ü"}
    Report("stemzarr", as_json=True).result(record, lambda: None)
    line = capsys.readouterr().out
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line) == record
