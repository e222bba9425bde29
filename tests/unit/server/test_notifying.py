"""Server.notifying_systemd: needs a server that was started."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybrpc.errors import ServerStateError
from tests.peers.service_manager import NotifySocket
from tests.peers.serving import make_server


def test_server_that_was_not_started_is_not_ready() -> None:
    with pytest.raises(ServerStateError, match="start the server before"):
        make_server().notifying_systemd()


def test_stop_ends_the_notices(unix_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with NotifySocket(str(unix_path)) as manager, make_server() as server:
        monkeypatch.setenv("NOTIFY_SOCKET", manager.address)
        where = server.start("127.0.0.1:0")
        with server.notifying_systemd():
            manager.wait_received("READY=1")
            assert f"STATUS=Serving on {where}" in manager.received[0]
            server.stop()
            manager.wait_received("STOPPING=1")
        assert server.join(30)
        assert manager.states() == ["READY=1", "STOPPING=1"]
