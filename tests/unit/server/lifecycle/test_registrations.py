"""Registrations: which entries there are, over several starts, and when something goes wrong."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import AddressError, NamingError, ServerStateError
from pybrpc.naming.naming_url import NamingUrl
from pybrpc.naming.registration import registration as registration_module
from pybrpc.naming.server_node import ServerNode
from pybrpc.server.lifecycle.registrations import Registrations, ServerRegistration
from tests.fakes.threads import wait_until
from tests.peers.forking import exit_code_of, fork

WHERE = Endpoint("127.0.0.1", 8000)
URL = "etcd://127.0.0.1/svc"


class Service:
    """The naming service of all registrars: what they have done, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.is_answering = threading.Event()
        self.is_answering.set()
        self.error: BaseException | None = None
        self.when_made: list[Callable[[], object]] = []
        """The acts of other threads while an entry is made, each once."""

    def new_registrar(self, url: NamingUrl, node: ServerNode) -> Registrar:
        if url.rest == "bad":
            raise url.error("no such host")
        if self.when_made:
            self.when_made.pop()()
        return Registrar(self, node)

    def do(self, what: str, node: ServerNode) -> None:
        self.is_answering.wait(30)
        if self.error is not None:
            raise self.error
        self.events.append(f"{what} {node}")

    def wait_for(self, *events: str) -> None:
        wait_until(lambda: len(self.events) >= len(events))
        assert self.events == list(events)
        self.events.clear()


