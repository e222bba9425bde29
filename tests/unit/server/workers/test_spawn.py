"""spawn: a process that starts with some signals blocked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pybrpc.server.workers.spawn import spawn

BLOCKED = (signal.SIGHUP, signal.SIGUSR1)
SAYS_WHAT_IT_HAS = """
import os, signal, sys
blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
said = [sorted(blocked), os.getcwd(), os.getpgid(0) == os.getpid(), os.environ.get("PWD")]
os.write(int(sys.argv[1]), repr(said).encode())
"""


def test_process_has_its_descriptors_signals_directory_and_environment(tmp_path: Path) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    read, write = os.pipe()
    process = spawn(
        [sys.executable, "-c", SAYS_WHAT_IT_HAS, str(write)],
        fds=(write,),
        blocked=BLOCKED,
        directory=str(tmp_path),
        environment={"PWD": "named"},
    )
    os.close(write)
    assert process.wait() == 0
    assert os.read(read, 1000) == repr([sorted(BLOCKED), str(tmp_path), True, "named"]).encode()
    os.close(read)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_start_that_fails_leaves_the_signals_as_they_were(tmp_path: Path) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    for command, directory in ((["/no/such"], "/"), (["true"], str(tmp_path / "gone"))):
        with pytest.raises(FileNotFoundError):
            spawn(command, fds=(), blocked=BLOCKED, directory=directory)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_signal_that_comes_early_waits(tmp_path: Path) -> None:
    # A shell that starts the tests may have them ignore SIGHUP, as nohup does.
    code = (
        "import signal, time; signal.signal(1, signal.SIG_DFL); time.sleep(0.1); "
        "signal.pthread_sigmask(signal.SIG_UNBLOCK, [1])"
    )
    process = spawn([sys.executable, "-c", code], fds=(), blocked=BLOCKED, directory="/")
    process.send_signal(signal.SIGHUP)
    assert process.wait() == -signal.SIGHUP
    assert isinstance(process, subprocess.Popen)
