"""The soak, for some seconds."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def start_soak(report: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "soak", "--report", str(report), *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def assert_all_is_well(process: subprocess.Popen[str], report: Path) -> dict[str, Any]:
    with process:
        output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    found: dict[str, Any] = json.loads(report.read_text())
    totals = found["totals"]
    assert totals["started"] == totals["answered"] + totals["failed"] > 0
    assert found["broken"] == []
    assert "PASSED" in output
    return found


@pytest.mark.proof
def test_a_short_soak_loses_nothing(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    found = assert_all_is_well(start_soak(report, "--minutes", "0.05"), report)
    assert found["totals"]["answered"] > 0
    assert found["has_tls"]
    assert sum(found["faults"].values()) > 0
    assert sum(found["deeds"].values()) > 0
    assert sum(found["hostile"].values()) > 0
    assert found["streams"]["opened"] > 0
    assert found["streams"]["received"] > 0


@pytest.mark.proof
def test_ctrl_c_ends_it_early_with_the_report(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    process = start_soak(report, "--minutes", "30", "--threads", "2", "--tasks", "2")
    assert process.stdout is not None
    assert "30 minutes" in process.stdout.readline()
    while not re.search(r" [1-9][0-9,]* answered", line := process.stdout.readline()):
        assert " answered" in line, "a line of its progress"
    process.send_signal(signal.SIGINT)
    assert assert_all_is_well(process, report)["seconds"] < 15 * 60


@pytest.mark.proof
def test_soak_fails_if_a_call_completes_twice_or_never(tmp_path: Path) -> None:
    """A call that completes twice, and one that never completes."""
    code = (
        "import sys; from soak import ledger, __main__\n"
        "failed = ledger.Ticket.failed\n"
        "def twice(ticket, error): failed(ticket, error); failed(ticket, error)\n"
        "ledger.Ticket.failed = twice\n"
        "ledger.Ticket.answered = lambda ticket, complaint='': None\n"
        "sys.exit(__main__.main(['--minutes', '0.03', '--threads', '2', '--tasks', '0']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 1, done.stderr
    assert "calls have no outcome" in done.stdout
    assert "calls have two outcomes or more" in done.stdout


@pytest.mark.proof
@pytest.mark.python_only
def test_soak_fails_if_calls_never_leave_the_counts_of_a_server() -> None:
    """The server loses the end of each twentieth batch of calls; their callers time out."""
    code = (
        "import itertools, sys; from soak import __main__, accounts\n"
        "from pybrpc.server.calls.call_end import CallEnd\n"
        "end, count = CallEnd.end, itertools.count(1)\n"
        "CallEnd.end = lambda *arguments: next(count) % 20 and end(*arguments)\n"
        "accounts.wait_settled.__defaults__ = (1.0,)\n"
        "sys.exit(__main__.main(['--minutes', '0.05', '--no-tls']))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "counts of servers at rest" in done.stdout


@pytest.mark.proof
@pytest.mark.python_only
def test_soak_fails_if_messages_of_streams_are_lost() -> None:
    """Each twentieth frame with data, and each twentieth end."""
    code = (
        "import itertools, sys; from soak import __main__\n"
        "from pybrpc.streams.core import StreamCore\n"
        "from pybrpc.streams.consumers import ConsumerBase\n"
        "data, over, count = StreamCore.on_data, ConsumerBase.on_over, itertools.count(1)\n"
        "StreamCore.on_data = lambda *arguments: next(count) % 20 and data(*arguments)\n"
        "ConsumerBase.on_over = lambda *arguments: next(count) % 20 and over(*arguments)\n"
        "from soak import soak_run; soak_run.SETTLE_S = 0.5\n"
        "from soak.streams import script; script.HANG_S = 0.5\n"
        "sys.exit(__main__.main(['--minutes', '0.05', '--no-tls', '--threads', '1']))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "messages came twice, too early or too late" in done.stdout
    assert "sides never got `on_closed`" in done.stdout
