"""The listening end of a proxy, in turns that the test makes."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pybrpc.base.deadline import NEVER
from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import AddressError
from pybrpc.testing.faulty_proxy.proxy_listener import PAUSE_S, ProxyListener, resolve
from pybrpc.testing.faulty_proxy.proxy_loop import READ
from tests.fakes.proxy_loop import FakeProxyLoop
from tests.peers.proxied import connect_to


class BrokenListener:
    """A socket whose `accept` fails."""

    def __init__(self, code: int) -> None:
        self.code = code

    def accept(self) -> Any:
        raise OSError(self.code, os.strerror(self.code))


def listening(address: str = "127.0.0.1:0") -> tuple[ProxyListener, FakeProxyLoop, list[Any]]:
    accepted: list[Any] = []
    listener, loop = ProxyListener(address, accepted.append), FakeProxyLoop()
    listener.start(loop)  # type: ignore[arg-type]
    return listener, loop, accepted


def test_accepts_who_connects_and_refuses_them_once_closed() -> None:
    listener, loop, accepted = listening()
    ((sock, mask),) = loop.masks.items()
    assert mask == READ
    with connect_to(listener.address):
        listener.on_ready(sock, READ, 0.0)
        accepted.pop().close()
    for _ in range(2):
        listener.close()
    assert (loop.masks[sock], loop.wakes[listener]) == (0, NEVER)
    with pytest.raises(ConnectionRefusedError):
        connect_to(listener.address)
    assert repr(listener) == f"<ProxyListener on {listener.address}, closed>"


def test_listens_again_where_it_did() -> None:
    listener, loop, _ = listening()
    listener.close()
    listener.start(loop)  # type: ignore[arg-type]
    connect_to(listener.address).close()
    assert repr(listener) == f"<ProxyListener on {listener.address}, open>"
    listener.close()


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
def test_without_descriptors_it_pauses(code: int) -> None:
    listener, loop, accepted = listening()
    (sock,) = loop.masks
    broken: Any = BrokenListener(code)
    listener.on_ready(broken, READ, 100.0)
    assert (loop.masks[broken], loop.wakes[listener]) == (0, 100.0 + PAUSE_S)
    listener.advance(100.0 + PAUSE_S)
    assert (loop.masks[sock], accepted) == (READ, [])
    listener.close()


def test_client_that_has_gone_before_it_was_accepted_is_nobody() -> None:
    listener, loop, accepted = listening()
    broken: Any = BrokenListener(errno.ECONNABORTED)
    listener.on_ready(broken, READ, 100.0)
    assert (loop.wakes, accepted) == ({}, [])
    listener.close()
    listener.advance(101.0)
    assert broken not in loop.masks


def test_listener_that_was_never_started_can_be_closed(tmp_path: Path) -> None:
    listener = ProxyListener(f"unix:{tmp_path}/s", print)
    assert os.path.exists(f"{tmp_path}/s")
    listener.close()
    assert not os.path.exists(f"{tmp_path}/s")


def test_file_of_a_unix_socket_that_somebody_has_removed(tmp_path: Path) -> None:
    listener, _, _ = listening(f"unix:{tmp_path}/s")
    os.unlink(f"{tmp_path}/s")
    listener.close()
    listener.start(FakeProxyLoop())  # type: ignore[arg-type]
    connect_to(listener.address).close()
    listener.close()


def test_server_in_memory_has_no_address_for_a_proxy() -> None:
    with pytest.raises(
        AddressError, match="memory:echo-1 is in memory, and a proxy needs a network"
    ):
        resolve(Endpoint.in_memory("echo-1"))
    with pytest.raises(AddressError):
        ProxyListener("memory:", print)