class Registrar:
    interval_s = 3600.0

    def __init__(self, service: Service, node: ServerNode) -> None:
        self._service = service
        self._node = node

    def register(self) -> None:
        self._service.do("+", self._node)

    def renew(self) -> bool:
        return True

    def deregister(self) -> None:
        self._service.do("-", self._node)

    def interrupt(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    made = Service()
    monkeypatch.setattr(registration_module, "_registrar_of", lambda url: made.new_registrar)
    return made


@pytest.fixture
def owned(service: Service) -> Iterator[Registrations]:
    made = Registrations()
    yield made
    service.is_answering.set()
    leave(made)


def leave(registrations: Registrations) -> None:
    """Remove all, and wait for that."""
    registrations.leave(lambda: None)
    wait_until(lambda: not registrations.late())


def registered(owned: Registrations) -> ServerRegistration:
    """An entry that the service has."""
    added = owned.add(URL, None, "")
    owned.open(WHERE)
    assert added.wait_registered(30)
    return added


def waiting_for(added: ServerRegistration) -> tuple[threading.Thread, list[bool]]:
    """A thread that waits for the entry, and what it gets."""
    waited: list[bool] = []
    waiting = threading.Thread(target=lambda: waited.append(added.wait_registered(3600)))
    waiting.start()
    return waiting, waited


def test_entries_are_made_when_the_server_serves_and_at_each_start(
    owned: Registrations, service: Service
) -> None:
    added = owned.add(URL, None, "3 zone=a")
    assert (added.node, added.state.is_registered, service.events) == (None, False, [])
    owned.open(WHERE)
    assert added.wait_registered(30)
    service.wait_for("+ 127.0.0.1:8000 3 zone=a")
    leave(owned)
    service.wait_for("- 127.0.0.1:8000 3 zone=a")
    assert not added.state.is_registered
    owned.open(Endpoint("127.0.0.1", 8001))
    assert added.wait_registered(30)
    assert str(added.node) == "127.0.0.1:8001 3 zone=a"
    service.wait_for("+ 127.0.0.1:8001 3 zone=a")


def test_entry_is_made_at_once_while_the_server_serves(
    owned: Registrations, service: Service
) -> None:
    owned.open(WHERE)
    assert owned.add(URL, None, "").wait_registered(30)
    leave(owned)
    late = owned.add("etcd://127.0.0.1/other", None, "")
    assert late.node is None, "not while it stops"
    service.wait_for("+ 127.0.0.1:8000", "- 127.0.0.1:8000")


@pytest.mark.parametrize(
    ("node", "tag", "shown"),
    [
        ("10.0.0.1:80", "", "10.0.0.1:80"),
        ("10.0.0.1:80 3 zone=a # the first", "", "10.0.0.1:80 3 zone=a"),
        ("10.0.0.1:80", "3", "10.0.0.1:80 3"),
        ("10.0.0.1:0", "3", "10.0.0.1:8000 3"),
        ("[fd00::1]:0", "", "[fd00::1]:8000"),
        (Endpoint("h", 0), "", "h:8000"),
        (ServerNode(Endpoint("h", 7), "t"), "", "h:7 t"),
        (None, "", "127.0.0.1:8000"),
    ],
)
def test_address_is_the_given_one_with_the_port_of_the_server(
    owned: Registrations, service: Service, node: Any, tag: str, shown: str
) -> None:
    added = owned.add(URL, node, tag)
    owned.check_where(Endpoint("127.0.0.1", 0))
    owned.open(WHERE)
    assert added.wait_registered(30)
    service.wait_for(f"+ {shown}")


@pytest.mark.parametrize("where", ["0.0.0.0:0", "[::]:80", "unix:/tmp/x", "0.0.0.0:8000"])
def test_server_on_all_addresses_or_a_unix_socket_needs_an_address(
    owned: Registrations, service: Service, where: str
) -> None:
    listened = Endpoint.parse(where, allow_port_0=True)
    first = owned.add(URL, "10.0.0.1:80", "")
    owned.check_where(listened)
    owned.add(URL, None, "")
    with pytest.raises(AddressError, match=r"register\('etcd://127|clients of other hosts"):
        owned.check_where(listened)
    with pytest.raises(AddressError):
        owned.open(listened)
    wait_until(lambda: not owned.late())
    assert not first.state.is_registered, "no entry is left"


def test_port_of_a_unix_socket_can_not_be_taken(owned: Registrations) -> None:
    owned.add(URL, "10.0.0.1:0", "")
    with pytest.raises(AddressError, match="clients of other hosts"):
        owned.check_where(Endpoint.parse("unix:/tmp/x"))


@pytest.mark.parametrize(
    ("url", "node", "tag", "error"),
    [
        ("etcd://bad", None, "", AddressError),
        ("no url", None, "", AddressError),
        (URL, "0.0.0.0:80", "", AddressError),
        (URL, "unix:/tmp/x", "", AddressError),
        (URL, "10.0.0.1", "", AddressError),
        (URL, 5, "", AddressError),
        (URL, "10.0.0.1:80 3", "4", ValueError),
        (URL, None, 4, TypeError),
    ],
)
def test_nonsense_is_refused_when_it_is_given(
    owned: Registrations, url: Any, node: Any, tag: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        owned.add(url, node, tag)
    assert len(owned) == 0


def test_same_entry_twice_is_refused(owned: Registrations) -> None:
    owned.add(URL, None, "")
    owned.add(URL, "10.0.0.1:80", "")
    with pytest.raises(ServerStateError, match="already"):
        owned.add(URL, None, "3")
    assert len(owned) == 2


def test_wildcard_is_refused_at_once_while_the_server_serves(owned: Registrations) -> None:
    owned.open(Endpoint("0.0.0.0", 80))
    with pytest.raises(AddressError, match="all addresses of this host"):
        owned.add(URL, None, "")
    assert len(owned) == 0


def test_error_of_a_wildcard_shows_no_port_that_nobody_chose(owned: Registrations) -> None:
    owned.add(URL, None, "")
    with pytest.raises(AddressError, match=r"^0\.0\.0\.0 means .* \"10\.0\.0\.1:0\""):
        owned.check_where(Endpoint("0.0.0.0", 0))


def test_deregistering_is_for_good(owned: Registrations, service: Service) -> None:
    added, other = owned.add(URL, None, ""), owned.add(URL, "10.0.0.1:80", "")
    owned.open(WHERE)
    assert added.wait_registered(30)
    assert other.wait_registered(30)
    assert added.deregister(30)
    assert added.deregister(0), "idempotent"
    assert not added.wait_registered(30)
    assert service.events[-1] == "- 127.0.0.1:8000"
    leave(owned)
    service.events.clear()
    owned.open(WHERE)
    assert other.wait_registered(30)
    service.wait_for("+ 10.0.0.1:80")


def test_deregistering_before_the_start(owned: Registrations, service: Service) -> None:
    added = owned.add(URL, None, "")
    waiting, waited = waiting_for(added)
    assert added.deregister()
    waiting.join(30)
    assert waited == [False], "nobody waits any more"
    owned.open(WHERE)
    assert (service.events, len(owned)) == ([], 0)


def test_who_waits_for_the_entry_is_woken_when_the_server_leaves(
    owned: Registrations, service: Service
) -> None:
    service.is_answering.clear()
    added = owned.add(URL, None, "")
    waiting, waited = waiting_for(added)
    owned.open(WHERE)
    owned.leave(lambda: None)
    waiting.join(30)
    assert waited == [False]
    assert not added.wait_registered(0)


def test_who_waits_before_the_start_is_woken_by_a_later_start(
    owned: Registrations, service: Service
) -> None:
    added = owned.add(URL, None, "")
    waiting, waited = waiting_for(added)
    leave(owned)  # a start that has failed
    owned.open(WHERE)
    waiting.join(30)
    assert waited == [True]


def test_next_start_registers_after_the_last_one_has_left(
    owned: Registrations, service: Service
) -> None:
    """Else the late removal of the old entry could remove the new one."""
    added = registered(owned)
    service.is_answering.clear()
    left: list[str] = []
    owned.leave(lambda: left.append("left"))
    owned.open(Endpoint("127.0.0.1", 8001))
    service.is_answering.set()
    assert added.wait_registered(30)
    service.wait_for("+ 127.0.0.1:8000", "- 127.0.0.1:8000", "+ 127.0.0.1:8001")
    assert left == ["left"]


def test_start_that_waits_for_the_last_stop_may_be_stopped_too(
    owned: Registrations, service: Service
) -> None:
    registered(owned)
    service.is_answering.clear()
    owned.leave(lambda: None)
    owned.open(Endpoint("127.0.0.1", 8001))
    owned.leave(lambda: None)
    service.is_answering.set()
    wait_until(lambda: "- 127.0.0.1:8000" in service.events)
    wait_until(lambda: not _registering_threads())
    assert service.events == ["+ 127.0.0.1:8000", "- 127.0.0.1:8000"]


def _registering_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if "pybrpc-register" in each.name]


def test_no_thread_leaves_no_entry(
    owned: Registrations, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    added, second = owned.add(URL, None, ""), owned.add(URL, "10.0.0.1:80", "")
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def start_one(thread: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start_one)
        with pytest.raises(RuntimeError):
            owned.open(WHERE)
    wait_until(lambda: not owned.late())
    assert not added.state.is_registered
    assert not second.state.is_registered
    wait_until(lambda: not _registering_threads())
    with monkeypatch.context() as patch:
        owned.open(WHERE)
        patch.setattr(threading.Thread, "start", start_one)
        with pytest.raises(RuntimeError):
            owned.add("etcd://h/other", None, "")
    assert len(owned) == 2


def test_server_that_leaves_while_it_registers_has_no_entry(
    owned: Registrations, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop may come anywhere: it sees the entry, or the entry sees the stop."""
    added = owned.add(URL, None, "")
    start = threading.Thread.start

    def leave_and_start(thread: threading.Thread) -> None:
        owned._where = None  # a stop that has not looked for entries yet
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", leave_and_start)
        owned.open(WHERE)
    wait_until(lambda: not owned.late())
    assert not added.state.is_registered


def test_entry_that_is_deregistered_while_it_is_made_is_not_made(
    owned: Registrations, service: Service
) -> None:
    added = owned.add(URL, None, "")
    service.when_made.append(lambda: added.deregister(0))
    owned.open(WHERE)
    assert not owned.late()
    assert (added.node, service.events, _registering_threads()) == (None, [], [])


def test_entry_that_two_threads_make_at_once_is_made_once(
    owned: Registrations, service: Service
) -> None:
    """One that starts the server, and one that registers it."""
    added = owned.add(URL, None, "")
    service.when_made.append(lambda: owned._begin(added, WHERE))
    owned.open(WHERE)
    assert added.wait_registered(30)
    leave(owned)
    wait_until(lambda: not _registering_threads())
    assert service.events == ["+ 127.0.0.1:8000", "- 127.0.0.1:8000"]


def test_forbidden_registrations(owned: Registrations) -> None:
    owned.forbid("not here")
    with pytest.raises(ServerStateError, match="not here"):
        owned.add(URL, None, "")
    other = Registrations()
    other.add(URL, None, "")
    with pytest.raises(ServerStateError, match="not there"):
        other.forbid("not there")


def test_views_and_reprs_show_state_and_error_without_secrets(
    owned: Registrations, service: Service
) -> None:
    added = owned.add("etcd://me:hunter2@h/svc?token=abc", "10.0.0.1:80 3", "")
    assert owned.description() == ", not registered at etcd://...@h/svc?token=..."
    service.error = NamingError("status 503")
    owned.open(WHERE)
    wait_until(lambda: added.state.failures > 0)
    (view,) = owned.views()
    assert (view.url, view.node) == ("etcd://...@h/svc?token=...", "10.0.0.1:80 3")
    assert (view.is_registered, view.error) == (False, "status 503")
    assert repr(added) == (
        "<ServerRegistration not registered as 10.0.0.1:80 3 at etcd://...@h/svc?token=... "
        "(status 503)>"
    )
    service.error = None
    assert added.wait_registered(30)
    assert str(owned.views()[0]) == "registered as 10.0.0.1:80 3 at etcd://...@h/svc?token=..."


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_entries_in_a_forked_child_are_those_of_the_parent(
    owned: Registrations, service: Service
) -> None:
    added = registered(owned)
    held = threading.Event()
    release = threading.Event()

    def hold() -> None:
        with owned._lock:
            held.set()
            release.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)

    def child() -> None:
        assert added.node is None
        assert not owned.late()
        leave(owned)
        assert service.events == ["+ 127.0.0.1:8000"]
        owned.open(Endpoint("127.0.0.1", 9000))
        assert added.wait_registered(30)
        leave(owned)
        assert service.events[1:] == ["+ 127.0.0.1:9000", "- 127.0.0.1:9000"]

    pid = fork(child)
    release.set()
    thread.join()
    assert exit_code_of(pid) == 0
    assert added.state.is_registered
    assert service.events == ["+ 127.0.0.1:8000"]
