"""run_completion: user code runs in a turn, or here once the dispatcher is closed."""

from __future__ import annotations

import asyncio

import pytest

from pybrpc.transport.dispatch import completion, epoll_dispatcher
from pybrpc.transport.dispatch.asyncio_dispatcher import AsyncioDispatcher
from pybrpc.transport.dispatch.completion import (
    release_polling,
    require_polling,
    run_completion,
)
from pybrpc.transport.dispatch.epoll_dispatcher import EpollDispatcher
from pybrpc.transport.dispatch.event_dispatcher import EventDispatcher
from pybrpc.transport.dispatch.step_queue import FunctionWork, Work
from tests.fakes.threads import WAIT_S


def test_completion_runs_in_a_turn_of_any_dispatcher() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()
        dispatcher = AsyncioDispatcher(loop)
        require_polling(dispatcher)
        run_completion(dispatcher, FunctionWork(done.set_result, 1, "set_result"))
        assert not done.done()
        assert await asyncio.wait_for(done, WAIT_S) == 1
        release_polling(dispatcher)

    asyncio.run(main())


def test_polling_is_required_until_it_is_released() -> None:
    dispatcher = EpollDispatcher()
    for _ in range(2):
        require_polling(dispatcher)
    release_polling(dispatcher)
    assert dispatcher._role.has_background_work()
    release_polling(dispatcher)
    assert not dispatcher._role.has_background_work()
    dispatcher.close()


def test_completion_of_a_closed_dispatcher_runs_at_once() -> None:
    dispatcher: EventDispatcher = EpollDispatcher()
    dispatcher.close()  # type: ignore[attr-defined]
    done: list[int] = []
    run_completion(dispatcher, FunctionWork(done.append, 1, "append"))
    assert done == [1]


def test_completions_that_run_inside_each_other_end(caplog: pytest.LogCaptureFixture) -> None:
    dispatcher = EpollDispatcher()
    dispatcher.close()
    done: list[int] = []

    class Again(Work):
        def run(self) -> None:
            done.append(1)
            run_completion(dispatcher, self)

    run_completion(dispatcher, Again())
    assert len(done) == completion.MAX_NESTED
    assert caplog.messages == ["Again is not called: it calls for ever, on a closed dispatcher"]


@pytest.mark.python_only
def test_callback_that_completes_again_for_ever_ends_with_the_dispatcher(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As one does that calls again when its call has failed."""
    monkeypatch.setattr(epoll_dispatcher, "LAST_WORK_S", 0.01)
    dispatcher, done = EpollDispatcher(), []
    dispatcher.start()

    class Again(Work):
        description = "a callback"

        def run(self) -> None:
            done.append(1)
            run_completion(dispatcher, self)

    dispatcher.complete(Again())
    dispatcher.close()
    seen = len(done)
    assert not dispatcher._thread.is_alive()
    assert seen > 0
    assert len(done) == seen
    assert any("calls for ever" in message for message in caplog.messages)
