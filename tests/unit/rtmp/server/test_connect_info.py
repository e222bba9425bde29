"""RtmpConnectInfo: what a connect says, whatever its values are. RtmpRefused."""

from __future__ import annotations

from typing import Any

import pytest

from pybrpc.protocols.rtmp.command import Command
from pybrpc.rtmp import RtmpConnectInfo, RtmpRefused


def info_of(**values: Any) -> RtmpConnectInfo:
    return RtmpConnectInfo.of(Command("connect", 1.0, values), "10.0.0.1:7")


@pytest.mark.parametrize(
    ("app", "tc_url", "expected"),
    [
        ("live", "rtmp://a.example:1935/live", ("live", "a.example")),
        ("live?vhost=b", "rtmp://a.example/live", ("live", "b")),
        ("live", "rtmp://a.example/live?vhost=b", ("live", "b")),
        ("/live/sub/", "", ("live/sub", "")),
        ("live", "rtmp://[::bad", ("live", "")),
        ("live?" + "a=1&" * 99, "rtmp://a.example/", ("live", "a.example")),
        (5.0, None, ("", "")),
    ],
)
def test_application_and_host(app: Any, tc_url: Any, expected: tuple[str, str]) -> None:
    info = info_of(app=app, tcUrl=tc_url)
    assert (info.app, info.vhost) == expected


@pytest.mark.parametrize("value", [None, 5.0, "live", [1.0]])
def test_connect_without_an_object(value: Any) -> None:
    info = RtmpConnectInfo.of(Command("connect", 1.0, value, ("more",)), "")
    assert (info.app, info.arguments, info.more) == ("", {}, ("more",))


def test_all_values_are_kept() -> None:
    info = info_of(app="live", flashVer="FMLE/3.0", n=1.0)
    assert info.arguments == {"app": "live", "flashVer": "FMLE/3.0", "n": 1.0}
    assert info.peer == "10.0.0.1:7"
    assert "FMLE" not in repr(info)


def test_refusal_has_a_code_and_a_text() -> None:
    assert (RtmpRefused("Denied").code, RtmpRefused("Denied").text) == ("Denied", "Denied")
    assert str(RtmpRefused("Denied", "not you")) == "Denied: not you"
    assert (RtmpRefused("Net.X.No").code, RtmpRefused("Net.X.No").text) == ("Net.X.No", "Net.X.No")


@pytest.mark.parametrize("text", ["wrong password", "no", "no, 5", "A. b", "Nein!", ""])
def test_refusal_with_a_text_alone_is_one_of_denied(text: str) -> None:
    refused = RtmpRefused(text)
    assert (refused.code, refused.text, str(refused)) == ("Denied", text, text)


@pytest.mark.parametrize("code", ["wrong password", "denied", "a.b", ""])
def test_text_in_the_place_of_a_code_is_refused(code: str) -> None:
    with pytest.raises(
        ValueError, match=r"write RtmpRefused\(code, text\), or RtmpRefused\(text\)"
    ):
        RtmpRefused(code, "a text")
