"""An RtmpRelay in an asyncio program: its close does not stop the loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from pybrpc.rtmp import FlvReader, RtmpRelay, aio
from pybrpc.server import Server
from tests.fakes.rtmp_frames import keyframe

SLOW_S = 0.5


@pytest.fixture
def silent_url() -> Iterator[str]:
    """The URL of a server that takes connections and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"rtmp://127.0.0.1:{listener.getsockname()[1]}/live/name"


class Beats:
    """How often a loop has had a turn."""

    def __init__(self) -> None:
        self.count = 0

    @contextlib.asynccontextmanager
    async def counted(self) -> AsyncIterator[None]:
        async def beat() -> None:
            while True:
                await asyncio.sleep(0.01)
                self.count += 1

        task = asyncio.create_task(beat())
        try:
            yield
        finally:
            task.cancel()


def frames_in(folder: Path) -> int:
    (path,) = folder.iterdir()
    with path.open("rb") as file:
        return len(list(FlvReader(file)))


async def until(folder: Path) -> None:
    while not list(folder.iterdir()):
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("form", ["aclose", "async with"])
def test_closing_a_relay_does_not_stop_the_loop(form: str, tmp_path: Path, silent_url: str) -> None:
    """With a stream, links and a recording in use, and a slow `on_event`."""
    kinds: list[str] = []

    def on_event(event: object) -> None:
        kinds.append(str(event).partition(" ")[0])
        time.sleep(SLOW_S)

    async def main() -> None:
        relay = RtmpRelay(on_event=on_event)
        relay.record(tmp_path)
        links = [relay.pull(silent_url, "live/pulled"), relay.push(silent_url, "live/stream")]
        async with Server(rtmp_service=relay) as server:
            url = f"rtmp://{server.start('127.0.0.1:0')}/live"
            async with aio.RtmpClient(url) as client, client.publish("stream") as out:
                await out.send(keyframe(0), keyframe(40))
                await until(tmp_path)
        beats = Beats()
        async with beats.counted():
            await closing(relay)
            assert beats.count >= 10
        assert not any(link.is_connected for link in links)

    async def closing(relay: RtmpRelay) -> None:
        if form == "aclose":
            await relay.aclose()
            return
        async with relay as same:
            assert same is relay

    asyncio.run(main())
    assert kinds[0] == "published"
    assert kinds[-1] == "recorded"
    assert frames_in(tmp_path) == 2


def test_closing_a_link_does_not_stop_the_loop(
    silent_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> int:
        async with RtmpRelay() as relay:
            link = relay.pull(silent_url, "live/pulled")
            close = link._client.close

            def close_slowly() -> None:
                time.sleep(SLOW_S)
                close()

            monkeypatch.setattr(link._client, "close", close_slowly)
            beats = Beats()
            async with beats.counted():
                await link.aclose()
            return beats.count

    assert asyncio.run(main()) >= 10


def test_with_closes_a_relay(tmp_path: Path) -> None:
    with RtmpRelay() as relay:
        relay.record(tmp_path)
        recorder = relay._streams.recorder
        assert recorder is not None
    assert recorder.is_closed
