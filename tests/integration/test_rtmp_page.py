"""The examples of docs/rtmp.md run as they stand there, and its limits are those of the code."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import pybrpc
import pybrpc.rtmp
from tests.fakes.rtmp_frames import audio_header, keyframe, metadata, picture, video_header
from tests.fakes.threads import wait_until
from tests.peers.pages import ROOT, examples_of, run_example
from tests.peers.tls import Certificates

RTMP_URL = "rtmp://127.0.0.1:1935/live"
IN_FILE = [metadata(), audio_header(), video_header(), keyframe(0), picture(40), keyframe(80)]


@pytest.fixture
def rtmp_examples() -> list[str]:
    """Each runs by itself: it has all imports that it needs."""
    return examples_of("docs/rtmp.md")


@pytest.fixture
def relay() -> Iterator[pybrpc.rtmp.RtmpRelay]:
    with pybrpc.rtmp.RtmpRelay() as relay:
        yield relay


@contextlib.contextmanager
def serving_rtmp(
    service: pybrpc.rtmp.RtmpService, **options: Any
) -> Iterator[tuple[str, dict[str, str]]]:
    """The address of a server, and how the URLs of the page name it."""
    server = pybrpc.Server(rtmp_service=service, **options)
    address = str(server.start("127.0.0.1:0"))
    scheme = "rtmps" if options else "rtmp"
    shown = "rtmps://127.0.0.1:1936/live" if options else RTMP_URL
    try:
        yield address, {shown: f"{scheme}://{address}/live"}
    finally:
        server.stop()
        server.join()


def test_rtmp_quick_start(rtmp_examples: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run_example(rtmp_examples[0], {}, {})
    assert capsys.readouterr().out == "{'width': 160.0, 'height': 120.0}\n"


def test_rtmp_in_asyncio(
    rtmp_examples: list[str], relay: pybrpc.rtmp.RtmpRelay, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving_rtmp(relay) as (_, urls):
        run_example(rtmp_examples[1], {}, urls)
    assert capsys.readouterr().out == "{'width': 160.0, 'height': 120.0}\n"


def test_rtmps(
    rtmp_examples: list[str],
    relay: pybrpc.rtmp.RtmpRelay,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = Certificates(tmp_path).server
    monkeypatch.chdir(tmp_path)
    with serving_rtmp(relay, tls=pybrpc.ServerTls(files.cert, files.key)) as (_, urls):
        run_example(rtmp_examples[2], {}, urls)


def test_rtmp_player_that_reconnects(
    rtmp_examples: list[str], relay: pybrpc.rtmp.RtmpRelay, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        serving_rtmp(relay) as (address, urls),
        pybrpc.rtmp.RtmpClient(f"rtmp://{address}/live") as client,
        client.publish("stream") as publisher,
    ):
        publisher.send(*IN_FILE)
        run_example(rtmp_examples[3], {}, urls)
    assert capsys.readouterr().out in [f"connection 1 at {at} ms\n" for at in (0, 80)]


def test_rtmp_files(
    rtmp_examples: list[str],
    relay: pybrpc.rtmp.RtmpRelay,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with open("in.flv", "wb") as file:
        writer = pybrpc.rtmp.FlvWriter(file)
        for frame in IN_FILE:
            writer.write(frame)
    publish, save = rtmp_examples[4:6]
    with serving_rtmp(relay) as (_, urls):
        with ThreadPoolExecutor() as pool:
            saved = pool.submit(run_example, save, {}, urls)
            wait_until(lambda: any(each.players for each in relay.statistics().streams))
            began = time.monotonic()
            run_example(publish, {}, urls)
            assert time.monotonic() - began >= IN_FILE[-1].timestamp / 1000
            saved.result(timeout=20)
    with open("saved.flv", "rb") as file:
        assert list(pybrpc.rtmp.FlvReader(file)) == IN_FILE


def rtmp_refusal(url: str, action: str, name: str) -> pybrpc.errors.RtmpStatusError:
    """Why a client may not publish or play."""
    with (
        pybrpc.rtmp.RtmpClient(url) as client,
        pytest.raises(pybrpc.errors.RtmpStatusError) as refused,
    ):
        getattr(client, action)(name)
    return refused.value


def test_rtmp_service(rtmp_examples: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    run_example(rtmp_examples[6], names, {})
    with serving_rtmp(names["Counter"]()) as (address, _):
        url = f"rtmp://{address}/live"
        with pybrpc.rtmp.RtmpClient(url) as client:
            with client.publish("stream?key=secret") as stream:
                stream.send(keyframe(0))
        assert "nothing to play here" in str(rtmp_refusal(url, "play", "stream"))
        assert "wrong key" in str(rtmp_refusal(url, "publish", "stream"))
        other = f"rtmp://{address}/other"
        assert "no such application" in str(rtmp_refusal(other, "publish", "stream"))
    assert capsys.readouterr().out == "stream: 1 keyframes\n"


def test_rtmp_relay_with_options(rtmp_examples: list[str]) -> None:
    names: dict[str, Any] = {"__name__": "example"}
    run_example(rtmp_examples[7], names, {})
    url = f"rtmp://{names['server'].start('127.0.0.1:0')}/live"
    try:
        with pybrpc.rtmp.RtmpClient(url) as client:
            client.publish("stream?key=secret").close()
        error = rtmp_refusal(url, "publish", "stream?key=wrong")
        assert error.status == "NetStream.Publish.Denied"
    finally:
        names["server"].stop()
        names["server"].join()
        names["relay"].close()


def test_limits_of_rtmp_on_the_page_are_those_of_the_code() -> None:
    page = (ROOT / "docs/rtmp.md").read_text()
    service, relay = pybrpc.rtmp.RtmpService, pybrpc.rtmp.RtmpRelay()
    client, policy = pybrpc.rtmp.RtmpOptions(), pybrpc.rtmp.ReconnectPolicy()
    assert (service.connect_timeout, service.stream_timeout) == (5.0, 10.0)
    assert (client.connect_timeout, client.timeout) == (3.0, 5.0)
    assert (service.max_streams_per_connection, service.max_streams) == (32, 1024)
    assert relay.max_streams == 16_384
    assert (service.max_message_bytes, client.max_message_bytes) == (4 << 20, 4 << 20)
    assert (service.max_unread_bytes, client.max_unread_bytes) == (16 << 20, 16 << 20)
    assert (service.max_unwritten_bytes, client.max_unwritten_bytes) == (2 << 20, 16 << 20)
    assert relay.max_unwritten_bytes == 2 * (2 << 20) + (16 << 20)
    assert (policy.interval, policy.fast_retries, policy.max_duration) == (1.0, 2, None)
    for shown in (
        "| 5 s |",
        "| 5 s, 10 s |",
        "connect_timeout=3, timeout=5)",
        "| 32, 1024 |",
        "| 16,384 |",
        "| 4 MiB |",
        "| 16 MiB, then",
        "of the service: 2 MiB; of a relay: 2 x `queue_bytes` + 16 MiB; of `RtmpOptions`: 16 MiB |",
        "| 60 s |",
        "ReconnectPolicy(interval=1, fast_retries=2, max_duration=None)",
    ):
        assert shown in page
