"""One server of a cluster."""

from __future__ import annotations

import threading

from tests.fakes.clusters import new_server


def test_weight_is_that_of_the_node() -> None:
    assert new_server("10.0.0.1:80").weight == 1.0
    server = new_server("10.0.0.1:80", "2.5 zone=a")
    assert (server.weight, server.full_weight, server.node.zone) == (2.5, 2.5, "a")


def test_attempts_of_many_threads_are_counted() -> None:
    server = new_server("10.0.0.1:80")

    def attempt() -> None:
        for _ in range(2000):
            server.begin()
            server.begin()
            server.end()

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.in_flight == server.count_in_flight() == 8000


def test_repr_says_its_state() -> None:
    server = new_server("10.0.0.1:80", "3")
    server.begin()
    assert repr(server) == "<ClusterServer 10.0.0.1:80 3, usable, 1 calls in flight>"
    server.is_usable = False
    server.end()
    assert repr(server) == "<ClusterServer 10.0.0.1:80 3, not usable, 0 calls in flight>"
