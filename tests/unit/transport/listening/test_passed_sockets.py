"""Sockets that another program has passed: which ones an address means, and what is refused."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybrpc.errors import AddressError, ListenError
from pybrpc.transport.listening import passed_sockets as module
from pybrpc.transport.listening.passed_sockets import (
    VARIABLES,
    PassedSocket,
    are_sockets_passed,
    is_passed,
    passed_sockets,
)


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """Three that listen, with descriptors in a row, of which the first one stands for 3."""
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    first = 200
    for place, sock in enumerate(made):
        os.dup2(sock.fileno(), first + place)
    monkeypatch.setattr(module, "FIRST_FD", first)
    monkeypatch.setattr(module, "_taken", ())
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield made
    for place, sock in enumerate(made):
        os.close(first + place)
        sock.close()


def say(monkeypatch: pytest.MonkeyPatch, count: str, names: str | None, pid: str = "") -> None:
    monkeypatch.setenv("LISTEN_PID", pid or str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", count)
    if names is not None:
        monkeypatch.setenv("LISTEN_FDNAMES", names)


def test_sockets_are_found_by_name_and_number_again_and_again(
    sockets: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    say(monkeypatch, "3", "web:admin:web")
    assert are_sockets_passed()
    assert [each.fd for each in passed_sockets("fd://web")] == [200, 202]
    assert [each.fd for each in passed_sockets("fd://admin")] == [201]
    assert [each.fd for each in passed_sockets("fd://")] == [200, 201, 202]
    assert passed_sockets(" fd://201 ") == (PassedSocket(201),)


def test_number_is_found_with_its_name(
    sockets: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    say(monkeypatch, "2", "web:admin")
    assert passed_sockets("fd://201") == (PassedSocket(201, "admin"),)


def test_children_inherit_neither_variables_nor_descriptors(
    sockets: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    say(monkeypatch, "2", None)
    os.set_inheritable(200, True)
    for each in passed_sockets("fd://"):
        assert not os.get_inheritable(each.fd)
        with each.open() as sock:
            assert not sock.get_inheritable()
    assert not set(VARIABLES) & set(os.environ)
    assert not are_sockets_passed()


def test_number_needs_no_variables(sockets: list[socket.socket]) -> None:
    os.set_inheritable(201, True)
    (found,) = passed_sockets("fd://201")
    assert not os.get_inheritable(201)
    with found.open() as sock:
        assert sock.getsockname() == sockets[1].getsockname()


def test_descriptor_stays_open_after_a_copy_was_closed(sockets: list[socket.socket]) -> None:
    (found,) = passed_sockets("fd://200")
    found.open().close()
    found.open().close()


@pytest.mark.parametrize(
    ("count", "names", "pid", "said"),
    [
        ("1", None, "1", r"are for process 1 \(LISTEN_PID\), and this one is \d+.*exec"),
        ("many", None, "", "LISTEN_FDS is 'many', and no number"),
        ("0", None, "", "LISTEN_FDS is '0'"),
        ("-1", None, "", "LISTEN_FDS is '-1'"),
        ("2", "web", "", "LISTEN_FDNAMES has 1 names for 2 sockets"),
        ("1", "other", "", "have other names: other"),
        ("4", None, "", "Fail to listen on fd://203: this process has no such descriptor"),
        ("99999", None, "", "fd://203: this process has no such descriptor"),
    ],
)
def test_wrong_environment_is_told(
    sockets: list[socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    count: str,
    names: str | None,
    pid: str,
    said: str,
) -> None:
    say(monkeypatch, count, names, pid)
    with pytest.raises(ListenError, match=said):
        passed_sockets("fd://web")


def test_missing_environment_is_told(sockets: list[socket.socket]) -> None:
    with pytest.raises(ListenError, match="LISTEN_PID and LISTEN_FDS are not set") as caught:
        passed_sockets("fd://")
    assert caught.value.errno == errno.ENOENT


@pytest.mark.parametrize("address", ["fd://3:80", "fd:///run/x", "fd://[::1]:3"])
def test_address_that_is_no_descriptor(address: str) -> None:
    with pytest.raises(AddressError, match="is no descriptor"):
        passed_sockets(address)


def test_only_texts_with_the_scheme_mean_passed_sockets() -> None:
    assert all(map(is_passed, ["fd://", " fd://3"]))
    assert not any(map(is_passed, ["fd", "127.0.0.1:3", "unix:fd://", 3, None]))


def test_descriptor_that_is_no_socket(tmp_path: Path) -> None:
    with open(tmp_path / "file", "w") as file:
        with pytest.raises(ListenError, match="is no socket") as caught:
            PassedSocket(file.fileno(), "web").open()
    assert caught.value.errno == errno.ENOTSOCK
    assert "(web)" in str(caught.value)


def test_descriptor_that_is_closed() -> None:
    with pytest.raises(ListenError, match="no such descriptor"):
        passed_sockets("fd://999")
    with pytest.raises(ListenError, match="no such descriptor"):
        PassedSocket(999).open()


def test_socket_that_can_not_be_listened_on() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        with pytest.raises(ListenError, match="ListenStream="):
            PassedSocket(udp.fileno()).open()
    for connection in socket.socketpair():
        with connection, pytest.raises(ListenError, match=r"is a connection.*Accept=no"):
            PassedSocket(connection.fileno()).open()
    for family in (socket.AF_INET, socket.AF_UNIX):
        with socket.socket(family) as unbound, pytest.raises(ListenError, match="not bound"):
            PassedSocket(unbound.fileno()).open()
