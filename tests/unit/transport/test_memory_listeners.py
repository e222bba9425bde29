from __future__ import annotations

import errno
import socket

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import ListenError
from pybrpc.transport.memory_listeners import (
    connect_in_memory,
    endpoints_in_memory,
    forget_listener,
    listen_in_memory,
)
from tests.peers.forking import exit_code_of, fork


class Listener:
    def connect(self) -> socket.socket:
        raise TimeoutError("this one can't")


NAMED = Endpoint.in_memory("test-named")


def test_listener_gets_a_name_that_is_free() -> None:
    first, second = Listener(), Listener()
    endpoints = [listen_in_memory(Endpoint.in_memory(), each) for each in (first, second)]
    assert len({*endpoints}) == 2
    assert set(endpoints) <= set(endpoints_in_memory())
    for endpoint, each in zip(endpoints, (first, second), strict=True):
        forget_listener(endpoint, each)
    assert not set(endpoints) & set(endpoints_in_memory())


def test_listener_takes_the_name_that_is_asked_for_once() -> None:
    listener, other = Listener(), Listener()
    assert listen_in_memory(NAMED, listener) == NAMED
    with pytest.raises(ListenError, match="memory:test-named: Address already in use") as raised:
        listen_in_memory(NAMED, other)
    assert raised.value.errno == errno.EADDRINUSE
    forget_listener(NAMED, other)  # has no effect: it is not there
    with pytest.raises(TimeoutError):
        connect_in_memory(NAMED)
    forget_listener(NAMED, listener)
    forget_listener(NAMED, listener)
    assert listen_in_memory(NAMED, other) == NAMED
    forget_listener(NAMED, other)


def test_connect_is_refused_where_nobody_listens() -> None:
    with pytest.raises(ConnectionRefusedError) as raised:
        connect_in_memory(Endpoint.in_memory("nobody"))
    assert raised.value.errno == errno.ECONNREFUSED


def test_forked_child_finds_no_server_of_its_parent() -> None:
    listener = Listener()
    endpoint = listen_in_memory(Endpoint.in_memory(), listener)

    def look() -> None:
        assert endpoints_in_memory() == []
        with pytest.raises(ConnectionRefusedError):
            connect_in_memory(endpoint)

    assert exit_code_of(fork(look)) == 0
    assert endpoint in endpoints_in_memory()
    forget_listener(endpoint, listener)
