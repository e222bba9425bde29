"""/rpcz: the list and the traces, in the form of C++ bRPC; bRPC's own eight tests among them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from pybrpc.base.endpoint import Endpoint
from pybrpc.builtin.page import HTML, TEXT, PageResponse
from pybrpc.builtin.registry import run_page
from pybrpc.builtin.standard_flags import RPCZ_HEX_LOG_ID
from pybrpc.protocols.http1 import HttpHeaders
from pybrpc.tracing.process_rpcz import RPCZ
from pybrpc.tracing.span import Annotation, SpanKind
from tests.fakes.pages import HOSTILE, FakeServerView, Markup, request_of
from tests.fakes.spans import ended_span

START_US = 1_780_000_000_000_000
NOT_ENABLED = "rpcz is not enabled"


@pytest.fixture(autouse=True)
def _rpcz() -> Iterator[None]:
    RPCZ.store.clear()
    yield
    RPCZ.store.clear()
    RPCZ.enabled = False
    RPCZ_HEX_LOG_ID.set(False)


def get(target: str, **fields: Any) -> PageResponse:
    return run_page(request_of(target, **fields), FakeServerView())


def post(target: str, **fields: Any) -> PageResponse:
    return get(target, method="POST", headers=HttpHeaders({"X-Pybrpc-Post": "1"}), **fields)


def text(target: str) -> str:
    return str(get(target).body)


def put(**fields: Any) -> None:
    values: dict[str, Any] = {"start_us": START_US, "latency_us": 1498, "log_id": 255}
    kept = {name: fields.pop(name) for name in ("annotations", "client_spans") if name in fields}
    span = ended_span(**(values | fields))
    for name, value in kept.items():
        setattr(span, name, value)
    RPCZ.store.put(span)


@pytest.mark.parametrize("is_enabled", [False, True])
@pytest.mark.parametrize("is_hex", [False, True])
@pytest.mark.parametrize("is_html", [False, True])
def test_find_by_trace_time_and_log_id(is_enabled: bool, is_hex: bool, is_html: bool) -> None:
    kind = HTML if is_html else TEXT
    first = get("/rpcz", wants_html=is_html)
    assert (first.content_type, NOT_ENABLED in str(first.body)) == (kind, True)
    for path, is_on in (("enable", is_enabled), ("disable", not is_enabled)):
        if is_on:
            assert post(f"/rpcz/{path}", wants_html=is_html).content_type == kind
    post("/rpcz/hex_log_id" if is_hex else "/rpcz/dec_log_id")
    assert RPCZ.enabled is is_enabled
    put(start_callback_us=START_US + 1)
    for query in ("", "?log_id=0xff", "?time=2099/01/01-00:00:00", "?trace=7", "?trace=7&span=8"):
        found = get(f"/rpcz{query}", wants_html=is_html)
        body = str(found.body)
        assert (found.status, found.content_type) == (200, kind)
        assert "echo.EchoService.Echo" in body
        if not is_html:
            assert f"log_id={'ff' if is_hex else '255'} " in body
    nothing = str(get("/rpcz?log_id=254", wants_html=is_html).body)
    assert ("No call matches." if is_html else "Fail to find matched spans") in nothing
    assert get("/rpcz?trace=9", wants_html=is_html).status == 404


@pytest.mark.parametrize("is_html", [False, True])
def test_trace_is_found_by_the_32_digits_of_w3c_and_by_the_links_of_the_page(is_html: bool) -> None:
    low, high = 0xB7AD6B7169203331, 0x0AF7651916CD43DD
    put(trace_id=low, trace_id_high=high, span_id=8, method="a.Whole.Call")
    put(trace_id=low, trace_id_high=0, span_id=9, method="a.Half.Call")
    put(trace_id=low, trace_id_high=high + 1, span_id=10, method="an.Other.Call")

    def methods(query: str) -> list[str]:
        found = get(f"/rpcz?trace={query}", wants_html=is_html)
        if found.status == 404:
            return []
        assert found.status == 200
        body = str(found.body)
        names = {"Whole": 8, "Half": 9, "Other": 10}
        text = (
            (lambda name: f".{name}.Call") if is_html else (lambda name: f"span={names[name]:x}\n")
        )
        return [name for name in names if text(name) in body]

    assert methods(f"{high:016x}{low:016x}") == ["Whole", "Half"]
    assert methods(f"{high:016X}{low:016X}") == ["Whole", "Half"]
    assert methods(f"{high:016x}{low:016x}&span=8") == ["Whole"]
    assert methods(f"{high:016x}{low:016x}&span=a") == []
    assert methods(f"{low:x}") == ["Whole", "Half", "Other"]
    assert methods(f"{0:016x}{low:016x}") == ["Half"]
    assert methods(f"{high:016x}{low + 1:016x}") == []
    for link in re.findall(r"/rpcz\?trace=([0-9a-f]+)", str(get("/rpcz", wants_html=True).body)):
        assert methods(link) == ["Whole", "Half", "Other"]


def test_the_list_is_that_of_c_plus_plus() -> None:
    put(request_size=86, response_size=67, trace_id=0x35CE8B907B080018)
    assert re.fullmatch(
        r"[0-9/]{10}-[0-9:]{8}\.000000    \.  1498 S trace=35ce8b907b080018 span=8 log_id=255 "
        r"echo\.EchoService\.Echo\(86\)=67 \[OK\]\n",
        text("/rpcz"),
    )


def test_a_call_that_failed_names_its_error() -> None:
    put(error_code=1008)
    put(error_code=2, kind=SpanKind.CLIENT)
    put(error_code=4711)
    body = text("/rpcz")
    assert "[ERPCTIMEDOUT]" in body
    assert " C trace=" in body
    assert "[ENOENT No such file or directory]" in body
    assert "[E4711]" in body
    assert len(text("/rpcz?error_code=1008").splitlines()) == 1


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("min_latency=1498", 1),
        ("min_latency=1499", 0),
        ("min_request_size=5", 1),
        ("min_response_size=7", 0),
        ("error_code=0", 1),
        ("max_scan=0&min_latency=&time=&log_id=", 1),
        ("time=1999/1/1-0:0:0", 0),
    ],
)
def test_filters(query: str, count: int) -> None:
    put(request_size=5, response_size=6)
    assert text(f"/rpcz?{query}").count("EchoService") == count


@pytest.mark.parametrize(
    "query",
    [
        "trace=x",
        "trace=1&span=-1",
        "trace=123456789012345678",
        "trace=0x00000000000000000000000000000007",
        "trace=" + "7" * 31,
        "trace=" + "7" * 33,
        "time=yesterday",
        "time=2026/13/45-99:99:99",
        "time=1900/1/1-0:0:0.",
        "time=12:00:00.1234567",
        "min_latency=-1",
        "min_latency=1e3",
        "min_latency=" + "9" * 100,
        "max_scan=x",
        "log_id=0x",
        "log_id=" + "f" * 100,
        "log_id=99999999999999999999",
        "error_code=%D9%A1",
    ],
)
@pytest.mark.parametrize("is_html", [False, True])
def test_parameters_without_sense_are_400(query: str, is_html: bool) -> None:
    put()
    assert get(f"/rpcz?{query}", wants_html=is_html).status == 400


def test_a_trace_shows_each_step() -> None:
    nested = ended_span(
        SpanKind.CLIENT,
        trace_id=7,
        span_id=9,
        parent_span_id=8,
        start_us=START_US + 300,
        latency_us=10,
        remote_side=Endpoint("10.0.0.2", 8000),
        protocol="baidu_std",
        received_us=START_US + 700,
        request_size=5,
        response_size=6,
        method="db.Store.Get",
    )
    put(
        request_size=86,
        response_size=67,
        remote_side=Endpoint("10.0.0.1", 5000),
        protocol="baidu_std",
        start_parse_us=START_US + 10,
        start_callback_us=START_US + 20,
        start_send_us=START_US + 1000,
        client_spans=(nested,),
        annotations=(Annotation(START_US + 200, "cache\nmiss"),),
    )
    steps = [line[27:].strip() for line in text("/rpcz?trace=7").splitlines() if line]
    assert steps == [
        "Received request(86) from 10.0.0.1:5000 baidu_std log_id=255 trace=7 span=8",
        "[Server SPAN#8] Processing the request",
        "[Server SPAN#8] Enter echo.EchoService.Echo",
        "[Server SPAN#8] cache\\nmiss",
        "Requesting db.Store.Get@10.0.0.2:8000 baidu_std log_id=0 call_id=0 trace=7 span=9",
        "[Client SPAN#9] Requested(5)",
        "[Client SPAN#9] Received response(6)",
        "[Server SPAN#8] Leave echo.EchoService.Echo",
        "[Server SPAN#8] Responded(67)",
    ]
    markup = Markup(str(get("/rpcz?trace=7", wants_html=True).body))
    bars = [found for name, found in markup.elements if name == "rect"]
    assert [(bar["x"], bar.get("class")) for bar in bars] == [("0.0", None), ("200.3", "client")]
    assert [name for name, found in markup.elements].count("i") == 1


def test_ids_that_make_a_circle_are_shown() -> None:
    for span_id, parent in ((1, 2), (2, 1), (3, 3)):
        put(span_id=span_id, parent_span_id=parent)
    assert get("/rpcz?trace=7", wants_html=True).status == 200


@pytest.mark.parametrize("path", ["enable", "disable", "hex_log_id", "dec_log_id"])
def test_a_get_switches_nothing(path: str) -> None:
    RPCZ.enabled = before = path == "disable"
    found = get(f"/rpcz/{path}")
    assert (found.status, found.headers["Allow"]) == (405, "POST")
    assert RPCZ.enabled is before
    assert RPCZ_HEX_LOG_ID.value is False


def test_other_paths() -> None:
    assert get("/rpcz/other").status == 404
    assert post("/rpcz").status == 405


def test_a_button_of_the_page_enables_it() -> None:
    markup = Markup(str(get("/rpcz", wants_html=True).body))
    assert markup.values_of("action") == ["/rpcz/enable"]
    (token,) = [found["value"] for _, found in markup.elements if found.get("name") == "token"]
    body = f"token={token}".encode()
    found = get("/rpcz/enable", method="POST", body=body, wants_html=True)
    assert (found.status, RPCZ.enabled) == (200, True)


@pytest.mark.parametrize("is_html", [False, True])
def test_statistics(is_html: bool) -> None:
    put()
    body = str(get("/rpcz/stats", wants_html=is_html).body)
    assert ("spans</dt><dd>1<" if is_html else "\nspans: 1\n") in body


@pytest.mark.parametrize("query", ["", "?trace=7", "?trace=7&span=8", "/stats"])
def test_hostile_texts_of_spans_are_text(query: str) -> None:
    nested = ended_span(SpanKind.CLIENT, method=HOSTILE, protocol=HOSTILE)
    put(
        method=HOSTILE,
        protocol=HOSTILE,
        remote_side=Endpoint(HOSTILE, 1),
        annotations=(Annotation(START_US, HOSTILE),),
        client_spans=(nested,),
    )
    body = get(f"/rpcz{query}", wants_html=True).body_bytes().decode()
    assert Markup(body).dangers() == []
    assert "\x1b" not in text(f"/rpcz{query}")
