"""The parameters behind the names of streams are often keys: no text shows them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

import pybrpc.rtmp
from pybrpc.errors import AddressError, PyBrpcError
from pybrpc.rtmp import Frame, RelayRequest, RtmpClient, RtmpConnectInfo, RtmpOptions, RtmpService
from tests.fakes.threads import WAIT_S, wait_until
from tests.peers.rtmp_services import serving

SECRET = "TOPSECRET"
FRAME = Frame.video(b"\x17\1\0\0\0" + bytes(500), 0)


class Texts:
    """All that a user may print or log."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def add(self, *values: object) -> None:
        for value in values:
            self.shown += [str(value), repr(value)]

    def of_error(self, function: Callable[[], object]) -> None:
        try:
            function()
        except PyBrpcError as error:
            self.add(error)
        else:
            pytest.fail("no error was raised")

    def check(self, log: str) -> None:
        assert self.shown
        for text in [*self.shown, *log.splitlines()]:
            assert SECRET not in text


@pytest.fixture
def texts(caplog: pytest.LogCaptureFixture) -> Iterator[Texts]:
    """Checked, with the log, at the end of the test."""
    caplog.set_level(logging.DEBUG)
    texts = Texts()
    yield texts
    texts.check(caplog.text)


class Showing(RtmpService):
    """Shows its streams and their errors; raises for a stream of that name."""

    max_unread_bytes = 2000

    def __init__(self, texts: Texts) -> None:
        self.texts = texts
        self.has_failed = False

    def on_connect(self, connect: RtmpConnectInfo) -> None:
        self.texts.add(connect)

    def on_publish(self, stream: Any) -> None:
        self.texts.add(stream, stream._core)
        if stream.name == "raise":
            raise ValueError("a mistake")
        stream.accept()
        self.texts.of_error(lambda: stream.recv(0.01))
        assert stream.wait_closed(WAIT_S) is not None
        self.texts.add(stream, stream.failure)
        self.has_failed = True

    def on_play(self, stream: Any) -> None:
        stream.accept()
        stream.wait_closed(WAIT_S)


def test_streams_of_threads(texts: Texts, caplog: pytest.LogCaptureFixture) -> None:
    service = Showing(texts)
    with serving(service) as endpoint:
        url = f"{endpoint}/live?key={SECRET}"
        with RtmpClient(url) as client:
            texts.of_error(lambda: client.publish(f"raise?key={SECRET}"))
        assert "the function of the RTMP stream 'raise' with" in caplog.text
        publishing, playing = RtmpClient(url), RtmpClient(url)
        stream = publishing.publish(f"name?key={SECRET}")
        texts.of_error(lambda: stream.wait_closed(0.01))
        stream.send(*[FRAME] * 10)
        stream.wait_closed(WAIT_S)
        texts.of_error(lambda: stream.send(FRAME))
        texts.add(publishing, publishing.url, stream, stream._core)
        player = playing.play(f"name?key={SECRET}")
        texts.of_error(lambda: player.recv(0.01))
        player.close()
        texts.of_error(player.recv)
        wait_until(lambda: service.has_failed)
        publishing.close()
        playing.close()


def test_streams_of_tasks(texts: Texts) -> None:
    async def use(url: str) -> None:
        async with pybrpc.rtmp.aio.RtmpClient(url) as client:
            async with client.play(f"name?key={SECRET}") as player:
                texts.add(client, player)
                for wait in (player.recv, player.wait_closed):
                    with pytest.raises(PyBrpcError) as caught:
                        await wait(0.01)
                    texts.add(caught.value)
            with pytest.raises(PyBrpcError) as caught:
                await player.recv()
            texts.add(caught.value)

    with serving(Showing(texts)) as endpoint:
        asyncio.run(use(f"{endpoint}/live?key={SECRET}"))


def test_streams_that_reconnect(texts: Texts) -> None:
    policy = pybrpc.rtmp.ReconnectPolicy(interval=0.01, max_duration=0.05)
    with RtmpClient("127.0.0.1:1/live", RtmpOptions(connect_timeout=1)) as client:
        for form in (pybrpc.rtmp.RtmpPublisher, pybrpc.rtmp.RtmpPlayer):
            stream: Any = form(client, f"name?key={SECRET}", policy=policy)
            wait = getattr(stream, "wait_connected", None) or stream.recv
            texts.of_error(lambda: wait(0.001))  # noqa: B023
            texts.of_error(lambda: wait(WAIT_S))  # noqa: B023
            stream.close()
            texts.of_error(wait)
            texts.add(stream, stream._reconnecting, stream._reconnecting._request)


def has_failed(link: pybrpc.rtmp.RelayLink) -> bool:
    return link.last_error is not None


def test_a_relay(texts: Texts, caplog: pytest.LogCaptureFixture) -> None:
    def decide(request: RelayRequest) -> None:
        texts.add(request)
        if request.name == "raise":
            raise ValueError("a mistake")

    relay = pybrpc.rtmp.RtmpRelay(authorize_publish=decide, on_event=texts.add)
    with relay, serving(relay) as endpoint:
        with RtmpClient(f"{endpoint}/live?key={SECRET}") as client:
            texts.of_error(lambda: client.publish(f"raise?key={SECRET}"))
        assert "deciding about the RTMP stream 'raise' with" in caplog.text
        links = [
            relay.push(f"{endpoint}/live?key={SECRET}/raise?key={SECRET}", "live/name"),
            relay.pull(f"127.0.0.1:1/live/name?key={SECRET}", "live/pulled"),
        ]
        publishing = RtmpClient(f"{endpoint}/live?key={SECRET}")
        stream = publishing.publish(f"name?key={SECRET}")
        for link in links:
            wait_until(partial(has_failed, link))
            texts.add(link, link.last_error)
        texts.add(relay, relay.statistics(), stream)
        publishing.close()


@pytest.mark.parametrize(
    "url", [f"host?key={SECRET}", f"host:x?key={SECRET}/app", f"host:0/app?key={SECRET}"]
)
def test_a_wrong_url(texts: Texts, url: str) -> None:
    with pytest.raises(AddressError) as caught:
        pybrpc.rtmp.parse_rtmp_url(url)
    texts.add(caught.value)
