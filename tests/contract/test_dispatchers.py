"""The contract of EventDispatcher, kept by each kind of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pybrpc.transport.dispatch import fd_events
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from tests.contract.dispatcher_contract import CONTRACT, CONTRACT_OF_ONE_READER
from tests.fakes.dispatchers import running_dispatcher


@pytest.fixture(params=["epoll", "selectors", "pipe", "asyncio", "uvloop"])
def dispatcher(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EventDispatcher]:
    """Also the epoll dispatcher as it is on systems without epoll, and without eventfd."""
    kind = request.param
    if kind == "selectors":
        monkeypatch.delattr(fd_events.select, "epoll")
    if kind == "pipe":
        monkeypatch.delattr(fd_events.os, "eventfd")
    with running_dispatcher("epoll" if kind in ("selectors", "pipe") else kind) as running:
        yield running


@pytest.mark.parametrize("rule", CONTRACT, ids=lambda rule: rule.__name__)
def test_dispatcher(dispatcher: EventDispatcher, rule: Callable[[EventDispatcher], None]) -> None:
    rule(dispatcher)


@pytest.mark.parametrize("rule", CONTRACT_OF_ONE_READER, ids=lambda rule: rule.__name__)
def test_dispatcher_of_one_connection(rule: Callable[[EventDispatcher], None]) -> None:
    with running_dispatcher("direct") as running:
        rule(running)
