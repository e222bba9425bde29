"""The functions of on_shutdown come after the handlers, as far as these can be waited for."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import pybrpc
from pybrpc.base.endpoint import Endpoint
from pybrpc.server.lifecycle import server_stop
from tests.fakes.server_hooks import ANYWHERE, WAIT_S, Log, Service
from tests.fakes.threads import wait_until
from tests.peers.echo import ECHO
from tests.peers.raw_peer import RawPeer, request

ECHO_METHOD = f"{ECHO.full_name}.Echo"


class CleaningUp(Service):
    """An async handler that waits for ever, and when it is cancelled, until `ends` is set."""

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self.ends = threading.Event()

    async def Echo(self, asked: Any, controller: pybrpc.Controller) -> Any:  # type: ignore[override]
        self._log.note("begins")
        try:
            await asyncio.Event().wait()
        finally:
            self._log.note("is cancelled")
            while not self.ends.is_set():
                await asyncio.sleep(0.001)
            self._log.note("cleaned up")

    Stream = Echo


def serve(server: pybrpc.Server, service: object, log: Log) -> Endpoint:
    server.remove_service(ECHO)
    server.add_service(ECHO, service)
    server.on_shutdown(log.awaited("down"))
    return server.start(ANYWHERE)


@pytest.mark.parametrize("cancel_handlers", [False, True])
def test_cancelled_handlers_clean_up_first(
    server: pybrpc.Server, log: Log, cancel_handlers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_stop, "CLEANUP_S", WAIT_S)
    service = CleaningUp(log)
    endpoint = serve(server, service, log)
    server.set_method_options(ECHO_METHOD, cancel_handlers=cancel_handlers)
    with RawPeer(endpoint) as peer:
        peer.send(*(request(number) for number in range(3)))
        wait_until(lambda: log.entries == ["begins"] * 3)
        server.stop(0)
        wait_until(lambda: log.entries[3:] == ["is cancelled"] * 3)
        assert not server.join(0.1)
        service.ends.set()
        assert server.join(WAIT_S)
    assert log.entries[6:] == ["cleaned up"] * 3 + ["down"]


def test_handler_that_does_not_end_is_given_up(
    server: pybrpc.Server, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_stop, "CLEANUP_S", 0.1)
    service = CleaningUp(log)
    with RawPeer(serve(server, service, log)) as peer:
        peer.send(request(1))
        wait_until(lambda: log.entries == ["begins"])
        server.stop(0)
        wait_until(lambda: log.entries == ["begins", "is cancelled", "down"])
        service.ends.set()
        assert server.join(WAIT_S)


def test_plain_handler_whose_client_is_gone_ends_first(server: pybrpc.Server, log: Log) -> None:
    go_on = threading.Event()

    class Slow(Service):
        def Echo(self, asked: Any, controller: pybrpc.Controller) -> Any:
            self._log.note("begins")
            assert go_on.wait(WAIT_S)
            return super().Echo(asked, controller)

        Stream = Echo

    with RawPeer(serve(server, Slow(log), log)) as peer:
        peer.send(request(1))
        wait_until(lambda: log.entries == ["begins"])
        peer.reset()
    wait_until(lambda: server.statistics().connections == 0)
    server.stop(WAIT_S)
    assert not server.join(0.1)
    go_on.set()
    assert server.join(WAIT_S)
    assert log.entries == ["begins", "handler", "down"]
