"""Watches: who gets which list when, what is shared, and what happens to code that raises."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.errors import AddressError, NamingError
from pybrpc.naming import NamingService, NamingUrl, ServerNode, Watch, watch, watched, watching
from pybrpc.naming.shared_naming import SharedNaming
from tests.fakes.naming import FakeNaming, FakeScheme, fake_scheme
from tests.peers.http_stand_in import eventually
from tests.peers.naming_watchers import RecordingWatcher
from tests.peers.naming_watchers import watching as watched_by


@pytest.fixture
def scheme() -> Iterator[FakeScheme]:
    with fake_scheme() as made:
        yield made


def threads_of(scheme: FakeScheme) -> int:
    return sum(thread.name == f"pybrpc-naming-{scheme.name}" for thread in threading.enumerate())


def test_watch_returns_at_once_and_lists_come_later(scheme: FakeScheme) -> None:
    with watched_by(scheme.url) as watcher:
        assert watcher.lists == []
        scheme.service.give(["a:1", "b:1 3"])
        watcher.wait_list("a:1", "b:1 3")
        scheme.service.give(["b:1 3", "b:1 3"])
        watcher.wait_list("b:1 3")
        assert watcher.threads == {f"pybrpc-naming-{scheme.name}"}
        assert watcher.errors == []


def test_unchanged_list_is_not_given_again(scheme: FakeScheme) -> None:
    with watched_by(scheme.url) as watcher:
        for answer in (["a:1", "b:1"], ["b:1", "a:1"], None, ["a:1", "b:1", "a:1"], ["c:1"]):
            scheme.service.give(answer)
        watcher.wait_list("c:1")
        assert watcher.lists == [["a:1", "b:1"], ["c:1"]]


def test_watches_of_a_url_share_its_service_and_thread(scheme: FakeScheme) -> None:
    with watched_by(scheme.url) as first:
        scheme.service.give(["a:1"])
        first.wait_list("a:1")
        with watched_by(scheme.url) as second:
            assert second.last == ["a:1"], "the last list was given by `watch` itself"
            assert second.threads == {threading.current_thread().name}
            scheme.service.give(["b:1"])
            first.wait_list("b:1")
            second.wait_list("b:1")
            assert threads_of(scheme) == 1
            with watched_by(f"{scheme.name}://other"):
                assert threads_of(scheme) == 2
        scheme.made[0].give(["c:1"])
        first.wait_list("c:1")
        assert second.last == ["b:1"], "it was closed"
    assert len(scheme.made) == 2


def test_thread_ends_with_the_last_watch(scheme: FakeScheme) -> None:
    with watched_by(scheme.url):
        assert scheme.url in watched()
        assert scheme.service.closes == 0
    eventually(lambda: threads_of(scheme) == 0)
    assert (scheme.service.interrupts, scheme.service.closes) == (1, 1)
    assert scheme.url not in watched()
    with watched_by(scheme.url) as watcher:
        scheme.service.give(["b:1"])
        watcher.wait_list("b:1")
    assert len(scheme.made) == 2


def test_url_that_is_watched_again_before_its_thread_has_ended_goes_on(scheme: FakeScheme) -> None:
    """An interrupted fetch is no failure for the watch that came meanwhile."""

    class Slow(FakeNaming):
        def interrupt(self) -> None:
            self.interrupts += 1

    with fake_scheme(Slow) as slow:
        first = RecordingWatcher()
        started = watch(slow.url, first)
        eventually(lambda: slow.service.fetches == 1)
        started.close()
        with watched_by(slow.url) as second:
            slow.service.give(["a:1"])
            second.wait_list("a:1")
            assert len(slow.made) == 1
            assert first.lists == []
            slow.service.give(None)
        slow.service.give(None)


def test_close_never_waits_for_a_fetch_that_hangs() -> None:
    class Deaf(FakeNaming):
        def interrupt(self) -> None:
            self.interrupts += 1

    with fake_scheme(Deaf) as scheme:
        started = watch(scheme.url, RecordingWatcher())
        eventually(lambda: scheme.service.fetches == 1)
        started.close()
        started.close()
        assert scheme.service.closes == 0, "its fetch still runs"
        assert scheme.service.interrupts == 1
        scheme.service.give(None)
        eventually(lambda: scheme.service.closes == 1)


def test_failures_keep_the_list_and_are_reported_with_their_cause(scheme: FakeScheme) -> None:
    with watched_by(scheme.url) as watcher:
        scheme.service.give(["a:1"])
        watcher.wait_list("a:1")
        for kind in (OSError("no route"), SystemExit, KeyboardInterrupt, NamingError("broken")):
            scheme.service.give(kind)
        watcher.wait(lambda: len(watcher.errors) == 4)
        assert [type(error.__cause__) for error in watcher.errors] == [
            OSError,
            SystemExit,
            KeyboardInterrupt,
            type(None),
        ]
        assert "no route" in str(watcher.errors[0])
        assert watcher.lists == [["a:1"]]
        state = watched()[scheme.url]
        assert state.is_failing
        assert state.error is watcher.errors[3]
        assert state.failures == 4
        assert state.error_s == pytest.approx(time.time(), abs=60)
        scheme.service.give(["b:1"])
        watcher.wait_list("b:1")
        assert not watched()[scheme.url].is_failing


@pytest.mark.parametrize("answer", [5, "a:1", ["bad"], [None], [ServerNode]])
def test_wrong_answers_are_errors(scheme: FakeScheme, answer: Any) -> None:
    with watched_by(scheme.url) as watcher:
        scheme.service.give(["a:1"])
        scheme.service.give(answer)
        watcher.wait_error()
        assert watcher.lists == [["a:1"]]


def test_new_watcher_gets_the_error_of_a_service_that_fails(scheme: FakeScheme) -> None:
    with watched_by(scheme.url) as first:
        scheme.service.give(OSError("down"))
        first.wait_error("down")
        with watched_by(scheme.url) as second:
            assert len(second.errors) == 1
        scheme.service.give(["a:1"])
        first.wait_list("a:1")
        with watched_by(scheme.url) as third:
            assert (third.last, third.errors) == (["a:1"], [])


def test_empty_list_is_asked_for_again_as_a_whole_until_it_counts(scheme: FakeScheme) -> None:
    with watched_by(scheme.url) as watcher:
        for answer in (["a:1"], [], []):
            scheme.service.give(answer)
        watcher.wait(lambda: len(watcher.errors) == 2)
        assert watcher.lists == [["a:1"]]
        eventually(lambda: scheme.service.forgets == 2)
        scheme.service.give([])
        watcher.wait_list()
        assert watcher.lists == [["a:1"], []]


class Raising(RecordingWatcher):
    def on_servers(self, servers: tuple[ServerNode, ...]) -> None:
        super().on_servers(servers)
        raise KeyboardInterrupt

    def on_naming_error(self, error: NamingError) -> None:
        super().on_naming_error(error)
        raise SystemExit


def test_watcher_that_raises_harms_no_other(
    scheme: FakeScheme, caplog: pytest.LogCaptureFixture
) -> None:
    raising = Raising()
    started = watch(scheme.url, raising)
    with watched_by(scheme.url) as other:
        scheme.service.give(["a:1"])
        scheme.service.give(OSError("down"))
        other.wait_error("down")
        scheme.service.give(["b:1"])
        other.wait_list("b:1")
        raising.wait_list("b:1")
        assert len(raising.errors) == 1
    started.close()
    assert "on_servers of Raising raised" in caplog.text
    assert "on_naming_error of Raising raised" in caplog.text


def test_watcher_that_blocks_gets_the_latest_list_afterwards(scheme: FakeScheme) -> None:
    """A watch is notified by one thread at a time; the one that could not leaves it the rest."""
    blocked, may_go = threading.Event(), threading.Event()

    class Blocking(RecordingWatcher):
        def on_servers(self, servers: tuple[ServerNode, ...]) -> None:
            super().on_servers(servers)
            blocked.set()
            assert may_go.wait(20)

    with watched_by(scheme.url) as other:
        scheme.service.give(["a:1"])
        other.wait_list("a:1")
        blocking = Blocking()
        thread = threading.Thread(target=lambda: started.append(watch(scheme.url, blocking)))
        started: list[Any] = []
        thread.start()
        assert blocked.wait(20)
        for name in ("b:1", "c:1"):
            scheme.service.give([name])
            other.wait_list(name)
        assert blocking.lists == [["a:1"]]
        may_go.set()
        blocking.wait_list("c:1")
        thread.join()
        assert blocking.lists == [["a:1"], ["c:1"]]
        started[0].close()


def test_watcher_may_close_its_watch_in_a_call(scheme: FakeScheme) -> None:
    class Closing(RecordingWatcher):
        def on_servers(self, servers: tuple[ServerNode, ...]) -> None:
            super().on_servers(servers)
            started.close()

    closing = Closing()
    started = watch(scheme.url, closing)
    scheme.service.give(["a:1"])
    closing.wait_list("a:1")
    eventually(lambda: threads_of(scheme) == 0)


def test_closed_watch_keeps_neither_watcher_nor_service_alive(scheme: FakeScheme) -> None:
    watcher = RecordingWatcher()
    started = watch(scheme.url, watcher)
    started.close()
    eventually(lambda: threads_of(scheme) == 0)
    gone = weakref.ref(watcher)
    del started, watcher
    gc.collect()
    assert gone() is None


def test_watch_is_closed_in_a_destructor_while_its_thread_delivers(scheme: FakeScheme) -> None:
    """As a channel that is not closed does: the collector may run in any thread at any time."""

    class Owner:
        def __init__(self) -> None:
            self.watch = watch(scheme.url, other)
            self.me = self

        def __del__(self) -> None:
            self.watch.close()

    class Collecting(RecordingWatcher):
        def on_servers(self, servers: tuple[ServerNode, ...]) -> None:
            super().on_servers(servers)
            gc.collect()

    other = RecordingWatcher()
    collecting = Collecting()
    started = watch(scheme.url, collecting)
    Owner()
    scheme.service.give(["a:1"])
    collecting.wait_list("a:1")
    scheme.service.give(["b:1"])
    collecting.wait_list("b:1")
    assert other.last != ["b:1"]
    started.close()


def test_server_filter_is_applied_to_each_list(scheme: FakeScheme) -> None:
    with watched_by(scheme.url, server_filter=lambda node: node.tag == "enable") as watcher:
        scheme.service.give([f"10.0.0.{i}:80 {'enable' if i % 2 else 'off'}" for i in range(20)])
        watcher.wait(lambda: watcher.nodes)
        assert len(watcher.nodes or ()) == 10
        assert all(node.tag == "enable" for node in watcher.nodes or ())
        scheme.service.give(["a:1 off", "b:1 enable"])
        watcher.wait_list("b:1 enable")
        with watched_by(scheme.url) as unfiltered:
            assert unfiltered.last == ["a:1 off", "b:1 enable"]


def test_server_for_which_the_filter_raises_is_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def server_filter(node: ServerNode) -> bool:
        if node.endpoint.host == "b":
            raise SystemExit
        return True

    with watched_by("list://a:1,b:1,c:1", server_filter=server_filter) as watcher:
        assert watcher.last == ["a:1", "c:1"]
    assert "the server filter raised for b:1" in caplog.text


def test_list_of_addresses_is_given_at_once_without_a_thread() -> None:
    before = threading.active_count()
    where = ["10.0.0.1:80 3", ServerNode.parse("b:1"), "10.0.0.1:80 3", "unix:/tmp/x"]
    with watched_by(where) as watcher:
        assert watcher.lists == [["10.0.0.1:80 3", "b:1", "unix:/tmp/x"]]
    with watched_by([]) as watcher:
        assert watcher.lists == [[]]
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (["a"], "has no host and port"),
        ([5], "a server is a ServerNode or a string"),
        (5, "a URL or a list"),
        (b"a:1", "a URL or a list"),
        ("a:1", "is no URL of a naming service"),
        ("unknown://x", "there are consul, discovery, dlist, dns, etcd, file, http"),
    ],
)
def test_wrong_places_are_refused_where_they_are_given(where: Any, text: str) -> None:
    with pytest.raises(AddressError, match=text):
        watch(where, RecordingWatcher())


def test_no_thread_to_be_had_is_an_error_of_the_service_and_is_tried_again(
    scheme: FakeScheme, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        first = RecordingWatcher()
        started = watch(scheme.url, first)
        assert "no thread" in str(first.errors[0])
    with watched_by(scheme.url) as second:
        scheme.service.give(["a:1"])
        first.wait_list("a:1")
        second.wait_list("a:1")
    started.close()


@pytest.mark.parametrize("place", ["ensure_thread", "deliver"])
def test_signal_handler_that_raises_in_watch_leaves_nothing(
    scheme: FakeScheme, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def interrupt(self: object) -> None:
        raise KeyboardInterrupt

    owner = SharedNaming if place == "ensure_thread" else Watch
    with monkeypatch.context() as patch:
        patch.setattr(owner, place, interrupt)
        with pytest.raises(KeyboardInterrupt):
            watch(scheme.url, RecordingWatcher())
    eventually(lambda: threads_of(scheme) == 0)
    assert scheme.url not in watched()
    with watched_by(scheme.url) as watcher:
        scheme.service.give(["a:1"])
        watcher.wait_list("a:1")


def test_forked_child_starts_what_is_watched_even_if_one_raises(
    scheme: FakeScheme, caplog: pytest.LogCaptureFixture
) -> None:
    class Shared:
        def __init__(self, name: str, is_watched: bool, raises: bool) -> None:
            self.url = NamingUrl("fake", name)
            self.watches = {name: True} if is_watched else {}
            self.raises, self.renewed = raises, False

        def renew_in_child(self) -> None:
            if self.raises:
                raise KeyError(self.url)
            self.renewed = True

    first, second, third = (
        Shared("a", True, True),
        Shared("b", False, False),
        Shared("c", True, False),
    )
    registry = watching._Registry()
    registry.shared = {each.url: each for each in (first, second, third)}  # type: ignore[misc]
    lock = registry.lock
    registry.renew_in_child()
    assert registry.lock is not lock
    assert list(registry.shared.values()) == [first, third]
    assert third.renewed
    assert "starting fake://a in a forked child raised" in caplog.text
    with watched_by(scheme.url) as watcher:
        scheme.service.give(["a:1"])
        watcher.wait_list("a:1")
        (delivery,) = watching._registry.shared[NamingUrl.parse(scheme.url)].watches
        delivery.renew_in_child()
        delivery.deliver()
        assert watcher.lists == [["a:1"], ["a:1"]]


def test_many_threads_that_watch_and_close_leave_nothing(scheme: FakeScheme) -> None:
    scheme.first_answers = [["a:1"]]

    def run() -> None:
        for _ in range(50):
            watcher = RecordingWatcher()
            started = watch(scheme.url, watcher)
            watcher.wait_list("a:1")
            started.close()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: threads_of(scheme) == 0)
    assert NamingUrl.parse(scheme.url) not in watching._registry.shared
    assert all(service.closes == 1 for service in scheme.made)


def test_reprs_say_what_they_are(scheme: FakeScheme) -> None:
    started = watch(scheme.url, RecordingWatcher())
    assert repr(started) == f"<Watch of {scheme.url}>"
    started.close()
    assert repr(started) == f"<Watch of {scheme.url}, closed>"
    assert repr(watch(["a:1"], RecordingWatcher())) == "<Watch of a fixed list>"


def test_service_without_fetch_is_an_error() -> None:
    class Nothing(NamingService):
        policy = FakeNaming.policy

    with fake_scheme(lambda url: Nothing()) as scheme:  # type: ignore[arg-type]
        with watched_by(scheme.url) as watcher:
            watcher.wait_error("NotImplementedError")


class MuteError(BaseException):
    """Has no text."""

    def __str__(self) -> str:
        raise SystemExit(1)

    __repr__ = __str__


def test_service_that_raises_what_has_no_text_has_failed(scheme: FakeScheme) -> None:
    with watched_by(scheme.url) as watcher:
        scheme.service.give(MuteError())
        eventually(lambda: bool(watcher.errors))
        assert "MuteError" in str(watcher.errors[0])
        scheme.service.give(["a:1"])
        watcher.wait_list("a:1")
