"""Real processes: watching, and interrupting, as a person does with Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stemzarr.testing import write_synthetic_dm4

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
PROGRAM = [sys.executable, "-m", "stemzarr_cli"]


def start(*words: object, cwd: Path) -> subprocess.Popen[str]:
    """Start the program with its output piped."""
    return subprocess.Popen(
        [*PROGRAM, *map(str, words)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def test_watch_takes_what_arrives_until_it_is_stopped(tmp_path: Path) -> None:
    """A file is ingested when it is there; Ctrl-C ends the watch with one line."""
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    patience = ("--settle", "0", "--poll", "0.1")
    with start("watch", incoming, *patience, "--json", cwd=tmp_path) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert "Ctrl-C" in watching.stderr.readline()
        write_synthetic_dm4(incoming / ".scan.dm4", (3, 4), (8, 8))
        (incoming / ".scan.dm4").rename(incoming / "scan.dm4")
        event = json.loads(watching.stdout.readline())
        assert (event["status"], event["name"]) == ("ingested", "scan")
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) == 130
        assert watching.stderr.read().strip().splitlines() == [
            "stemzarr watch: Interrupted. Run the same command again to resume"
        ]
    assert (tmp_path / "stemzarr-lake" / "stores" / "scan.zarr").is_dir()


def test_an_interrupted_ingest_goes_on(tmp_path: Path) -> None:
    """Ctrl-C in the middle leaves no store; the same command ends what was begun."""
    write_synthetic_dm4(tmp_path / "scan.dm4", (24, 64), (256, 256))
    script = (
        "import contextlib, os, signal, sys\n"
        "from stemzarr_cli.program import run\n"
        "from stemzarr_cli.report import Report\n"
        "def interrupt(done, total):\n"
        "    if done > 0.6 * total:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "Report.progress = lambda self, doing: contextlib.nullcontext(interrupt)\n"
        "sys.exit(run(sys.argv[1:]))\n"
    )
    words = ("ingest", "scan.dm4", "--codec", "lz4", "--no-preview")
    stopped = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert stopped.returncode == 130, stopped.stderr
    assert "Run the same command again to resume" in stopped.stderr
    assert len(stopped.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "stemzarr-lake" / "stores" / "scan.zarr").exists()
    with start(*words, "--json", cwd=tmp_path) as again:
        out, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert json.loads(out)["status"] in ("ingested", "resumed")
