"""The log: what each part of the library says, and under which name, as docs/logging.md lists."""

from __future__ import annotations

import logging
import re
import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pybrpc
from pybrpc.errors import ErrorCode, RpcError
from pybrpc.server.access_log.access_log import LOGGER_NAME
from tests.fakes.threads import wait_until
from tests.peers.callers import caller
from tests.peers.echo import echo_request
from tests.peers.raw_peer import EchoResponse
from tests.peers.scripted_server import Peer, ScriptedServer
from tests.peers.serving import Handler, as_async, make_server, serving, start
from tests.peers.tls import certificates

PAGE = Path(__file__).parents[2] / "docs" / "logging.md"

Lines = Callable[[], list[str]]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Lines]:
    """The lines so far, as "pybrpc.client INFO text"."""
    with caplog.at_level(logging.DEBUG, "pybrpc"):
        yield lambda: [f"{r.name} {r.levelname} {r.getMessage()}" for r in list(caplog.records)]


def has(lines: Lines, pattern: str) -> Callable[[], bool]:
    return lambda: any(re.fullmatch(pattern, line) for line in lines())


# --- connections and endpoints ---


def test_both_sides_log_the_begin_and_the_end_of_a_connection(lines: Lines) -> None:
    with make_server() as server:
        address = str(start(server))
        with caller("blocking", address) as client:
            client.call(echo_request())
        wait_until(has(lines, r"pybrpc.server DEBUG the connection of 127.0.0.1:\d+ has ended"))
    place = rf"{re.escape(address)} \(socket \d+, fd \d+\)"
    assert has(lines, rf"pybrpc.transport DEBUG {place} is connected")()
    assert has(lines, rf"pybrpc.transport DEBUG socket \d+ to {re.escape(address)} has ended: .+")()
    assert has(lines, r"pybrpc.server DEBUG accepted 127.0.0.1:\d+, connections: 1")()


def test_client_logs_that_an_endpoint_is_down_and_up_again(lines: Lines) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        backoff = pybrpc.Backoff(first_s=0.01, max_s=0.01)
        with caller("blocking", address, dial_backoff=backoff) as client:
            with pytest.raises(RpcError):
                client.call(echo_request())
            bound.listen()
            up = rf"pybrpc.client INFO {address} is up again, after \d+ failed dials"
            wait_until(has(lines, up))
    down = rf"pybrpc.client INFO {address} is down, and is dialled again in 0.0 s: Fail to .+"
    assert sum(re.fullmatch(down, line) is not None for line in lines()) == 1


def test_client_logs_each_retry(lines: Lines) -> None:
    def stop_twice(peer: Peer) -> None:
        while (request := peer.read_request()) is not None:
            peer.answer(request, error_code=ErrorCode.ELOGOFF, error_text="stopping\nFORGED")

    with ScriptedServer(stop_twice) as server:
        with caller("blocking", server.address, max_retry=2) as client:
            with pytest.raises(RpcError):
                client.call(echo_request())
    retries = [line for line in lines() if line.startswith("pybrpc.client DEBUG retry")]
    start_text = "pybrpc.client DEBUG retry 1 of conformance.EchoService.Echo, after 0 s: ELOGOFF: "
    assert len(retries) == 2
    assert retries[0].startswith(start_text + r"stopping\nFORGED (phase=server")


# --- answers that a handler has made impossible ---


def wrong_type(request: Any, controller: Any) -> Any:
    return "a string"


def nothing(request: Any, controller: Any) -> Any:
    return None


def odd_user_field(request: Any, controller: Any) -> Any:
    controller.response_user_fields["key"] = object()
    return EchoResponse(message="hello")


def odd_user_field_of_a_failure(request: Any, controller: Any) -> Any:
    controller.response_user_fields["key"] = object()
    controller.set_failed(1003, "no")


def code_zero(request: Any, controller: Any) -> Any:
    raise RpcError("no error", code=0)


def code_too_large(request: Any, controller: Any) -> Any:
    raise RpcError("no code", code=1 << 40)


def unknown_compression(request: Any, controller: Any) -> Any:
    controller.response_compress_type = 77
    return EchoResponse(message="hello")


