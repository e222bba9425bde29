"""HttpApi: deadlines, limits, kept connections, several hosts, TLS, interruption; real sockets."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import trustme

from pybrpc.base.endpoint import Endpoint
from pybrpc.errors import NamingError, TlsConfigError
from pybrpc.naming.interfaces import InterruptedFetchError
from pybrpc.naming.wire import http_api
from pybrpc.naming.wire.http_api import HttpApi
from pybrpc.naming.wire.http_settings import HttpSettings
from tests.peers.http_stand_in import Answer, Fault, HttpStandIn, Request
from tests.peers.redis_server import free_port


class Echo(HttpStandIn):
    """Answers with what it was asked."""

    def respond(self, request: Request) -> Answer:
        body = {"method": request.method, "body": request.body.decode(), "fields": request.fields}
        return Answer(body, headers={"X-Own": "yes"})


@pytest.fixture
def server() -> Iterator[Echo]:
    with Echo() as made:
        yield made


@pytest.fixture
def api(server: Echo) -> Iterator[HttpApi]:
    made = api_of(server.port)
    yield made
    made.close()


def api_of(*ports: int, timeout_s: float = 5.0, **settings: Any) -> HttpApi:
    hosts = tuple(Endpoint("127.0.0.1", port) for port in ports)
    return HttpApi(HttpSettings(hosts, timeout_s, **settings))


def test_request_and_answer(api: HttpApi) -> None:
    answer = api.request("POST", "/x?a=1", b"data", {"X-Mine": "1"}).checked()
    assert answer.json() == {"method": "POST", "body": "data", "fields": {"a": ["1"]}}
    assert answer.headers["x-own"] == "yes"
    assert api.request("GET", "/").json()["method"] == "GET"


def test_connection_is_kept_and_made_anew_when_the_server_has_closed_it(server: Echo) -> None:
    api = api_of(server.port)
    for _ in range(3):
        api.request("GET", "/")
    assert len(server._connections) == 1
    server.faults.append(Fault(drops=True))
    assert api.request("GET", "/").status == 200
    assert len(server.requests) == 5, "that over the kept connection was sent again"
    api.close()


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Fault(truncated=True), "IncompleteRead"),
        (Fault(drops=True), "Remote end closed"),
        (Fault(hangs=True), "timed out"),
        (Fault(drip_s=0.05), "timed out"),
        (Fault(delay_s=0.5), "timed out"),
    ],
)
def test_answer_that_does_not_come_is_an_error(server: Echo, fault: Fault, text: str) -> None:
    api = api_of(server.port, timeout_s=0.2)
    server.standing_fault = fault
    with pytest.raises(NamingError, match=text) as caught:
        api.request("GET", "/v1/x?password=hunter2")
    assert f"GET http://127.0.0.1:{server.port}/v1/x:" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    api.close()


def test_status_and_text_are_shown(server: Echo, api: HttpApi) -> None:
    server.faults.append(Fault(status=500, body=b"no leader\n" + b"x" * 1000))
    with pytest.raises(NamingError, match=r"status 500: 'no leader\\nx") as caught:
        api.request("GET", "/").checked()
    assert len(str(caught.value)) < 350
    server.faults.append(Fault(body=b"[" * 100_000))
    with pytest.raises(NamingError, match="is no JSON"):
        api.request("GET", "/").json()


@pytest.mark.parametrize("kind", ["length", "until the end"])
def test_answer_that_is_too_long_is_refused(
    server: Echo, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(http_api, "MAX_ANSWER_BYTES", 100_000)
    api = api_of(server.port)
    server.faults.append(Fault(body=b"x" * 100_000))
    assert len(api.request("GET", "/").body) == 100_000
    server.faults.append(Fault(body=b"x" * 100_001))
    with pytest.raises(NamingError, match="more than 100000 bytes"):
        api.request("GET", "/")
    assert api.request("GET", "/").status == 200
    api.close()


def test_next_host_is_asked_when_one_fails(server: Echo) -> None:
    api = api_of(free_port(), server.port)
    assert api.request("GET", "/").status == 200
    assert api.request("GET", "/").status == 200
    assert len(server._connections) == 1
    api.close()


def test_error_of_the_last_host_is_raised() -> None:
    first, second = free_port(), free_port()
    with pytest.raises(NamingError, match=f"http://127.0.0.1:{second}/: .*refused"):
        api_of(first, second).request("GET", "/")


def test_host_that_hangs_is_left_for_the_next_request(server: Echo) -> None:
    with Echo() as deaf:
        deaf.standing_fault = Fault(hangs=True)
        api = api_of(deaf.port, server.port, timeout_s=0.1)
        with pytest.raises(NamingError, match="timed out"):
            api.request("GET", "/")
        assert api.request("GET", "/").status == 200
        api.close()


def interrupted(api: HttpApi, run: Any, server: Echo) -> None:
    """Interrupt a request of another thread once the server has it."""
    raised: list[BaseException] = []

    def request() -> None:
        try:
            run()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=request)
    thread.start()
    server.wait_for(lambda: len(server.requests) > 0)
    api.interrupt()
    thread.join(10)
    assert not thread.is_alive()
    assert [type(error) for error in raised] == [InterruptedFetchError]


def test_request_that_waits_is_interrupted_at_once(server: Echo) -> None:
    server.faults.append(Fault(hangs=True))
    api = api_of(server.port, timeout_s=60)
    began = time.monotonic()
    interrupted(api, lambda: api.request("GET", "/"), server)
    assert time.monotonic() - began < 30
    assert api.request("GET", "/").status == 200, "only one is interrupted"
    api.close()


def test_lines_that_are_waited_for_are_interrupted(server: Echo) -> None:
    server.faults.append(Fault(body=b"one\n", drip_s=3600))
    api = api_of(server.port)

    def read() -> None:
        with api.open_lines("/", b"", {}, 3600) as lines:
            list(lines)

    interrupted(api, read, server)


def test_interruption_of_no_request_is_that_of_the_next_one(api: HttpApi) -> None:
    api.interrupt()
    with pytest.raises(InterruptedFetchError):
        api.request("GET", "/")
    assert api.request("GET", "/").status == 200


def test_lines_come_one_by_one_and_end_in_time(server: Echo) -> None:
    api = api_of(server.port)
    server.faults.append(Fault(body=b"one\ntwo\nthree", drip_s=0.001))
    with api.open_lines("/", b"", {}, 20) as lines:
        assert list(lines) == [b"one\n", b"two\n", b"three"]
    server.faults.append(Fault(body=b"one\ntwo\n", drip_s=0.05))
    with api.open_lines("/", b"", {}, 0.3) as lines:
        assert list(lines) == [b"one\n"]
    server.faults.append(Fault(status=503, body=b"no leader"))
    with pytest.raises(NamingError, match="status 503: 'no leader'"):
        with api.open_lines("/", b"", {}, 1) as lines:
            pass
    with pytest.raises(NamingError, match="refused"):
        with api_of(free_port()).open_lines("/", b"", {}, 1):
            pass


def test_line_that_is_too_long_is_refused(server: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_api, "MAX_ANSWER_BYTES", 1000)
    api = api_of(server.port)
    server.faults.append(Fault(body=b"x" * 2000))
    with pytest.raises(NamingError, match="a line of more than 1000 bytes"):
        with api.open_lines("/", b"", {}, 5) as lines:
            list(lines)


def test_tls_checks_the_certificate(tmp_path: Any) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Echo(context) as server:
        trusting = api_of(server.port, tls=True, ca_file=str(tmp_path / "ca.pem"))
        for _ in range(2):
            assert trusting.request("GET", "/").status == 200
        server.faults.append(Fault(hangs=True))
        server.requests.clear()
        interrupted(trusting, lambda: trusting.request("GET", "/"), server)
        trusting.close()
        with pytest.raises(NamingError, match=r"https://.*the certificate is refused"):
            api_of(server.port, tls=True).request("GET", "/")


def test_authorities_that_can_not_be_loaded_are_refused_at_once() -> None:
    with pytest.raises(TlsConfigError, match="ca_file '/nowhere' can't be loaded"):
        api_of(1, tls=True, ca_file="/nowhere")


def test_fields_of_an_answer_may_have_any_type() -> None:
    from pybrpc.naming.wire import json_fields

    thing = {
        "n": 5,
        "s": "7",
        "x": [],
        "b": True,
        "w": "word",
        "big": "9" * 5000,
        "inf": 1e308 * 10,
    }
    assert json_fields.field(thing, "n", int) == 5
    for wrong in (thing, 5, None, []):
        with pytest.raises(NamingError, match="no 'm' that is a int"):
            json_fields.field(wrong, "m", int)
    assert json_fields.field_or(thing, "s", 1) == 1
    assert json_fields.items_of(thing, "n") == []
    assert json_fields.fields_of(5, "n") == {}
    numbers = [json_fields.number_or(thing, name, -1.0) for name in (*thing, "none")]
    assert numbers == [5, 7, -1, -1, -1, -1, -1, -1]
    assert json_fields.whole_number(thing, "s") == 7
    assert json_fields.whole_number(thing, "none") == 0
    for name in ("x", "big"):
        with pytest.raises(NamingError, match="whole number"):
            json_fields.whole_number(thing, name)
