"""The watch on what tests leave open catches what they leave open."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

LEAKS = """
import subprocess, sys, threading, time
import pytest

kept = []

def test_thread():
    kept.append(threading.Event())
    threading.Thread(target=kept[-1].wait, args=(4,)).start()

def test_daemon_of_ours():
    kept.append(threading.Event())
    threading.Thread(target=kept[-1].wait, args=(4,), name="stemzarr-lock", daemon=True).start()

def test_process():
    kept.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))

def test_file(tmp_path):
    kept.append((tmp_path / "x").open("w"))

def test_file_elsewhere(tmp_path_factory):
    kept.append((tmp_path_factory.mktemp("elsewhere") / "x").open("w"))

def test_nothing(tmp_path):
    with (tmp_path / "x").open("w"):
        thread = threading.Thread(target=time.time)
        thread.start()
    thread.join()

@pytest.mark.leaves_open
def test_marked(tmp_path):
    kept.append((tmp_path / "x").open("w"))
"""


def test_what_a_test_leaves_open_fails_it(tmp_path: Path) -> None:
    """A thread, one of ours that is a daemon, a process, a file: each fails, and nothing else."""
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    # Psutil's patience is not what is tried here.
    conftest = (
        (tmp_path / "conftest.py").read_text(encoding="utf-8").replace("timeout=5", "timeout=0.1")
    )
    (tmp_path / "conftest.py").write_text(conftest, encoding="utf-8")
    (tmp_path / "test_leaks_of_all_kinds.py").write_text(LEAKS, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = leaves_open\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rE", "-p", "no:cacheprovider", tmp_path],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "250"},
    )
    failed = re.findall(r"^ERROR .*::(\w+) - AssertionError: (\w+)", done.stdout, re.MULTILINE)
    assert dict(failed) == {
        "test_thread": "threads",
        "test_daemon_of_ours": "threads",
        "test_process": "child",
        "test_file": "files",
        "test_file_elsewhere": "files",
    }, done.stdout
    assert "7 passed" in done.stdout
