"""The first free port of a range."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.transport.listening.acceptor import ListenError
from pybrpc.transport.listening.listen import start_on_first_free

PORTS = range(8000, 8003)


def taken(*ports: int, why: int = errno.EADDRINUSE) -> Callable[[Endpoint], Endpoint]:
    """Starts on any port but those."""

    def start(endpoint: Endpoint) -> Endpoint:
        if endpoint.port in ports:
            raise ListenError(why, f"Fail to listen on {endpoint}")
        return endpoint

    return start


@pytest.mark.parametrize(
    ("ports", "first_free"), [((), 8000), ((8000,), 8001), ((8000, 8001), 8002)]
)
def test_first_free_port_is_taken(ports: tuple[int, ...], first_free: int) -> None:
    assert start_on_first_free("::1", PORTS, taken(*ports)) == Endpoint("::1", first_free)


def test_search_fails_if_all_ports_are_taken() -> None:
    with pytest.raises(ListenError, match="ports 8000 to 8002 are all taken") as caught:
        start_on_first_free("localhost", PORTS, taken(*PORTS))
    assert caught.value.errno == errno.EADDRINUSE


def test_search_ends_at_once_for_another_reason() -> None:
    with pytest.raises(ListenError, match="localhost:8000") as caught:
        start_on_first_free("localhost", PORTS, taken(8000, why=errno.EACCES))
    assert caught.value.errno == errno.EACCES


def test_range_without_a_port_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one in it"):
        start_on_first_free("localhost", range(8000, 8000), taken())
