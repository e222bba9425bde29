"""Twenty servers, of which some misbehave, under load: what callers notice of it."""

from __future__ import annotations

import collections
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pybrpc import BackupRequestPolicy
from pybrpc.errors import ErrorCode, RpcError
from tests.fakes.threads import wait_until
from tests.peers.clusters import Load, Member, cluster, cluster_stub

pytestmark = pytest.mark.proof
SERVERS = 20


@contextmanager
def black_hole() -> Iterator[str]:
    """An address that takes connections and bytes, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    kept.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept)
        thread.start()
        host, port = listener.getsockname()
        try:
            yield f"{host}:{port}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in kept:
                each.close()


def codes_of(load: Load) -> collections.Counter[int]:
    assert all(isinstance(error, RpcError) for error in load.errors)
    return collections.Counter(error.code for error in load.errors if isinstance(error, RpcError))


def restart_all(members: list[Member], load: Load) -> None:
    for member in members:
        member.stop()
        load.wait_for_calls(30)
        member.start()
        load.wait_for_calls(30)


def test_restart_of_all_servers_fails_no_call() -> None:
    with (
        cluster(SERVERS) as servers,
        cluster_stub(servers.addresses) as (stub, _),
        Load(stub) as load,
    ):
        restart_all(servers.members, load)
    assert load.errors == []


def test_names_that_change_all_the_time_fail_no_call(tmp_path: Path) -> None:
    path = tmp_path / "servers"

    def name(addresses: list[str]) -> None:
        fresh = path.with_suffix(".new")
        fresh.write_text("\n".join(addresses))
        os.replace(fresh, path)

    with cluster(SERVERS) as servers:
        name(servers.addresses)
        with cluster_stub(f"file://{path}") as (stub, channel), Load(stub) as load:
            for turn in range(8):
                part = servers.addresses[turn:] + servers.addresses[: turn // 2]
                name(part)
                wait_until(lambda part=part: len(channel.servers()) == len(part))
                load.wait_for_calls(100)
    assert load.errors == []


def test_callers_notice_little_of_servers_that_misbehave() -> None:
    """One is slow, one a black hole, one fails at once, one stops and starts, and the others are
    restarted one after the other."""
    with cluster(SERVERS - 1) as servers, black_hole() as hole:
        slow, failing, flapping, *others = servers.members
        slow.sleep(0.02)
        failing.fail(int(ErrorCode.EINTERNAL))
        addresses = [*servers.addresses, hole]
        with (
            cluster_stub(addresses, load_balancer="p2c_ewma", timeout=0.5) as (stub, channel),
            Load(stub) as load,
        ):
            load.wait_for_calls(500)
            before = len(load.errors)
            restart_all([*others[:8], flapping, *others[8:], flapping], load)
            calls = load.calls
            states = {str(status.endpoint): status.state for status in channel.servers()}
        codes = codes_of(load)
    # Only the failing server and the black hole have failed calls, and soon hardly any.
    assert set(codes) <= {int(ErrorCode.EINTERNAL), int(ErrorCode.ERPCTIMEDOUT)}
    assert all(
        failing.address in str(error) or hole in str(error) or "EINTERNAL" in str(error)
        for error in load.errors
    )
    assert calls > 1000
    assert len(load.errors) - before <= 0.01 * calls
    assert {states[failing.address], states[hole]} <= {"ejected", "trial", "up", "down"}


def test_backup_requests_hide_a_black_hole() -> None:
    with cluster(3) as servers, black_hole() as hole:
        with (
            cluster_stub(
                [*servers.addresses, hole],
                backup_request_policy=BackupRequestPolicy(0.03, max_ratio=1),
                timeout=5,
            ) as (stub, _),
            Load(stub, threads=2) as load,
        ):
            load.wait_for_calls(100)
        assert load.errors == []
