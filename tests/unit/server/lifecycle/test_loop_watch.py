"""LoopWatch: a function is awaited when asyncio.run ends, and only then."""

from __future__ import annotations

import asyncio
import gc

import pytest

from pybrpc.server.lifecycle.loop_watch import LoopWatch
from tests.peers.loops import RUNS


class Watched:
    def __init__(self) -> None:
        self.ends: list[str] = []
        self.watch = LoopWatch(self._on_end)

    async def _on_end(self) -> None:
        await asyncio.sleep(0)
        self.ends.append("ended")
        self.watch.stop()


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_function_is_awaited_when_the_loop_ends(run: object) -> None:
    watched = Watched()

    async def main() -> None:
        watched.watch.start()
        await asyncio.sleep(0)
        assert watched.ends == []

    run(main())  # type: ignore[operator]
    assert watched.ends == ["ended"]


@pytest.mark.parametrize("is_started", [True, False])
def test_function_is_not_called_after_the_watch_was_stopped(is_started: bool) -> None:
    watched = Watched()

    async def main() -> None:
        if is_started:
            watched.watch.start()
        watched.watch.stop()
        watched.watch.stop()

    asyncio.run(main())
    assert watched.ends == []


def test_watch_can_be_stopped_when_its_loop_was_closed() -> None:
    watched = Watched()

    async def main() -> None:
        watched.watch.start()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    watched.watch.stop()
    del loop
    gc.collect()
    assert watched.ends == []
