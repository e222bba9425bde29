"""CallDurations: labels are bounded, and the metric remains when a server is gone."""

from __future__ import annotations

import pytest

from pybrpc.error_codes import ErrorCode
from pybrpc.metrics import Adder, LatencyRecorder, expose, list_exposed, take_snapshot
from pybrpc.metrics.call_durations import (
    MAX_CODES,
    NO_RESPONSE,
    CallDurations,
    CodedFeeds,
    code_label,
)
from pybrpc.metrics.histogram import Histogram

NAME = "brpc_server_call_duration_seconds"


def counts() -> dict[tuple[str, ...], int]:
    values = take_snapshot().families[NAME].values
    return {key: value.count for key, value in values.items() if isinstance(value, Histogram)}


@pytest.mark.parametrize(
    ("code", "label"),
    [
        (0, "OK"),
        (NO_RESPONSE, "NO_RESPONSE"),
        (ErrorCode.ELIMIT, "ELIMIT"),
        (int(ErrorCode.ERPCTIMEDOUT), "ERPCTIMEDOUT"),
        (77777, "77777"),
        (-5, "-5"),
    ],
)
def test_code_is_shown_by_its_name_if_it_has_one(code: int, label: str) -> None:
    assert code_label(code) == label


def test_calls_have_the_labels_service_method_code_and_protocol() -> None:
    feeds = CodedFeeds(CallDurations("server"), "a.b.Search.Find")
    latency = LatencyRecorder()
    feeds.feed_of("baidu_std", 0, latency).record(2_000_000)
    feeds.feed_of("http", 0, latency).record(1)
    feeds.feed_of("http", ErrorCode.ELIMIT).record(1)
    assert counts() == {
        ("a.b.Search", "Find", "ELIMIT", "http"): 1,
        ("a.b.Search", "Find", "OK", "baidu_std"): 1,
        ("a.b.Search", "Find", "OK", "http"): 1,
    }
    assert latency.count() == 2
    text = expose(take_snapshot()).body
    labels = 'service="a.b.Search",method="Find",code="OK",protocol="baidu_std"'
    assert f"{NAME}_sum{{{labels}}} 2.0" in text
    assert f"# TYPE {NAME} histogram" in text


def test_path_of_an_application_is_the_label_method() -> None:
    CodedFeeds(CallDurations("server"), "/v1.0/app").feed_of("http", 0).record(1)
    assert counts() == {("", "/v1.0/app", "OK", "http"): 1}


def test_feed_is_made_once() -> None:
    feeds = CodedFeeds(CallDurations("server"), "a.B.C")
    assert feeds.feed_of("http", 5) is feeds.feed_of("http", 5)


def test_codes_that_a_handler_makes_up_are_bounded_and_success_keeps_its_label() -> None:
    feeds = CodedFeeds(CallDurations("server"), "a.B.C")
    latency = LatencyRecorder()
    for code in range(10_000, 10_000 + 2 * MAX_CODES):
        feeds.feed_of("http", code).record(1)
    feeds.feed_of("http", 0, latency).record(1)
    found = counts()
    assert len(found) == MAX_CODES + 2
    assert found["a.B", "C", "_overflow", "_overflow"] == MAX_CODES
    assert found["a.B", "C", "OK", "http"] == latency.count() == 1


def test_counts_remain_when_the_feeds_are_closed() -> None:
    durations = CallDurations("server")
    for _ in range(2):
        feeds = CodedFeeds(durations, "a.B.C")
        feeds.feed_of("http", 0).record(1)
        feeds.close()
    assert counts() == {("a.B", "C", "OK", "http"): 2}
    (variable,) = (each for _, each in durations.exposed().items())
    assert variable._feeds == ()


def test_metric_stays_hidden_while_a_user_has_its_name(caplog: pytest.LogCaptureFixture) -> None:
    mine = Adder(NAME)
    durations = CallDurations("server")
    CodedFeeds(durations, "a.B.C").feed_of("http", 0).record(1)
    assert durations.exposed().is_hidden
    assert "have no metric" in caplog.text
    mine.hide()
    durations.exposed()
    assert list_exposed() == [NAME]
    assert counts() == {("a.B", "C", "OK", "http"): 1}
