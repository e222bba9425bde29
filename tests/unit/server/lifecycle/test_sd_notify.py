"""sd_notify: one datagram to a path or an abstract name; it never blocks or raises."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybrpc.server.lifecycle.sd_notify import is_systemd_listening, sd_notify, watchdog_s
from tests.peers.service_manager import NotifySocket


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, unix_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[NotifySocket]:
    address = str(unix_path) if request.param == "path" else f"@pybrpc-test-{os.getpid()}"
    with NotifySocket(address) as made:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield made


def test_lines_are_one_datagram(manager: NotifySocket) -> None:
    assert is_systemd_listening()
    assert sd_notify("READY=1", "STATUS=Serving")
    assert sd_notify("STOPPING=1")
    assert manager.look() == ["READY=1\nSTATUS=Serving", "STOPPING=1"]


def test_state_that_there_is_no_room_for_is_to_be_sent_again(manager: NotifySocket) -> None:
    while sd_notify("STATUS=more"):
        pass
    assert len(manager.look()) > 0
    assert sd_notify("READY=1")
    assert manager.look()[-1] == "READY=1"


def test_nobody_is_told_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not is_systemd_listening()
    assert sd_notify("READY=1")


@pytest.mark.parametrize("where", ["/nothing/there", "vsock:2:1", "@" + "x" * 200, "/a\udcff" * 90])
def test_address_that_can_not_be_reached_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    monkeypatch.setattr("pybrpc.server.lifecycle.sd_notify._log._quiet_until", 0.0)
    monkeypatch.setenv("NOTIFY_SOCKET", where)
    assert sd_notify("READY=1")
    assert "systemd can't be notified of READY=1 at NOTIFY_SOCKET=" in caplog.text


def test_stream_socket_is_no_service_manager(
    unix_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pybrpc.server.lifecycle.sd_notify._log._quiet_until", 0.0)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(unix_path))
        sock.listen()
        monkeypatch.setenv("NOTIFY_SOCKET", str(unix_path))
        assert sd_notify("READY=1")
    assert "can't be notified" in caplog.text


@pytest.mark.parametrize(
    ("usec", "pid", "wanted"),
    [
        ("30000000", "own", 30.0),
        ("500000", None, 0.5),
        ("30000000", "1", None),
        ("1", None, 0.02),
        ("19999", None, 0.02),
        ("20001", None, 0.020001),
        ("0", None, None),
        ("soon", None, None),
        ("9" * 400, None, None),
        (None, None, None),
    ],
)
def test_watchdog_is_for_this_process_and_a_number(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, pid: str | None, wanted: float | None
) -> None:
    for name, text in {"WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}.items():
        if text is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, str(os.getpid()) if text == "own" else text)
    assert watchdog_s() == wanted
