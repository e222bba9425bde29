"""FaultyProxy: commands while it runs, its statistics, and how it ends."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from pybrpc.testing.faulty_proxy import CutAt, Faults, FaultyProxy, Stall
from tests.peers.proxied import (
    HANG_S,
    Proxied,
    connect_and_be_reset,
    connect_to,
    proxied,
    receive,
    receive_all,
    receive_until_reset,
)
from tests.peers.scripted_server import closed_port


def assert_nothing_comes(sock: socket.socket) -> None:
    sock.settimeout(0.05)
    with pytest.raises(TimeoutError):
        sock.recv(1)
    sock.settimeout(HANG_S)


def assert_both_go(client: socket.socket, server: socket.socket) -> None:
    client.sendall(b"there")
    assert receive(server, 5) == b"there"
    server.sendall(b"back")
    assert receive(client, 4) == b"back"


def test_a_plan_gets_the_number_of_the_connection() -> None:
    with proxied(plan=lambda number: Faults(to_client=[CutAt(number)])) as both:
        for number in range(4):
            client, server = both.pair()
            server.sendall(b"abcdef")
            assert receive_all(client) == b"abcdef"[:number]


def test_faults_for_the_next_connections_come_before_the_plan() -> None:
    with proxied(plan=Faults(to_client=[CutAt(1)])) as both:
        both.proxy.set_next(Faults(to_client=[CutAt(2)]), Faults(to_client=[CutAt(3)]))
        for count in (2, 3, 1, 1):
            client, server = both.pair()
            server.sendall(b"abcdef")
            assert receive_all(client) == b"abcdef"[:count]


def test_a_plan_may_be_replaced() -> None:
    with proxied() as both:
        before = both.pair()
        both.proxy.plan = Faults(to_client=[CutAt(0)])
        assert receive_all(both.pair()[0]) == b""
        assert_both_go(*before)


def test_stall_and_resume_live_connections() -> None:
    with proxied() as both:
        client, server = both.pair()
        assert_both_go(client, server)
        both.proxy.stall()
        new_client, new_server = both.connect(), both.accept()
        for sender, receiver in ((client, server), (server, client), (new_client, new_server)):
            sender.sendall(b"x")
            assert_nothing_comes(receiver)
        both.proxy.resume()
        assert [sock.recv(1) for sock in (server, client, new_server)] == [b"x"] * 3
        assert_both_go(client, server)


def test_stall_one_direction() -> None:
    with proxied() as both:
        client, server = both.pair()
        both.proxy.stall(to_server=False)
        client.sendall(b"x")
        assert server.recv(1) == b"x"
        server.sendall(b"y")
        assert_nothing_comes(client)
        both.proxy.resume()
        assert client.recv(1) == b"y"


def test_a_stalled_connection_may_be_reset() -> None:
    with proxied(plan=Faults(to_server=[Stall()], to_client=[Stall()])) as both:
        client, server = both.pair()
        client.sendall(b"lost")
        both.proxy.reset_all()
        assert receive_until_reset(client) == b""
        assert receive_until_reset(server) == b""
        assert both.proxy.statistics().open == 0


def test_cut_all_ends_both_sides_cleanly() -> None:
    with proxied() as both:
        pairs = [both.pair() for _ in range(3)]
        both.proxy.cut_all()
        assert [receive_all(sock) for pair in pairs for sock in pair] == [b""] * 6


def test_stop_and_start_accepting() -> None:
    with proxied() as both:
        client, server = both.pair()
        both.proxy.stop_accepting()
        with pytest.raises(ConnectionRefusedError):
            connect_to(both.proxy.address)
        assert_both_go(client, server)
        both.proxy.start_accepting()
        both.proxy.start_accepting()
        assert_both_go(*both.pair())


def test_a_server_that_refuses_is_a_reset_for_the_client() -> None:
    with closed_port() as address, FaultyProxy(address) as proxy:
        connect_and_be_reset(proxy.address)
        assert proxy.statistics().connect_failures == 1


def test_a_unix_server_that_is_not_there_is_the_end_for_the_client(tmp_path: Path) -> None:
    with FaultyProxy(f"unix:{tmp_path}/nobody") as proxy:
        connect_and_be_reset(proxy.address)
        assert proxy.statistics().connect_failures == 1


def test_statistics_count_bytes_of_live_and_closed_connections() -> None:
    with proxied() as both:
        for pair in (both.pair(), both.pair()):
            assert_both_go(*pair)
        for sock in pair:
            sock.close()
        assert_both_go(*both.pair())
        statistics = both.proxy.statistics()
        assert (statistics.accepted, statistics.bytes_to_server) == (3, 15)
        assert (statistics.bytes_to_client, statistics.bytes_dropped) == (12, 0)
        assert statistics.faults == {}
    assert both.proxy.statistics().open == 0


def test_repr_has_state_addresses_and_stalls() -> None:
    with proxied() as both:
        both.pair()
        both.proxy.stall(to_client=False)
        text = f"on {both.proxy.address} before {both.proxy.upstream}, 1 connections"
        assert repr(both.proxy) == f"<FaultyProxy open {text}, stalled to the server>"
    assert repr(both.proxy).startswith("<FaultyProxy closed")


@pytest.mark.parametrize("is_stalled", [True, False])
def test_close_ends_everything_at_once(is_stalled: bool) -> None:
    with proxied() as both:
        client, server = both.pair()
        if is_stalled:
            both.proxy.stall()
        both.proxy.close()
        both.proxy.close()
        assert receive_all(client) == receive_all(server) == b""
        with pytest.raises(ConnectionRefusedError):
            connect_to(both.proxy.address)
        with pytest.raises(RuntimeError, match="was closed"):
            both.proxy.resume()


def test_a_plan_that_raises_refuses_and_is_told_at_the_end() -> None:
    def plan(number: int) -> Faults:
        raise KeyError("no such connection")

    with closed_port() as address:
        proxy = FaultyProxy(address, plan)
        connect_and_be_reset(proxy.address)
        with pytest.raises(KeyError, match="no such connection"):
            proxy.close()
    assert proxy.statistics().connect_failures == 0


def forgets_to_return(number: int) -> None:
    """A plan that is none."""


@pytest.mark.parametrize(
    ("plan", "raised"),
    [(forgets_to_return, TypeError), (lambda number: pytest.fail("none"), pytest.fail.Exception)],
)
def test_a_wrong_plan_refuses_each_connection_and_is_told_at_the_end(
    plan: Any, raised: type[BaseException]
) -> None:
    with closed_port() as address:
        proxy = FaultyProxy(address, plan)
        for _ in range(2):
            connect_and_be_reset(proxy.address)
        with pytest.raises(raised, match=r"none|a plan returns must be Faults"):
            proxy.close()


def test_error_of_a_plan_is_a_note_of_the_error_of_the_test() -> None:
    def plan(number: int) -> Faults:
        raise KeyError("no such connection")

    def test(address: str) -> None:
        with FaultyProxy(address, plan) as proxy:
            connect_and_be_reset(proxy.address)
            raise ZeroDivisionError

    with closed_port() as address, pytest.raises(ZeroDivisionError) as caught:
        test(address)
    assert caught.value.__notes__ == [
        "the plan of the proxy had raised KeyError('no such connection')"
    ]


def test_what_is_no_plan_is_refused() -> None:
    with closed_port() as address, FaultyProxy(address) as proxy:
        with pytest.raises(TypeError, match=r"must be Faults\(\.\.\.\)"):
            FaultyProxy(address, CutAt(3))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="the plan, which is no function"):
            proxy.plan = None  # type: ignore[assignment]
        with pytest.raises(TypeError, match="argument of set_next"):
            proxy.set_next(Faults(), CutAt(3))  # type: ignore[arg-type]


def test_a_plan_may_talk_to_its_proxy() -> None:
    def plan(number: int) -> Faults:
        both.proxy.reset_all()
        return Faults()

    with proxied() as both:
        first, _ = both.pair()
        both.proxy.plan = plan
        assert_both_go(*both.pair())
        assert receive_until_reset(first) == b""


def test_an_address_that_is_taken() -> None:
    with proxied() as both:
        with pytest.raises(OSError, match="in use"):
            FaultyProxy(both.proxy.upstream, listen=both.proxy.address)


def test_many_threads_tell_it_what_to_do() -> None:
    def tell(both: Proxied) -> None:
        for _ in range(50):
            both.proxy.stall()
            both.proxy.resume()
            both.proxy.statistics()
            both.proxy.start_accepting()

    with proxied() as both:
        client, server = both.pair()
        threads = [threading.Thread(target=tell, args=(both,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(50):
            assert_both_go(client, server)
        for thread in threads:
            thread.join()


def test_many_connections_at_once_through_few_descriptors() -> None:
    with proxied() as both:
        pairs = [both.pair() for _ in range(200)]
        for client, server in pairs:
            assert_both_go(client, server)
        before = len(os.listdir("/dev/fd"))
        both.proxy.reset_all()
        assert len(os.listdir("/dev/fd")) <= before - 2 * len(pairs)