@pytest.mark.parametrize("kind", [lambda handler: handler, as_async], ids=["def", "async"])
@pytest.mark.parametrize(
    "handler",
    [
        wrong_type,
        nothing,
        odd_user_field,
        odd_user_field_of_a_failure,
        code_zero,
        code_too_large,
        unknown_compression,
    ],
)
def test_server_logs_an_answer_that_its_handler_has_made_impossible(
    handler: Handler, kind: Callable[[Handler], Handler], lines: Lines
) -> None:
    with serving(kind(handler)) as peer:
        assert peer.call().error_code in (ErrorCode.EINTERNAL, ErrorCode.ERESPONSE)
    errors = [line for line in lines() if " ERROR " in line]
    assert len(errors) == 1
    assert errors[0].startswith("pybrpc.server ERROR ")
    assert "conformance.EchoService.Echo" in errors[0]


# --- probes, and peers without TLS ---


def close(sock: socket.socket) -> None:
    sock.close()


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("end", [close, reset])
@pytest.mark.parametrize("allow_plaintext", [False, True])
def test_probe_of_a_port_with_tls_is_no_warning(
    end: Callable[[socket.socket], None], allow_plaintext: bool, lines: Lines
) -> None:
    tls = certificates().server_tls(allow_plaintext=allow_plaintext)
    with make_server(tls=tls) as server:
        endpoint = start(server)
        probe = socket.create_connection((endpoint.host, endpoint.port))
        wait_until(has(lines, r"pybrpc.server DEBUG accepted .+"))
        end(probe)
        wait_until(has(lines, r"pybrpc.server DEBUG the connection of .+ has ended"))
    assert [line for line in lines() if " WARNING " in line or " ERROR " in line] == []


def test_peer_that_ends_inside_the_handshake_is_a_warning(lines: Lines) -> None:
    with make_server(tls=certificates().server_tls()) as server:
        endpoint = start(server)
        with socket.create_connection((endpoint.host, endpoint.port)) as sock:
            sock.sendall(b"\x16\x03\x01\x02\x00\x01")
        wait_until(has(lines, r"pybrpc.server WARNING Fail to shake hands with .+"))


@pytest.mark.parametrize("form", ["blocking", "asyncio"])
def test_plaintext_client_of_a_server_with_tls_hears_that_it_is_tls(form: str) -> None:
    with make_server(tls=certificates().server_tls()) as server:
        with caller(form, str(start(server))) as client:
            with pytest.raises(
                RpcError, match="the peer speaks TLS, and this side was given no tls"
            ):
                client.call(echo_request())


def test_client_of_a_peer_that_ends_in_silence_is_asked_for_tls() -> None:
    def end(peer: Peer) -> None:
        peer.read_request()

    with ScriptedServer(end) as server:
        with caller("blocking", server.address, max_retry=0) as client:
            with pytest.raises(
                RpcError, match="which has sent nothing: has it stopped, or does it expect TLS"
            ):
                client.call(echo_request())


def test_server_without_tls_logs_that_its_peer_speaks_it(lines: Lines) -> None:
    with make_server() as server:
        with caller("blocking", str(start(server)), tls=certificates().client_tls()) as client:
            with pytest.raises(RpcError, match="does it speak TLS"):
                client.call(echo_request())
    text = r"pybrpc.server WARNING .+ the peer speaks TLS, and this side was given no tls="
    assert has(lines, text)()


# --- the page ---


def test_page_names_each_logger() -> None:
    from pybrpc.base import guard

    names = {value._logger.name for value in vars(guard).values() if type(value) is guard.Log}
    names.add(LOGGER_NAME)
    assert names == set(re.findall(r"^\| `(pybrpc[\w.]*)` \|", PAGE.read_text(), re.MULTILINE))


def method_of_any_name(request: Any, controller: Any) -> Any:
    raise ValueError("a\nERROR root: forged\x1b[2J")


def test_text_with_line_ends_forges_no_line(caplog: pytest.LogCaptureFixture) -> None:
    with serving(method_of_any_name) as peer:
        peer.call()
    (record,) = caplog.records
    shown = logging.Formatter("%(levelname)s %(name)s: %(message)s").format(record).splitlines()
    assert [line for line in shown if line.startswith("ERROR")] == [shown[0]]
    assert all(line.isprintable() for line in shown)
