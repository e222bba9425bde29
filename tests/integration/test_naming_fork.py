"""Naming services in forked children, and at the end of a process."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from pybrpc.naming import register, watching
from tests.fakes.naming import fake_scheme
from tests.peers.consul_stand_in import ConsulStandIn, item
from tests.peers.forking import exit_code_of, fork
from tests.peers.http_stand_in import eventually
from tests.peers.naming_watchers import watching as watched_by

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def test_child_goes_on_with_the_list_and_asks_by_itself() -> None:
    with ConsulStandIn(item("10.0.0.1:80")) as consul:
        with watched_by(f"consul://{consul.address}/echo?wait=20&retry=0.01") as watcher:
            watcher.wait_list("10.0.0.1:80")
            consul.wait_for(lambda: len(consul.requests) == 2)

            def child() -> None:
                assert watcher.last == ["10.0.0.1:80"]
                watcher.wait_list("10.0.0.2:80")

            pid = fork(child)
            consul.wait_for(lambda: len(consul.requests) == 4)
            consul.set(item("10.0.0.2:80"))
            watcher.wait_list("10.0.0.2:80")
            assert exit_code_of(pid) == 0
            consul.set(item("10.0.0.3:80"))
            watcher.wait_list("10.0.0.3:80")
            assert watcher.errors == []


def test_fork_while_locks_are_held() -> None:
    """By threads that the child has not: those of the registry and of a watch that delivers."""
    with fake_scheme() as scheme:
        scheme.first_answers = [["a:1"]]
        with watched_by(scheme.url) as watcher:
            watcher.wait_list("a:1")
            (shared,) = [
                each for url, each in watching._registry.shared.items() if url.scheme == scheme.name
            ]
            (delivered,) = shared.watches

            def child() -> None:
                watcher.wait(lambda: len(watcher.lists) == 2)
                scheme.service.give(["b:1"])
                watcher.wait_list("b:1")
                with watched_by(scheme.url) as another:
                    assert another.last == ["b:1"]

            with watching._registry.lock, delivered._delivering:  # type: ignore[attr-defined]
                pid = fork(child)
            assert exit_code_of(pid) == 0
            assert len(scheme.made) == 1


def test_child_of_a_process_whose_watch_was_closed_has_no_thread() -> None:
    with fake_scheme() as scheme:
        with watched_by(scheme.url):
            pass

        def child() -> None:
            assert not any(
                thread.name.endswith(scheme.name) for thread in __import__("threading").enumerate()
            )

        assert exit_code_of(fork(child)) == 0


def test_child_neither_renews_nor_removes_the_registration_of_its_parent() -> None:
    with ConsulStandIn() as consul:
        registration = register(f"consul://{consul.address}/echo?ttl=1", "10.0.0.1:80")
        assert registration.wait_registered(20)

        def child() -> None:
            assert not registration._background.is_running
            assert registration.deregister()

        assert exit_code_of(fork(child)) == 0
        assert list(consul.registered) == ["echo-10.0.0.1:80"]
        passed = dict(consul.passed)
        eventually(lambda: consul.passed != passed)
        assert registration.deregister()


AT_EXIT = """
import sys
from pybrpc.naming import register, watch

class Watcher:
    def on_servers(self, servers): pass
    def on_naming_error(self, error): pass

watch(f"consul://{sys.argv[1]}/echo?wait=600", Watcher())
watch("file:///does/not/exist", Watcher())
assert register(f"consul://{sys.argv[1]}/echo", "10.0.0.1:80").wait_registered(20)
"""


def test_end_of_the_process_deregisters_and_does_not_wait_for_long_polls() -> None:
    with ConsulStandIn(item("10.0.0.1:80")) as consul:
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", AT_EXIT, consul.address],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            env={**os.environ, "PYTHONPATH": "src"},
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert time.monotonic() - began < 30
        assert consul.registered == {}
        assert consul.count("/v1/agent/service/deregister/echo-10.0.0.1%3A80") == 1
